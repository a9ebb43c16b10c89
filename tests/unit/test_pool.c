#include <criterion/criterion.h>

#include <stdbool.h>
#include <string.h>

#include "base/pool.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#define COUNT 5000

static struct pool pool;
static void *taken[COUNT];

static void teardown(void)
{
    pool_fini(&pool);
}

TestSuite(pool, .fini = teardown);

static uint32_t length(const struct list *head)
{
    uint32_t count = 0;
    for (const struct list *at = head->next; at != head; at = at->next)
        count++;
    return count;
}

static uint32_t slabs_of(const struct pool *of)
{
    cr_assert_eq(length(&of->empty), of->empty_count);
    return length(&of->some) + length(&of->full) + of->empty_count;
}

/* What belongs to each object stays as it was written while others are taken and given back. */
static void assert_apart(size_t object_bytes, size_t count)
{
    pool_init(&pool, object_bytes);
    for (size_t i = 0; i < count; i++) {
        taken[i] = pool_take(&pool);
        cr_assert_not_null(taken[i]);
        cr_assert_eq((uintptr_t)taken[i] % 16, 0);
        memset(taken[i], (int)(i % 251), object_bytes);
    }
    cr_assert_eq(pool.taken, count);
    for (size_t i = 0; i < count; i += 2)
        pool_give(&pool, taken[i]);
    for (size_t i = 1; i < count; i += 2)
        for (size_t at = 0; at < object_bytes; at++)
            cr_assert_eq(((unsigned char *)taken[i])[at], i % 251);
}

Test(pool, small_objects_do_not_overlap)
{
    assert_apart(16, COUNT);
}

Test(pool, objects_of_an_odd_size_do_not_overlap)
{
    assert_apart(73, COUNT);
}

Test(pool, the_largest_objects_do_not_overlap)
{
    assert_apart(16384, 10);
}

Test(pool, the_last_given_back_is_taken_first)
{
    pool_init(&pool, 64);
    void *one = pool_take(&pool);
    void *two = pool_take(&pool);
    pool_give(&pool, one);
    pool_give(&pool, two);
    cr_assert_eq(pool_take(&pool), two);
    cr_assert_eq(pool_take(&pool), one);
    cr_assert_eq(pool.taken, 2);
}

Test(pool, what_was_given_back_is_used_before_new_memory)
{
    pool_init(&pool, 100);
    for (int i = 0; i < COUNT; i++)
        taken[i] = pool_take(&pool);
    for (int i = 0; i < COUNT; i++)
        pool_give(&pool, taken[i]);
    cr_assert_eq(pool.taken, 0);
    cr_assert_gt(pool.empty_count, 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert_not_null(pool_take(&pool));
    cr_assert_eq(pool.empty_count, 0);
    cr_assert_eq(slabs_of(&pool), (COUNT + pool.slab_objects - 1) / pool.slab_objects, "no slab was added");
}

Test(pool, fini_gives_back_all_also_what_is_taken)
{
    pool_init(&pool, 32);
    for (int i = 0; i < COUNT; i++)
        cr_assert_not_null(pool_take(&pool));
    pool_fini(&pool);
    cr_assert_eq(slabs_of(&pool), 0);
    cr_assert_eq(pool.taken, 0);
}

static void burst(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        taken[i] = pool_take(&pool);
    for (uint32_t i = 0; i < count; i++)
        pool_give(&pool, taken[i]);
}

Test(pool, slabs_of_a_burst_go_back_when_they_were_not_needed_since_the_last_trim)
{
    pool_init(&pool, 1024);
    void *kept = pool_take(&pool);
    burst(1000);
    uint32_t slabs = slabs_of(&pool);
    cr_assert_eq(pool_trim(&pool, 100), 0, "the burst was since the last trim");
    cr_assert_eq(pool_trim(&pool, 5), 5, "no more at a time than asked");
    cr_assert_eq(pool_trim(&pool, 100), slabs - 6, "all but the one in use");
    cr_assert_eq(slabs_of(&pool), 1);
    pool_give(&pool, kept);
}

Test(pool, slabs_that_are_needed_again_and_again_stay)
{
    pool_init(&pool, 1024);
    burst(1000);
    uint32_t slabs = slabs_of(&pool);
    pool_trim(&pool, 100);
    for (int i = 0; i < 10; i++) {
        burst(1000);
        cr_assert_eq(pool_trim(&pool, 100), 0);
    }
    cr_assert_eq(slabs_of(&pool), slabs);
    burst(500);
    pool_trim(&pool, 100);
    cr_assert_geq(slabs_of(&pool), 500 / pool.slab_objects);
    cr_assert_lt(slabs_of(&pool), slabs, "what the smaller burst did not need is gone");
}

Test(pool, new_objects_come_from_slabs_in_use_so_that_others_become_empty)
{
    enum { KEPT = 10 };
    pool_init(&pool, 1024);
    for (int i = 0; i < 1000; i++)
        taken[i] = pool_take(&pool);
    for (int i = KEPT; i < 1000; i++)
        pool_give(&pool, taken[i]);
    for (int i = 0; i < 1000; i++) {
        void *object = pool_take(&pool);
        cr_assert_eq(slabs_of(&pool) - pool.empty_count, 1);
        pool_give(&pool, object);
    }
}

Test(pool, memory_taken_after_a_trim_is_good)
{
    pool_init(&pool, 512);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < COUNT; i++)
            memset(taken[i] = pool_take(&pool), i & 127, 512);
        for (int i = 0; i < COUNT; i++) {
            cr_assert_eq(((char *)taken[i])[511], i & 127);
            pool_give(&pool, taken[i]);
        }
        pool_trim(&pool, UINT32_MAX);
        pool_trim(&pool, UINT32_MAX);
        cr_assert_eq(slabs_of(&pool), 0);
    }
}

Test(pool, objects_of_a_multiple_of_64_bytes_begin_a_cache_line)
{
    pool_init(&pool, 128);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq((uintptr_t)pool_take(&pool) % 64, 0);
}

#ifdef __SANITIZE_ADDRESS__
Test(pool, what_was_given_back_may_not_be_touched)
{
    pool_init(&pool, 64);
    char *object = pool_take(&pool);
    cr_assert_null(__asan_region_is_poisoned(object, 64));
    pool_give(&pool, object);
    cr_assert(__asan_address_is_poisoned(object + 63));
    cr_assert_eq(pool_take(&pool), object);
    cr_assert_null(__asan_region_is_poisoned(object, 64));
}
#endif
