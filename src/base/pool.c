#include "base/pool.h"

#include <stdlib.h>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#define pool_poison(data, bytes) ASAN_POISON_MEMORY_REGION(data, bytes)
#define pool_unpoison(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#else
#define pool_poison(data, bytes) ((void)(data), (void)(bytes))
#define pool_unpoison(data, bytes) ((void)(data), (void)(bytes))
#endif

/* A chain's link: the first word, which is never poisoned. */
struct pool_link {
    struct pool_link *next;
};

void pool_init(struct pool *pool, size_t object_bytes)
{
    ASSERT(object_bytes >= 16 && object_bytes <= 16384);
    pool->object_bytes = (object_bytes + 15) & ~(size_t)15;
    pool->free = NULL;
    pool->slabs = NULL;
    pool->taken = 0;
}

void pool_fini(struct pool *pool)
{
    struct pool_link *slab = pool->slabs;
    while (slab != NULL) {
        struct pool_link *next = slab->next;
        pool_unpoison(slab, POOL_SLAB_BYTES);
        free(slab);
        slab = next;
    }
    pool->slabs = NULL;
    pool->free = NULL;
}

static void object_free(struct pool *pool, void *object)
{
    struct pool_link *link = object;
    link->next = pool->free;
    pool->free = link;
    pool_poison((char *)object + sizeof *link, pool->object_bytes - sizeof *link);
}

static int slab_add(struct pool *pool)
{
    char *slab = aligned_alloc(64, POOL_SLAB_BYTES);
    if (slab == NULL)
        return -1;
    struct pool_link *link = (struct pool_link *)(void *)slab;
    link->next = pool->slabs;
    pool->slabs = link;
    size_t first = 64;
    size_t count = (POOL_SLAB_BYTES - first) / pool->object_bytes;
    for (size_t i = count; i-- > 0;)
        object_free(pool, slab + first + i * pool->object_bytes);
    return 0;
}

void *pool_take(struct pool *pool)
{
    if (pool->free == NULL && slab_add(pool) != 0)
        return NULL;
    struct pool_link *link = pool->free;
    pool->free = link->next;
    pool->taken++;
    pool_unpoison(link, pool->object_bytes);
    return link;
}

void pool_give(struct pool *pool, void *object)
{
    ASSERT(pool->taken > 0);
    pool->taken--;
    object_free(pool, object);
}
