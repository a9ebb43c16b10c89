/*
 * pool.h: objects of one size, taken and given back in a few instructions. Memory comes in slabs of 64 KiB, which are
 * mapped for the pool alone and touched only as far as they were ever used. One thread.
 *
 * A slab that is in use gives objects first, and of its objects the last one that was given back: so slabs become empty
 * after a burst. An empty slab stays for the next burst until pool_trim finds that it was not needed since the trim
 * before; then it goes back to the system. A struct pool may not be moved.
 *
 * The objects are not cleared. In ASan builds an object that was given back is poisoned.
 */
#ifndef CHITCHAT_BASE_POOL_H
#define CHITCHAT_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define POOL_SLAB_BYTES 65536u

struct pool {
    size_t object_bytes;
    uint32_t slab_objects; /* objects of one slab */
    uint32_t first;        /* offset of the first object in its slab */
    uint32_t taken;        /* objects that the users have */
    struct list some;      /* slabs with something taken and something free */
    struct list full;      /* nothing free */
    struct list empty;     /* nothing taken */
    uint32_t empty_count;
    uint32_t empty_least; /* the smallest empty_count since the last trim: so many slabs were not needed */
};

/* `object_bytes` is 16 to 16,384. Objects are aligned to 16; those of a multiple of 64 bytes to 64. */
void pool_init(struct pool *pool, size_t object_bytes);
/* Unmaps all slabs: objects that are still taken are gone too. Does nothing to a pool of zeros. */
void pool_fini(struct pool *pool);

/* An object, the caller's until pool_give; NULL: no memory. */
void *pool_take(struct pool *pool);
/* `object` was taken from this pool. */
void pool_give(struct pool *pool, void *object);

/* Gives at most `slabs_max` slabs that were empty since the last call back to the system. Returns how many. */
uint32_t pool_trim(struct pool *pool, uint32_t slabs_max);

#endif
