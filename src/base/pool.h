/*
 * pool.h: objects of one size, taken and given back in a few instructions. Memory comes in slabs of 64 KiB, mapped for
 * the pool alone and touched only as far as it was ever used. One thread.
 *
 * What is taken comes from slabs that are in use already, the last given back first, so that after a burst slabs become
 * empty. An empty slab stays for the next burst until pool_trim finds that it was not needed for a while; then it goes
 * back to the system. A struct pool may not be moved.
 *
 * The objects are not cleared. In ASan builds what is given back is poisoned.
 */
#ifndef CHITCHAT_BASE_POOL_H
#define CHITCHAT_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define POOL_SLAB_BYTES 65536u

struct pool {
    size_t object_bytes;
    uint32_t slab_objects; /* of a slab */
    uint32_t first;        /* where they begin in it */
    uint32_t taken;
    struct list some;  /* slabs with something taken and something free */
    struct list full;  /* nothing free */
    struct list empty; /* nothing taken */
    uint32_t empty_count;
    uint32_t empty_least; /* since the last trim: so many slabs were not needed */
};

/* `object_bytes` is 16 to 16,384. Objects are aligned to 16; those of a multiple of 64 bytes to 64. */
void pool_init(struct pool *pool, size_t object_bytes);
/* Gives all slabs back, whatever is still taken. A pool of zeros is left as it is. */
void pool_fini(struct pool *pool);

/* NULL: no memory. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *object);

/* Gives slabs back to the system that were empty ever since the last call, at most `slabs_max`. Returns how many. */
uint32_t pool_trim(struct pool *pool, uint32_t slabs_max);

#endif
