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
    void *slabs = pool.slabs;
    for (int i = 0; i < COUNT; i++)
        pool_give(&pool, taken[i]);
    cr_assert_eq(pool.taken, 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert_not_null(pool_take(&pool));
    cr_assert_eq(pool.slabs, slabs, "no slab was added");
}

Test(pool, fini_gives_back_all_also_what_is_taken)
{
    pool_init(&pool, 32);
    for (int i = 0; i < COUNT; i++)
        cr_assert_not_null(pool_take(&pool));
    pool_fini(&pool);
    cr_assert_null(pool.slabs);
    cr_assert_null(pool.free);
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
