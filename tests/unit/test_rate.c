#include <criterion/criterion.h>

#include "base/rate.h"

#define SECOND UINT64_C(1000000)

static uint32_t taken_at_once(struct rate *rate, uint32_t per_second, uint64_t now_us)
{
    uint32_t count = 0;
    uint32_t retry_after_ms;
    while (rate_take(rate, per_second, now_us, &retry_after_ms))
        count++;
    return count;
}

Test(rate, zero_is_no_limit)
{
    uint32_t retry_after_ms = 77;
    struct rate rate = {.at_us = 0};
    for (int i = 0; i < 100000; i++)
        cr_assert(rate_take(&rate, 0, 0, &retry_after_ms));
    cr_assert_eq(retry_after_ms, 77);
}

Test(rate, a_burst_is_one_seconds_worth)
{
    const uint32_t rates[] = {1, 2, 3, 7, 1000, 70001, RATE_PER_SECOND_MAX};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct rate rate = {.at_us = 5 * SECOND};
        cr_assert_eq(taken_at_once(&rate, rates[i], 5 * SECOND), rates[i]);
    }
}

Test(rate, a_struct_of_zeros_is_a_full_bucket)
{
    struct rate rate = {0};
    cr_assert_eq(taken_at_once(&rate, 10, 123 * SECOND), 10);
}

Test(rate, what_it_says_to_wait_is_enough_and_no_more_than_a_millisecond_too_much)
{
    const uint32_t rates[] = {1, 3, 7, 300, 999, 1000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        uint32_t wait_ms = 0;
        uint32_t ignored;
        struct rate rate = {.at_us = SECOND};
        taken_at_once(&rate, rates[i], SECOND);
        cr_assert_not(rate_take(&rate, rates[i], SECOND, &wait_ms));
        cr_assert_geq(wait_ms, 1);
        if (wait_ms > 1)
            cr_assert_not(rate_take(&rate, rates[i], SECOND + (wait_ms - 1) * 1000, &ignored), "%u", rates[i]);
        cr_assert(rate_take(&rate, rates[i], SECOND + wait_ms * 1000, &ignored), "%u", rates[i]);
    }
}

Test(rate, a_refused_take_costs_nothing)
{
    uint32_t first, again;
    struct rate rate = {.at_us = 0};
    taken_at_once(&rate, 2, 0);
    cr_assert_not(rate_take(&rate, 2, 0, &first));
    for (int i = 0; i < 1000; i++)
        cr_assert_not(rate_take(&rate, 2, 0, &again));
    cr_assert_eq(first, again);
    cr_assert_eq(first, 500);
}

Test(rate, over_a_long_time_it_gives_exactly_its_rate)
{
    const uint32_t per_second = 7;
    uint32_t retry_after_ms;
    uint32_t count = 0;
    struct rate rate = {.at_us = 0};
    for (uint64_t now_us = 0; now_us <= 100 * SECOND; now_us += 997)
        count += rate_take(&rate, per_second, now_us, &retry_after_ms);
    cr_assert(count >= 7 * 101 - 1 && count <= 7 * 101, "%u: the burst, then 7 a second", count);
}

Test(rate, after_a_long_pause_there_is_one_burst_only)
{
    struct rate rate = {.at_us = 0};
    taken_at_once(&rate, 5, 0);
    cr_assert_eq(taken_at_once(&rate, 5, 1000000 * SECOND), 5);
}

Test(rate, a_clock_that_stands_behind_gives_nothing)
{
    struct rate rate = {.at_us = 10 * SECOND};
    taken_at_once(&rate, 5, 10 * SECOND);
    cr_assert_eq(taken_at_once(&rate, 5, SECOND), 0);
    cr_assert_eq(taken_at_once(&rate, 5, 11 * SECOND), 5);
}

Test(rate, it_may_change_between_calls)
{
    struct rate rate = {.at_us = 0};
    cr_assert_eq(taken_at_once(&rate, 100, 0), 100);
    cr_assert_eq(taken_at_once(&rate, 2, 0), 0);
    cr_assert_gt(taken_at_once(&rate, 2, 100 * SECOND), 0);
}

Test(rate, is_full_again_a_second_after_the_last_take)
{
    uint32_t retry_after_ms;
    struct rate rate = {.at_us = 5000000};
    cr_assert(rate_is_full(&rate, 5000000));
    for (int i = 0; i < 100; i++)
        rate_take(&rate, 10, 5000000, &retry_after_ms);
    cr_assert_not(rate_is_full(&rate, 5000000));
    cr_assert_not(rate_is_full(&rate, 5999999));
    cr_assert(rate_is_full(&rate, 6000000));
    for (int i = 0; i < 10; i++)
        cr_assert(rate_take(&rate, 10, 6000000, &retry_after_ms));
}

Test(rate, a_bucket_may_begin_partly_used)
{
    struct rate rate = rate_begin(7, 3 * SECOND);
    cr_assert_not(rate_is_full(&rate, 3 * SECOND));
    cr_assert_eq(taken_at_once(&rate, 10, 3 * SECOND), 3);
    rate = rate_begin(0, 3 * SECOND);
    cr_assert(rate_is_full(&rate, 3 * SECOND));
    rate = rate_begin(RATE_PER_SECOND_MAX, 0);
    cr_assert_eq(taken_at_once(&rate, 1, RATE_PER_SECOND_MAX * SECOND), 1);
}

Test(rate, after_any_time_the_bucket_is_full)
{
    struct rate rate = rate_begin(RATE_PER_SECOND_MAX, 1);
    cr_assert_eq(taken_at_once(&rate, RATE_PER_SECOND_MAX, UINT64_MAX), RATE_PER_SECOND_MAX);
}
