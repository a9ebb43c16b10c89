/* group_commit: a batch waits only where others are about to join it one by one, and never longer than half a write. */
#include <criterion/criterion.h>

#include "durability/group_commit.h"

#define NOW_US 1000000u

static struct group_commit after_writes(uint32_t older, uint32_t newer, uint64_t took_us)
{
    struct group_commit commit = {.since_us = 0};
    group_commit_on_write(&commit, older);
    group_commit_on_written(&commit, took_us);
    group_commit_on_write(&commit, newer);
    group_commit_on_turn(&commit, older);
    group_commit_on_written(&commit, took_us);
    return commit;
}

Test(group_commit, the_first_batch_leaves_at_once)
{
    struct group_commit commit = {.since_us = 0};
    cr_assert_eq(group_commit_wait_us(&commit, 1, 1, NOW_US), 0);
}

Test(group_commit, a_lone_sender_never_waits)
{
    struct group_commit commit = after_writes(1, 1, 400);
    cr_assert_eq(group_commit_wait_us(&commit, 1, 1, NOW_US), 0);
    commit = after_writes(GROUP_COMMIT_RECORDS_MIN, GROUP_COMMIT_RECORDS_MIN - 1, 400);
    cr_assert_eq(group_commit_wait_us(&commit, 1, 1, NOW_US), 0);
}

Test(group_commit, a_half_batch_waits_for_the_other_half)
{
    struct group_commit commit = after_writes(50, 50, 200);
    cr_assert_eq(group_commit_wait_us(&commit, 50, 50, NOW_US), 100);
    cr_assert_eq(group_commit_wait_us(&commit, 99, 99, NOW_US + 10), 90);
    cr_assert_eq(group_commit_wait_us(&commit, 100, 100, NOW_US + 20), 0);
}

Test(group_commit, it_waits_half_a_write_and_no_longer)
{
    struct group_commit commit = after_writes(50, 50, 200);
    cr_assert_eq(group_commit_wait_us(&commit, 60, 60, NOW_US), 100);
    cr_assert_eq(group_commit_wait_us(&commit, 60, 60, NOW_US + 99), 1);
    cr_assert_eq(group_commit_wait_us(&commit, 60, 60, NOW_US + 100), 0);
    cr_assert_eq(group_commit_wait_us(&commit, 60, 60, NOW_US + 5000), 0);
}

Test(group_commit, a_slow_disk_does_not_make_it_wait_beyond_its_bound)
{
    struct group_commit commit = after_writes(50, 50, 30000);
    cr_assert_eq(group_commit_wait_us(&commit, 50, 50, NOW_US), GROUP_COMMIT_WAIT_US_MAX);
    cr_assert_eq(group_commit_wait_us(&commit, 50, 50, NOW_US + GROUP_COMMIT_WAIT_US_MAX), 0);
}

Test(group_commit, each_batch_waits_anew)
{
    struct group_commit commit = after_writes(50, 50, 200);
    cr_assert_eq(group_commit_wait_us(&commit, 60, 60, NOW_US + 100), 100);
    cr_assert_eq(group_commit_wait_us(&commit, 60, 60, NOW_US + 200), 0);
    group_commit_on_write(&commit, 60);
    group_commit_on_written(&commit, 200);
    cr_assert_eq(group_commit_wait_us(&commit, 60, 60, NOW_US + 1000), 100);
}

/* A turn ends after the write is submitted, with `behind` records in the next batch; then comes the one of its end. */
static void write_and_turn(struct group_commit *commit, uint32_t records, uint32_t behind)
{
    group_commit_on_write(commit, records);
    group_commit_on_written(commit, 200);
    group_commit_on_turn(commit, behind);
}

/* Of 100 senders. */
static void expect_to_wait_for_the_last(struct group_commit *commit, uint64_t now_us)
{
    group_commit_on_turn(commit, 99);
    cr_assert_eq(group_commit_wait_us(commit, 99, 99, now_us), 100);
    group_commit_on_turn(commit, 100);
    cr_assert_eq(group_commit_wait_us(commit, 100, 100, now_us), 0);
}

Test(group_commit, where_all_are_in_one_batch_it_leaves_with_the_last_of_them)
{
    struct group_commit commit = {.since_us = 0};
    for (uint32_t i = 0; i < 100; i++) {
        write_and_turn(&commit, 100, 0);
        expect_to_wait_for_the_last(&commit, NOW_US + i);
    }
}

Test(group_commit, two_halves_wait_for_each_other)
{
    struct group_commit commit = {.since_us = 0};
    write_and_turn(&commit, 50, 50);
    for (uint32_t i = 0; i < 100; i++) {
        write_and_turn(&commit, 50, 50);
        cr_assert_eq(group_commit_wait_us(&commit, 50, 50, NOW_US + i), 100);
        expect_to_wait_for_the_last(&commit, NOW_US + i);
    }
}

Test(group_commit, senders_who_left_are_soon_not_waited_for)
{
    struct group_commit commit = {.since_us = 0};
    uint32_t writes = 0;
    write_and_turn(&commit, 1000, 0);
    for (bool waits = true; waits && writes < 100; writes++) {
        write_and_turn(&commit, 20, 0);
        group_commit_on_turn(&commit, 20);
        waits = group_commit_wait_us(&commit, 20, 20, NOW_US + writes) > 0;
    }
    cr_assert_leq(writes, 70);
}

Test(group_commit, a_write_that_took_no_time_is_waited_for_not_at_all)
{
    struct group_commit commit = after_writes(50, 50, 0);
    cr_assert_eq(group_commit_wait_us(&commit, 20, 20, NOW_US), 0);
}

Test(group_commit, connections_with_many_sends_outstanding_do_not_wait)
{
    struct group_commit commit = after_writes(400, 400, 200);
    cr_assert_eq(group_commit_wait_us(&commit, 400, 199, NOW_US), 0);
    cr_assert_eq(group_commit_wait_us(&commit, 400, 25, NOW_US), 0);
    cr_assert_eq(group_commit_wait_us(&commit, 400, 200, NOW_US), 100);
}

Test(group_commit, half_of_what_is_in_flight_is_written_before_the_turn_ends)
{
    struct group_commit commit = after_writes(1600, 0, 200);
    cr_expect(group_commit_is_half(&commit, 800, 0));
    cr_expect_not(group_commit_is_half(&commit, 799, 0));
    commit = after_writes(700, 900, 200);
    cr_expect(group_commit_is_half(&commit, 800, 399));
    cr_expect_not(group_commit_is_half(&commit, 799, 0));
    cr_expect_not(group_commit_is_half(&commit, 800, 400), "they are sent one at a time: all should leave together");
}

Test(group_commit, little_is_not_halved)
{
    struct group_commit commit = {.since_us = 0};
    cr_expect_not(group_commit_is_half(&commit, 1, 0));
    commit = after_writes(GROUP_COMMIT_HALVED_RECORDS_MIN - 1, 0, 200);
    cr_expect_not(group_commit_is_half(&commit, GROUP_COMMIT_HALVED_RECORDS_MIN, 0));
    commit = after_writes(GROUP_COMMIT_HALVED_RECORDS_MIN, 0, 200);
    cr_expect(group_commit_is_half(&commit, GROUP_COMMIT_HALVED_RECORDS_MIN, 0));
}
