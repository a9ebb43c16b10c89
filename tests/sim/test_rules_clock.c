/* What a clock that leaps does to stamps and keys: base/clock_follow.h, server/core_clock.c. */
#include <criterion/criterion.h>

#include <string.h>

#include "harness.h"

#define SECOND INT64_C(1000000)
#define YEAR (365 * 86400 * SECOND)
#define BEGIN (UINT64_C(1800000000) * SECOND)

/* A message of a new connection to oneself; its ts. */
static uint64_t send_one(struct harness *harness, const char *key, bool *is_dup_r)
{
    struct client *client = client_login(harness, 0, harness_name(harness, 0, 0), "");
    client_send(client, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"x\"%s%s%s}", harness_name(harness, 0, 0),
                key == NULL ? "" : ",\"key\":\"", key == NULL ? "" : key, key == NULL ? "" : "\"");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "ok");
    uint64_t ts = frame_number(frame, "ts");
    if (is_dup_r != NULL)
        *is_dup_r = json_is_true(json_object_get(frame, "dup"));
    json_decref(frame);
    client_drop(client);
    harness_run_until_idle(harness);
    return ts;
}

static void pass(struct harness *harness, uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++) {
        harness_advance(harness, SECOND);
        harness_run_until_idle(harness);
    }
}

Test(clock, a_leap_is_not_followed_before_it_has_lasted_ten_minutes_and_leaves_nothing_if_it_ends)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .wall_us = BEGIN});
    uint64_t ts = send_one(harness, NULL, NULL);
    harness_leap(harness, YEAR);
    for (uint32_t i = 0; i < 5; i++) {
        pass(harness, 100);
        uint64_t next = send_one(harness, NULL, NULL);
        cr_assert(next > ts && next < BEGIN + 600 * SECOND, "%llu", (unsigned long long)next);
        ts = next;
    }
    harness_leap(harness, -YEAR);
    pass(harness, 1);
    cr_assert_eq(send_one(harness, NULL, NULL), harness_now(harness), "the time again");
    harness_close(harness);
}

Test(clock, a_leap_that_lasts_is_followed)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .wall_us = BEGIN});
    harness_leap(harness, YEAR);
    pass(harness, 590);
    cr_assert_lt(send_one(harness, NULL, NULL), BEGIN + YEAR);
    pass(harness, 20);
    cr_assert_eq(send_one(harness, NULL, NULL), harness_now(harness));
    harness_close(harness);
}

Test(clock, a_small_step_is_followed_at_once)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .wall_us = BEGIN});
    harness_leap(harness, 60 * SECOND);
    cr_assert_eq(send_one(harness, NULL, NULL), BEGIN + 60 * SECOND);
    harness_close(harness);
}

Test(clock, a_key_protects_though_the_clock_leapt_a_year_while_the_server_was_down)
{
    char dir[64];
    bool is_dup;
    harness_dir_make(dir);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .dir = dir, .wall_us = BEGIN});
    uint64_t ts = send_one(harness, "k1", NULL);
    harness_close(harness);
    harness = harness_open(&(struct harness_options){.shards = 1, .dir = dir, .wall_us = BEGIN + YEAR});
    cr_assert_eq(send_one(harness, "k1", &is_dup), ts);
    cr_assert(is_dup);
    send_one(harness, "k2", &is_dup);
    cr_assert(!is_dup);
    cr_assert_eq(send_one(harness, "k1", &is_dup), ts, "also from memory");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(clock, a_key_ages_by_the_time_that_passes)
{
    bool is_dup;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .wall_us = BEGIN});
    send_one(harness, "k1", NULL);
    harness_advance(harness, 86000 * SECOND);
    send_one(harness, "k1", &is_dup);
    cr_assert(is_dup);
    harness_advance(harness, 500 * SECOND);
    send_one(harness, "k1", &is_dup);
    cr_assert(!is_dup, "after 24 hours");
    harness_close(harness);
}

Test(clock, a_clock_beyond_every_ts_is_refused_at_the_start_with_what_to_do)
{
    const char *refusal = "";
    struct harness_options options = {.shards = 1, .wall_us = LIMIT_TS_MAX + 1};
    cr_assert_null(harness_try_open(&options, &refusal));
    cr_assert_not_null(strstr(refusal, "set the clock and start again"), "%s", refusal);
}

Test(clock, a_clock_beyond_every_ts_is_never_followed_by_a_running_server)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .wall_us = BEGIN});
    harness_leap(harness, (int64_t)LIMIT_TS_MAX);
    pass(harness, 1300);
    cr_assert_eq(send_one(harness, NULL, NULL), BEGIN + 1300 * SECOND);
    harness_close(harness);
}
