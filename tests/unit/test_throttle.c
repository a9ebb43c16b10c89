#include "storage/runs/throttle.h"

#include <criterion/criterion.h>

#define NOW UINT64_C(50000000)

Test(throttle, what_was_written_is_waited_for_at_the_rate)
{
    struct throttle throttle = {0};
    cr_assert_eq(throttle_wait_us(&throttle, NOW, 12000, 120000), 0, "a tenth of a second is there at once");
    cr_assert_eq(throttle_wait_us(&throttle, NOW, 12000, 120000), 100000);
    cr_assert_eq(throttle_wait_us(&throttle, NOW + 100000, 12000, 120000), 100000);
}

Test(throttle, a_pause_gives_a_tenth_of_a_second_and_no_more)
{
    struct throttle throttle = {0};
    throttle_wait_us(&throttle, NOW, 1, 1000);
    cr_assert_eq(throttle_wait_us(&throttle, NOW + 60000000, 1000, 1000), 900000);
}

Test(throttle, who_is_free_waits_for_nothing_and_owes_nothing_later)
{
    struct throttle throttle = {0};
    for (int i = 0; i < 100; i++)
        cr_assert_eq(throttle_wait_us(&throttle, NOW, 12000, THROTTLE_FREE), 0);
    cr_assert_eq(throttle_wait_us(&throttle, NOW, 100, 1000), 0);
}

Test(throttle, the_ingest_follows_a_rise_at_once_and_a_fall_by_halves)
{
    cr_assert_eq(throttle_ingest(0, 500000, 2500000), 200000);
    cr_assert_eq(throttle_ingest(200000, 1000, 60000000), 100000);
    cr_assert_eq(throttle_ingest(100000, 500000, 2500000), 200000);
    cr_assert_eq(throttle_ingest(100, 500, 0), 50, "no time, no rate");
}

Test(throttle, a_checkpoint_takes_half_of_the_time_of_its_filling)
{
    cr_assert_eq(throttle_checkpoint_rate(500000, 2000000), 500000);
    cr_assert_eq(throttle_checkpoint_rate(500, 60000000), THROTTLE_CHECKPOINT_MIN,
                 "but is never drawn out for nothing");
    cr_assert_eq(throttle_checkpoint_rate(500, 0), THROTTLE_FREE);
}

Test(throttle, merges_keep_up_with_the_ingest_times_the_levels_and_a_fifth_more)
{
    cr_assert_eq(throttle_merge_rate(200000, 3, 12, 24), 720000);
    cr_assert_eq(throttle_merge_rate(0, 3, 12, 24), THROTTLE_MERGE_MIN);
}

Test(throttle, merges_hurry_past_two_thirds_of_the_runs_and_are_free_near_the_cap)
{
    uint64_t before = throttle_merge_rate(200000, 3, 16, 24);
    cr_assert_eq(before, 720000);
    for (uint32_t runs = 17; runs < 22; runs++) {
        uint64_t rate = throttle_merge_rate(200000, 3, runs, 24);
        cr_assert_gt(rate, before);
        before = rate;
    }
    cr_assert_leq(before, 4 * 720000);
    cr_assert_eq(throttle_merge_rate(200000, 3, 22, 24), THROTTLE_FREE);
    cr_assert_eq(throttle_merge_rate(0, 1, 30, 24), THROTTLE_FREE);
}
