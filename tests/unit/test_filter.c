#include "storage/runs/filter.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t hash_of_number(uint32_t number)
{
    char name[16];
    snprintf(name, sizeof name, "user%u", number);
    return filter_hash(span_of(name));
}

static struct filter filter_of(uint32_t count)
{
    struct filter filter;
    uint64_t *hashes = malloc((count + 1) * sizeof *hashes);
    for (uint32_t i = 0; i < count; i++)
        hashes[i] = hash_of_number(i);
    cr_assert_eq(filter_make(&filter, hashes, count), 0);
    free(hashes);
    return filter;
}

Test(filter, never_denies_a_user_that_it_holds)
{
    struct filter filter = filter_of(20000);
    for (uint32_t i = 0; i < 20000; i++)
        cr_assert(filter_may_contain(&filter, hash_of_number(i)));
    filter_fini(&filter);
}

Test(filter, is_wrong_about_others_for_few_in_a_hundred)
{
    struct filter filter = filter_of(20000);
    uint32_t wrong = 0;
    for (uint32_t i = 20000; i < 120000; i++)
        wrong += filter_may_contain(&filter, hash_of_number(i));
    cr_assert_lt(wrong, 3000, "%u of 100,000", wrong);
    filter_fini(&filter);
}

Test(filter, an_empty_one_holds_nobody)
{
    struct filter filter = filter_of(0);
    cr_assert_eq(filter_bytes(&filter), 0);
    cr_assert_not(filter_may_contain(&filter, hash_of_number(1)));
    filter_fini(&filter);
}

Test(filter, its_bytes_read_back_are_the_same_filter)
{
    struct filter filter = filter_of(1000), copy;
    cr_assert_eq(filter_bytes(&filter) % FILTER_BLOCK_BYTES, 0);
    cr_assert_eq(filter_reserve(&copy, filter_bytes(&filter)), 0);
    memcpy(copy.bytes, filter.bytes, filter_bytes(&filter));
    for (uint32_t i = 0; i < 5000; i++)
        cr_assert_eq(filter_may_contain(&copy, hash_of_number(i)), filter_may_contain(&filter, hash_of_number(i)));
    filter_fini(&copy);
    filter_fini(&filter);
}
