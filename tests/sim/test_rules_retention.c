/* retention.h: what is too old is shown to nobody, goes little by little, and takes nothing else along. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "rules_timeline.h"

#define DAY_US INT64_C(86400000000)

static void let_pass(struct harness *harness, int64_t us)
{
    harness_advance(harness, us);
    for (int i = 0; i < 3; i++)
        want_round(harness);
}

Test(retention, drops_what_is_older_and_keeps_what_is_not)
{
    struct harness *harness = harness_open(
        &(struct harness_options){.shards = 1, .retention_s = 2 * 86400, .wall_us = UINT64_C(1800000000000000)});
    say(harness, client_login(harness, 0, "ann", ""), "bob", "old");
    let_pass(harness, DAY_US);
    uint64_t newer = say(harness, client_login(harness, 0, "ann", ""), "bob", "newer");
    let_pass(harness, DAY_US / 2);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "old newer");
    let_pass(harness, DAY_US);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "newer");
    uint64_t first = login_field(harness, 0, "bob", "first");
    cr_assert_gt(first, 0);
    cr_assert_lt(first, newer);
    let_pass(harness, 3 * DAY_US);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "");
    let_pass(harness, DAY_US);
    struct store_info info;
    store_info(harness_core(harness, 0)->runs.store, &info);
    cr_assert_eq(info.run_count, 0, "runs without newer entries are dropped whole");
    harness_close(harness);
}

Test(retention, what_is_older_at_a_start_is_gone_before_the_first_login_and_stays_gone)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {.shards = 1, .dir = dir, .wall_us = UINT64_C(1800000000000000)};
    struct harness *harness = harness_open(&options);
    say(harness, client_login(harness, 0, "ann", ""), "bob", "old");
    harness_advance(harness, 2 * DAY_US);
    say(harness, client_login(harness, 0, "ann", ""), "bob", "newer");
    harness_close(harness);
    options.wall_us += 2 * (uint64_t)DAY_US;
    options.retention_s = 86400;
    harness = harness_open(&options);
    uint64_t first = login_field(harness, 0, "bob", "first");
    cr_assert_eq(first, options.wall_us - (uint64_t)DAY_US);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "newer");
    harness_crash(harness);
    options.retention_s = 0;
    harness = harness_open(&options);
    cr_assert_eq(login_field(harness, 0, "bob", "first"), first, "no crash brings it back");
    harness_close(harness);
    harness_dir_remove(dir);
}

static void pass_seconds(struct harness *harness, uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++) {
        harness_advance(harness, 1000000);
        harness_run_until_idle(harness);
    }
}

static uint64_t cut_of_all(struct harness *harness)
{
    return store_cut_ts(harness_core(harness, 0)->runs.store, (struct span){"", 0});
}

Test(retention, what_grew_too_old_while_the_server_was_down_is_hidden_from_the_first_login_on)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {
        .shards = 1, .dir = dir, .retention_s = 10 * 86400, .wall_us = UINT64_C(1800000000000000)};
    struct harness *harness = harness_open(&options);
    say(harness, client_login(harness, 0, "ann", ""), "bob", "old");
    let_pass(harness, 8 * DAY_US);
    uint64_t newer = say(harness, client_login(harness, 0, "ann", ""), "bob", "newer");
    uint64_t cut = cut_of_all(harness);
    cr_assert_gt(cut, 0);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "old newer");
    options.wall_us = newer + 6 * (uint64_t)DAY_US;
    harness_close(harness);

    harness = harness_open(&options);
    cr_assert_eq(cut_of_all(harness), cut, "the cut has had no time to move");
    uint64_t first = login_field(harness, 0, "bob", "first");
    cr_assert(first > cut && first < options.wall_us - 10 * (uint64_t)DAY_US, "that of the entry which is hidden");
    uint64_t cursors[] = {0, first, first + 1, newer - 1};
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        char fields[64];
        snprintf(fields, sizeof fields, ",\"after\":%" PRIu64, cursors[i]);
        struct client *client = client_login(harness, 0, "bob", fields);
        harness_run_until_idle(harness);
        json_t *message = client_expect(client, "msg");
        cr_assert_str_eq(json_string_value(json_object_get(message, "text")), "newer");
        cr_assert_eq(json_integer_value(json_object_get(message, "prev")), (json_int_t)first, "from %" PRIu64,
                     cursors[i]);
        json_decref(message);
        json_decref(client_expect(client, "live"));
        cr_assert_str_eq(history_texts(client, ""), "newer");
        cr_assert_str_eq(history_texts(client, ",\"with\":\"ann\""), "newer");
    }
    let_pass(harness, DAY_US);
    cr_assert_geq(cut_of_all(harness), first, "the cut catches up");
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "newer");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(retention, a_timeline_that_is_hidden_whole_goes_on_above_what_is_hidden)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {
        .shards = 1, .dir = dir, .retention_s = 86400, .wall_us = UINT64_C(1800000000000000)};
    struct harness *harness = harness_open(&options);
    say(harness, client_login(harness, 0, "ann", ""), "bob", "old");
    let_pass(harness, 2000000);
    harness_close(harness);
    options.wall_us += 9 * (uint64_t)DAY_US;
    harness = harness_open(&options);
    uint64_t hidden = options.wall_us - (uint64_t)DAY_US;
    uint64_t first = login_field(harness, 0, "bob", "first");
    cr_assert(first > 0 && first < hidden);
    cr_assert_eq(login_field(harness, 0, "bob", "last"), first);
    harness_leap(harness, -9 * DAY_US);
    pass_seconds(harness, 700);
    cr_assert_gt(say(harness, client_login(harness, 0, "ann", ""), "bob", "new"), hidden, "whatever the clock does");
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "new");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(retention, a_clock_that_leaps_takes_nothing_at_once_and_one_that_steps_back_brings_nothing_back)
{
    char dir[64];
    harness_dir_make(dir);
    uint64_t wall_us = UINT64_C(1800000000000000);
    struct harness_options options = {.shards = 1, .dir = dir, .retention_s = 10 * 86400, .wall_us = wall_us};
    struct harness *harness = harness_open(&options);
    say(harness, client_login(harness, 0, "ann", ""), "bob", "kept");
    let_pass(harness, 2000000);
    harness_close(harness);
    options.wall_us = wall_us + 365 * (uint64_t)DAY_US;
    harness = harness_open(&options);
    let_pass(harness, 2000000);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "", "hidden, and not dropped");
    uint64_t cut = cut_of_all(harness);
    cr_assert_gt(cut, 0);
    harness_close(harness);
    options.wall_us = wall_us;
    harness = harness_open(&options);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "kept");
    cr_assert_eq(login_field(harness, 0, "ann", "first"), cut);
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(retention, a_long_uptime_lets_a_clock_that_leaps_take_no_more)
{
    struct harness *harness = harness_open(
        &(struct harness_options){.shards = 1, .retention_s = 100 * 86400, .wall_us = UINT64_C(1800000000000000)});
    uint64_t first = say(harness, client_login(harness, 0, "ann", ""), "bob", "first");
    for (int day = 0; day < 20; day++)
        let_pass(harness, DAY_US);
    uint64_t kept = say(harness, client_login(harness, 0, "ann", ""), "bob", "kept");
    harness_leap(harness, 365 * DAY_US);
    pass_seconds(harness, 5);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "first kept", "stamps do not follow the leap yet");
    pass_seconds(harness, 700);
    cr_assert_gt(core_next_ts(harness_core(harness, 0)), UINT64_C(1800000000000000) + 365 * (uint64_t)DAY_US);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "", "hidden");
    cr_assert_lt(cut_of_all(harness), first, "a hundred seconds are less than an hour of it");
    for (int day = 0; day < 4; day++)
        let_pass(harness, DAY_US);
    cr_assert(cut_of_all(harness) >= first && cut_of_all(harness) < kept);
    let_pass(harness, DAY_US);
    cr_assert_geq(cut_of_all(harness), kept, "the leap lasts");
    harness_close(harness);
}

Test(retention, the_first_cut_does_not_believe_a_clock_that_stamps_a_message_before_it)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {.shards = 1, .dir = dir, .wall_us = UINT64_C(1800000000000000)};
    struct harness *harness = harness_open(&options);
    say(harness, client_login(harness, 0, "ann", ""), "bob", "one");
    harness_close(harness);
    options.wall_us += 10 * 365 * (uint64_t)DAY_US;
    options.retention_s = 30 * 86400;
    harness = harness_open(&options);
    say(harness, client_login(harness, 0, "ann", ""), "bob", "two");
    pass_seconds(harness, 5);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "two");
    harness_close(harness);
    options.wall_us -= 10 * 365 * (uint64_t)DAY_US;
    harness = harness_open(&options);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "one two");
    cr_assert_gt(login_field(harness, 0, "bob", "first"), 0, "there is a cut, below both");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(retention, a_wrong_clock_does_not_move_the_stamps_of_a_store_without_messages)
{
    char dir[64];
    harness_dir_make(dir);
    uint64_t wall_us = UINT64_C(1800000000000000);
    struct harness_options options = {
        .shards = 1, .dir = dir, .retention_s = 86400, .wall_us = wall_us + 3650 * (uint64_t)DAY_US};
    struct harness *harness = harness_open(&options);
    pass_seconds(harness, 5);
    harness_close(harness);
    options.wall_us = wall_us;
    harness = harness_open(&options);
    cr_assert_lt(say(harness, client_login(harness, 0, "ann", ""), "bob", "one"), wall_us + (uint64_t)DAY_US);
    harness_close(harness);
    harness_dir_remove(dir);
}
