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

/* Objects may own malloc'ed memory: the leak check has to scan the slabs. */
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

/* Places in a slab are counted in units of this, so that 16 bits are enough. */
#define UNIT_BYTES 16u
_Static_assert(POOL_SLAB_BYTES / UNIT_BYTES <= UINT16_MAX + 1, "a place fits into 16 bits");
/* A free object is prefetched so many takes before its own: mostly it has left the nearer caches. */
#define PREFETCH_AHEAD 4u
#define FIRST_ALIGNMENT 64u

/* At the start of each slab. A slab lies at a multiple of its size, so that an object's address gives its slab. The
 * list of free objects is here and not inside the objects, so that no object is read before it is taken. */
struct pool_slab {
    struct list link; /* in one of the pool's three lists */
    uint32_t taken;
    uint32_t used; /* objects that were ever taken: the memory behind them was never touched */
    uint32_t free_count;
    uint16_t free[]; /* places of the objects that were given back, in that order */
};

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

void pool_init(struct pool *pool, size_t object_bytes)
{
    ASSERT(object_bytes >= 16);
    ASSERT(object_bytes <= 16384);
    *pool = (struct pool){.object_bytes = round_up(object_bytes, UNIT_BYTES)};
    size_t room = POOL_SLAB_BYTES - sizeof(struct pool_slab) - FIRST_ALIGNMENT;
    pool->slab_objects = (uint32_t)(room / (pool->object_bytes + sizeof(uint16_t)));
    size_t head = sizeof(struct pool_slab) + pool->slab_objects * sizeof(uint16_t);
    pool->first = (uint32_t)round_up(head, FIRST_ALIGNMENT);
    list_init(&pool->some);
    list_init(&pool->full);
    list_init(&pool->empty);
}

/* Aligned to its size. The kernel mostly maps it below the slab before, and so aligned. */
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
    slab->taken = slab->used = slab->free_count = 0;
    pool_poison((char *)slab + pool->first, POOL_SLAB_BYTES - pool->first);
    pool_show(slab);
    list_init(&slab->link);
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

static void *object_at(struct pool_slab *slab, uint16_t place)
{
    return (char *)slab + (size_t)place * UNIT_BYTES;
}

static void *free_pop(struct pool_slab *slab)
{
    uint32_t top = --slab->free_count;
    if (top >= PREFETCH_AHEAD)
        __builtin_prefetch(object_at(slab, slab->free[top - PREFETCH_AHEAD]), 1);
    return object_at(slab, slab->free[top]);
}

void *pool_take(struct pool *pool)
{
    struct pool_slab *slab = slab_find(pool);
    if (slab == NULL)
        return NULL;
    void *object =
        slab->free_count > 0 ? free_pop(slab) : (char *)slab + pool->first + slab->used++ * pool->object_bytes;
    pool->taken++;
    if (++slab->taken == pool->slab_objects)
        slab_move(slab, &pool->full);
    pool_unpoison(object, pool->object_bytes);
    return object;
}

void pool_give(struct pool *pool, void *object)
{
    struct pool_slab *slab = slab_of_object(object);
    ASSERT(pool->taken > 0);
    ASSERT(slab->taken > 0);
    slab->free[slab->free_count++] = (uint16_t)((uintptr_t)object % POOL_SLAB_BYTES / UNIT_BYTES);
    pool_poison(object, pool->object_bytes);
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
    ASSERT(pool->empty_least <= pool->empty_count);
    uint32_t count = pool->empty_least < slabs_max ? pool->empty_least : slabs_max;
    for (uint32_t i = 0; i < count; i++)
        slab_unmap(slab_of_link(pool->empty.prev)); /* the one that was empty for longest */
    pool->empty_count -= count;
    pool->empty_least = pool->empty_count;
    return count;
}
