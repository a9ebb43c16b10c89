/* Idempotency keys: a resend stores nothing, whenever it arrives. */
#include <criterion/criterion.h>

#include "harness.h"

static struct harness *open_harness(void)
{
    return harness_open(&(struct harness_options){.shards = 2});
}

static void send_keyed(struct client *client, uint32_t id, const char *to, const char *text, const char *key)
{
    client_send(client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%s\",\"key\":\"%s\"}", id, to, text, key);
}

static json_t *take_ok(struct client *client, uint64_t id)
{
    json_t *frame = client_expect(client, "ok");
    cr_assert_eq(frame_number(frame, "id"), id);
    return frame;
}

static void expect_dup(struct client *client, uint64_t id, const json_t *first)
{
    json_t *frame = take_ok(client, id);
    cr_assert(json_is_true(json_object_get(frame, "dup")));
    cr_assert_null(json_object_get(frame, "prev"));
    cr_assert_eq(frame_number(frame, "ts"), frame_number(first, "ts"));
    cr_assert_str_eq(frame_text(frame, "mid"), frame_text(first, "mid"));
    json_decref(frame);
}

Test(keys, a_resend_stores_nothing_and_is_answered_with_the_first_ts_and_mid)
{
    struct harness *harness = open_harness();
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    send_keyed(alice, 1, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    json_t *first = take_ok(alice, 1);
    send_keyed(alice, 2, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    expect_dup(alice, 2, first);
    cr_assert_str_eq(history_texts(bob, ""), "once");
    json_decref(first);
    harness_close(harness);
}

Test(keys, the_same_key_with_another_text_or_recipient_is_a_conflict)
{
    struct harness *harness = open_harness();
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_keyed(alice, 1, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    send_keyed(alice, 2, harness_name(harness, 1, 0), "twice", "k");
    send_keyed(alice, 3, harness_name(harness, 1, 1), "once", "k");
    harness_run_until_idle(harness);
    for (uint64_t id = 2; id <= 3; id++) {
        json_t *frame = client_expect(alice, "error");
        cr_assert_str_eq(frame_text(frame, "code"), "key_conflict");
        cr_assert_eq(frame_number(frame, "id"), id);
        json_decref(frame);
    }
    cr_assert_str_eq(history_texts(alice, ""), "once");
    harness_close(harness);
}

Test(keys, a_resend_while_the_first_is_pending_waits_and_shares_its_outcome)
{
    struct harness *harness = open_harness();
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *again = client_login(harness, 1, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    send_keyed(alice, 1, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    send_keyed(again, 2, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    cr_assert_null(client_next(alice));
    cr_assert_null(client_next(again));
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    json_t *first = take_ok(alice, 1);
    expect_dup(again, 2, first);
    cr_assert_str_eq(history_texts(alice, ""), "once");
    json_decref(first);
    harness_close(harness);
}

Test(keys, a_resend_shares_also_the_unknown_outcome_of_a_failed_write)
{
    struct harness *harness = open_harness();
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    send_keyed(alice, 1, harness_name(harness, 1, 0), "once", "k");
    send_keyed(alice, 2, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    harness_fail_writes(harness, 1);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    for (int i = 0; i < 2; i++) {
        json_t *frame = client_expect(alice, "error");
        cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
        json_decref(frame);
    }
    cr_assert_str_eq(history_texts(alice, ""), "");
    harness_close(harness);
}

Test(keys, sends_wait_in_order_while_the_window_is_read)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {.shards = 2, .dir = dir};
    struct harness *harness = harness_open(&options);
    const char *bob = harness_name(harness, 1, 0);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_keyed(alice, 1, bob, "zero", "k0");
    harness_run_until_idle(harness);
    harness_close(harness); /* the last checkpoint writes the key to a run */
    harness = harness_open(&options);
    bob = harness_name(harness, 1, 0);
    alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    send_keyed(alice, 2, bob, "one", "k1");
    send_keyed(alice, 3, bob, "two", "k2");
    send_keyed(alice, 4, bob, "zero", "k0");
    send_keyed(alice, 5, bob, "one", "k1"); /* the key is marked before the read has begun */
    client_send(alice, "{\"op\":\"send\",\"id\":6,\"to\":\"%s\",\"text\":\"three\"}", bob);
    harness_run_until_idle(harness);
    cr_assert_null(client_next(alice));
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    uint32_t dups = 0;
    for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame))
        dups += json_is_true(json_object_get(frame, "dup"));
    cr_assert_eq(dups, 2);
    cr_assert_str_eq(history_texts(alice, ""), "zero one two three");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(keys, a_key_is_known_after_a_restart_from_a_run)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {.shards = 2, .dir = dir};
    struct harness *harness = harness_open(&options);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_keyed(alice, 1, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    json_t *first = take_ok(alice, 1);
    harness_close(harness);
    harness = harness_open(&options);
    alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_keyed(alice, 2, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    expect_dup(alice, 2, first);
    send_keyed(alice, 3, harness_name(harness, 1, 0), "other", "k");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "key_conflict");
    json_decref(frame);
    json_decref(first);
    harness_close(harness);
    harness_dir_remove(dir);
}

/* Twice a little more resends than half of what may be unanswered: a dup is an answer like any other. */
Test(keys, resends_that_wait_for_the_first_count_as_unanswered_until_they_are_answered)
{
    enum { RESENDS = LIMIT_UNANSWERED / 2 + 100 };
    struct harness *harness = open_harness();
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (int time = 0; time < 2; time++) {
        const char *key = time == 0 ? "k0" : "k1";
        harness_hold_writes(harness, 1, true);
        for (uint32_t i = 0; i < RESENDS; i++)
            send_keyed(alice, i, harness_name(harness, 1, 0), "once", key);
        harness_run_until_idle(harness);
        cr_assert_null(client_next(alice));
        cr_assert_eq(harness_core(harness, 0)->deliveries.waiter_pool.taken, RESENDS - 1, "all are read, time %d",
                     time);
        harness_hold_writes(harness, 1, false);
        harness_run_until_idle(harness);
        uint32_t answered = 0;
        for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame))
            answered += strcmp(frame_text(frame, "op"), "ok") == 0;
        cr_assert_eq(answered, RESENDS);
    }
    client_send(alice, "{\"op\":\"ping\",\"id\":9}");
    harness_run_until_idle(harness);
    json_decref(take_ok(alice, 9));
    cr_assert_str_eq(history_texts(alice, ""), "once once");
    harness_close(harness);
}

Test(keys, the_window_of_a_user_who_has_left_is_freed)
{
    struct harness *harness = open_harness();
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_keyed(alice, 1, harness_name(harness, 1, 0), "once", "k");
    harness_run_until_idle(harness);
    cr_assert_gt(harness_core(harness, 0)->idempotency.memory.bytes, 0);
    client_drop(alice);
    harness_run_until_idle(harness);
    cr_assert_eq(harness_core(harness, 0)->idempotency.memory.bytes, 0);
    cr_assert(list_is_empty(&harness_core(harness, 0)->idempotency.users));
    harness_close(harness);
}

/* Otherwise each resend would be looked up in the runs. */
Test(keys, the_key_of_a_refused_send_is_forgotten_at_once)
{
    struct harness *harness = open_harness();
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_keyed(alice, 1, harness_name(harness, 1, 0), "first", "k1");
    harness_run_until_idle(harness);
    json_decref(take_ok(alice, 1));
    harness_hold_writes(harness, 1, true);
    send_keyed(alice, 2, harness_name(harness, 1, 0), "slow", "k2");
    harness_run_until_idle(harness);
    harness_advance(harness, 6000000);
    send_keyed(alice, 3, harness_name(harness, 1, 0), "refused", "k3");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "busy");
    json_decref(frame);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    send_keyed(alice, 4, harness_name(harness, 1, 0), "later", "k4");
    harness_run_until_idle(harness);
    harness_advance(harness, 6000000);
    harness_run_until_idle(harness);
    cr_assert_gt(harness_core(harness, 0)->runs.ts_max, 0);
    json_decref(take_ok(alice, 2));
    json_decref(take_ok(alice, 4));
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    send_keyed(alice, 5, harness_name(harness, 1, 0), "refused", "k3");
    harness_run_until_idle(harness);
    frame = take_ok(alice, 5);
    cr_assert_null(json_object_get(frame, "dup"));
    json_decref(frame);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_close(harness);
}
