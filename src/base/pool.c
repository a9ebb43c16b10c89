#include "base/pool.h"

#include <sys/mman.h>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

/* Objects may own what was malloc'ed: the leak check has to look into the slabs. */
#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#define pool_poison(data, bytes) ASAN_POISON_MEMORY_REGION(data, bytes)
#define pool_unpoison(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#define pool_show(data) __lsan_register_root_region(data, POOL_SLAB_BYTES)
#define pool_hide(data) __lsan_unregister_root_region(data, POOL_SLAB_BYTES)
#else
#define pool_poison(data, bytes) ((void)(data), (void)(bytes))
#define pool_unpoison(data, bytes) ((void)(data), (void)(bytes))
#define pool_show(data) ((void)(data))
#define pool_hide(data) ((void)(data))
#endif

/* The first word of an object that is free, which is never poisoned. */
struct pool_link {
    struct pool_link *next;
};

/* At the beginning of each slab, which lies at a multiple of its size: so it is found from an object. */
struct pool_slab {
    struct list link; /* in one of the pool's three lists */
    struct pool_link *free;
    uint32_t taken;
    uint32_t used; /* objects that were ever taken: those behind them have not been touched */
};

#define SLAB_FIRST 64u
_Static_assert(sizeof(struct pool_slab) <= SLAB_FIRST, "the objects begin behind it");

void pool_init(struct pool *pool, size_t object_bytes)
{
    ASSERT(object_bytes >= 16 && object_bytes <= 16384);
    *pool = (struct pool){.object_bytes = (object_bytes + 15) & ~(size_t)15};
    pool->slab_objects = (uint32_t)((POOL_SLAB_BYTES - SLAB_FIRST) / pool->object_bytes);
    list_init(&pool->some);
    list_init(&pool->full);
    list_init(&pool->empty);
}

/* Aligned to its size: mostly it lies so by itself, below the one mapped before. */
static void *slab_map(void)
{
    int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *data = mmap(NULL, POOL_SLAB_BYTES, protection, flags, -1, 0);
    if (data == MAP_FAILED)
        return NULL;
    if ((uintptr_t)data % POOL_SLAB_BYTES == 0)
        return data;
    munmap(data, POOL_SLAB_BYTES);
    data = mmap(NULL, (size_t)2 * POOL_SLAB_BYTES, protection, flags, -1, 0);
    if (data == MAP_FAILED)
        return NULL;
    size_t before = POOL_SLAB_BYTES - (uintptr_t)data % POOL_SLAB_BYTES;
    munmap(data, before);
    if (before < POOL_SLAB_BYTES)
        munmap(data + before + POOL_SLAB_BYTES, POOL_SLAB_BYTES - before);
    return data + before;
}

static struct pool_slab *slab_add(struct pool *pool)
{
    struct pool_slab *slab = slab_map();
    if (slab == NULL)
        return NULL;
    *slab = (struct pool_slab){.free = NULL};
    pool_poison((char *)slab + SLAB_FIRST, POOL_SLAB_BYTES - SLAB_FIRST);
    pool_show(slab);
    list_append(&pool->some, &slab->link);
    return slab;
}

static void slab_unmap(struct pool_slab *slab)
{
    list_remove(&slab->link);
    pool_hide(slab);
    pool_unpoison(slab, POOL_SLAB_BYTES);
    munmap(slab, POOL_SLAB_BYTES);
}

static struct pool_slab *slab_of_link(struct list *link)
{
    return container_of(link, struct pool_slab, link);
}

static struct pool_slab *slab_of_object(void *object)
{
    return (struct pool_slab *)(void *)((char *)object - (uintptr_t)object % POOL_SLAB_BYTES);
}

static void slabs_unmap(struct list *slabs)
{
    while (!list_is_empty(slabs))
        slab_unmap(slab_of_link(slabs->next));
}

void pool_fini(struct pool *pool)
{
    if (pool->object_bytes == 0)
        return;
    slabs_unmap(&pool->some);
    slabs_unmap(&pool->full);
    slabs_unmap(&pool->empty);
    pool_init(pool, pool->object_bytes);
}

/* A slab with room: one in use, an empty one, a new one. */
static struct pool_slab *slab_find(struct pool *pool)
{
    if (!list_is_empty(&pool->some))
        return slab_of_link(pool->some.next);
    if (list_is_empty(&pool->empty))
        return slab_add(pool);
    struct pool_slab *slab = slab_of_link(list_shift(&pool->empty));
    list_append(&pool->some, &slab->link);
    pool->empty_count--;
    if (pool->empty_count < pool->empty_least)
        pool->empty_least = pool->empty_count;
    return slab;
}

static void slab_move(struct pool_slab *slab, struct list *to)
{
    list_remove(&slab->link);
    list_prepend(to, &slab->link);
}

void *pool_take(struct pool *pool)
{
    struct pool_slab *slab = slab_find(pool);
    if (slab == NULL)
        return NULL;
    struct pool_link *link = slab->free;
    if (link != NULL)
        slab->free = link->next;
    else
        link = (struct pool_link *)(void *)((char *)slab + SLAB_FIRST + slab->used++ * pool->object_bytes);
    pool->taken++;
    if (++slab->taken == pool->slab_objects)
        slab_move(slab, &pool->full);
    pool_unpoison(link, pool->object_bytes);
    return link;
}

void pool_give(struct pool *pool, void *object)
{
    struct pool_slab *slab = slab_of_object(object);
    struct pool_link *link = object;
    ASSERT(pool->taken > 0 && slab->taken > 0);
    link->next = slab->free;
    slab->free = link;
    pool_poison((char *)object + sizeof *link, pool->object_bytes - sizeof *link);
    pool->taken--;
    if (slab->taken-- == pool->slab_objects)
        slab_move(slab, &pool->some);
    if (slab->taken == 0) {
        slab_move(slab, &pool->empty);
        pool->empty_count++;
    }
}

uint32_t pool_trim(struct pool *pool, uint32_t slabs_max)
{
    uint32_t count = pool->empty_least < slabs_max ? pool->empty_least : slabs_max;
    for (uint32_t i = 0; i < count; i++)
        slab_unmap(slab_of_link(pool->empty.prev)); /* the one that was not needed for longest */
    pool->empty_count -= count;
    pool->empty_least = pool->empty_count;
    return count;
}
