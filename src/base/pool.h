/*
 * pool.h: objects of one size, taken and given back in a few instructions, the last given back first. Memory comes in
 * slabs of 64 KiB and goes back to the system with pool_fini only. One thread.
 *
 * The objects are not cleared. In ASan builds what is given back is poisoned.
 */
#ifndef CHITCHAT_BASE_POOL_H
#define CHITCHAT_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_SLAB_BYTES 65536u

struct pool {
    size_t object_bytes;
    void *free;  /* a chain through the first word of each object */
    void *slabs; /* a chain through the first word of each slab */
    uint32_t taken;
};

/* `object_bytes` is 16 to 16,384. */
void pool_init(struct pool *pool, size_t object_bytes);
/* Gives all slabs back, whatever is still taken. */
void pool_fini(struct pool *pool);

/* NULL: no memory. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *object);

#endif
