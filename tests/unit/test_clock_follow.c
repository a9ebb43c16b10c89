#include "base/clock_follow.h"

#include <criterion/criterion.h>

#include "base/limits.h"

#define SECOND UINT64_C(1000000)
#define START (UINT64_C(1800000000) * SECOND)
#define YEAR (365 * UINT64_C(86400) * SECOND)

static struct clock_follow follow;
static uint64_t monotonic_us;

static void setup(void)
{
    follow = (struct clock_follow){.leap_us = 60 * SECOND, .lasts_us = 600 * SECOND};
    monotonic_us = 5 * SECOND;
    cr_assert_eq(clock_follow(&follow, START, monotonic_us), CLOCK_STEADY);
    cr_assert_eq(follow.now_us, START);
}

TestSuite(clock_follow, .init = setup);

/* The monotonic clock advances by `by_us`; the wall clock says `wall_us` then. */
static enum clock_event pass(uint64_t by_us, uint64_t wall_us)
{
    monotonic_us += by_us;
    return clock_follow(&follow, wall_us, monotonic_us);
}

Test(clock_follow, small_steps_are_followed_at_once_in_both_directions)
{
    cr_assert_eq(pass(SECOND, START + 61 * SECOND), CLOCK_STEADY);
    cr_assert_eq(follow.now_us, START + 61 * SECOND);
    cr_assert_eq(pass(SECOND, START + 2 * SECOND), CLOCK_STEADY);
    cr_assert_eq(follow.now_us, START + 2 * SECOND);
}

Test(clock_follow, a_leap_that_ends_in_time_never_counts)
{
    cr_assert_eq(pass(SECOND, START + YEAR), CLOCK_LEAPT);
    cr_assert_eq(follow.now_us, START + SECOND);
    cr_assert_eq(pass(598 * SECOND, START + YEAR + 598 * SECOND), CLOCK_STEADY);
    cr_assert_eq(follow.now_us, START + 599 * SECOND, "the monotonic clock goes on");
    cr_assert_eq(pass(SECOND, START + 600 * SECOND), CLOCK_RETURNED);
    cr_assert_eq(follow.now_us, START + 600 * SECOND);
    cr_assert_eq(follow.leap_now_us, 0);
}

Test(clock_follow, a_leap_that_lasts_is_followed_back_too)
{
    cr_assert_eq(pass(SECOND, START - YEAR), CLOCK_LEAPT);
    cr_assert_eq(pass(599 * SECOND, START - YEAR + 599 * SECOND), CLOCK_STEADY);
    cr_assert_eq(pass(SECOND, START - YEAR + 600 * SECOND), CLOCK_FOLLOWED);
    cr_assert_eq(follow.now_us, START - YEAR + 600 * SECOND);
    cr_assert_eq(pass(SECOND, START - YEAR + 601 * SECOND), CLOCK_STEADY);
}

Test(clock_follow, a_leap_on_a_leap_begins_to_last_anew)
{
    cr_assert_eq(pass(SECOND, START + YEAR), CLOCK_LEAPT);
    cr_assert_eq(pass(590 * SECOND, START + 2 * YEAR), CLOCK_LEAPT);
    cr_assert_eq(pass(599 * SECOND, START + 2 * YEAR + 599 * SECOND), CLOCK_STEADY);
    cr_assert_eq(pass(SECOND, START + 2 * YEAR + 600 * SECOND), CLOCK_FOLLOWED);
}

Test(clock_follow, a_time_that_no_ts_can_have_is_never_followed)
{
    cr_assert_eq(pass(SECOND, LIMIT_TS_MAX + 1), CLOCK_LEAPT);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(pass(600 * SECOND, LIMIT_TS_MAX + 1 + (i + 1) * 600 * SECOND), CLOCK_STEADY);
    cr_assert_eq(follow.now_us, START + SECOND + 100 * 600 * SECOND);
}
