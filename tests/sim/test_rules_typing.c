/* typing.h: to whom a `typing` goes, and that it gives way to all else. */
#include <criterion/criterion.h>

#include "harness.h"

TestSuite(typing_rules, .timeout = 60);

static struct client *log_in(struct harness *harness, uint32_t shard, uint32_t n)
{
    return client_login(harness, shard, harness_name(harness, shard, n), "");
}

static void type_to(struct client *client, const char *to)
{
    client_send(client, "{\"op\":\"typing\",\"to\":\"%s\"}", to);
}

static void expect_typing(struct client *client, const char *from)
{
    json_t *frame = client_next(client);
    cr_assert_not_null(frame);
    cr_assert_str_eq(frame_text(frame, "op"), "typing");
    cr_assert_str_eq(frame_text(frame, "from"), from);
    cr_assert_eq(json_object_size(frame), 2);
    json_decref(frame);
}

static uint64_t typings(struct harness *harness, uint32_t shard, enum metrics_typing outcome)
{
    return metric_read(&harness_core(harness, shard)->metrics.typings[outcome]);
}

Test(typing_rules, each_connection_of_the_recipient_gets_it_and_nobody_else)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = log_in(harness, 0, 0), *other = log_in(harness, 0, 0);
    for (uint32_t shard = 0; shard < 2; shard++) {
        struct client *bob = log_in(harness, shard, 1), *again = log_in(harness, shard, 1);
        struct client *carol = log_in(harness, shard, 2);
        type_to(alice, harness_name(harness, shard, 1));
        harness_run_until_idle(harness);
        expect_typing(bob, harness_name(harness, 0, 0));
        expect_typing(again, harness_name(harness, 0, 0));
        cr_assert_null(client_next(bob));
        cr_assert_null(client_next(carol));
    }
    cr_assert_null(client_next(alice), "without an id there is no answer");
    cr_assert_null(client_next(other));
    client_send(alice, "{\"op\":\"typing\",\"id\":7,\"to\":\"%s\"}", harness_name(harness, 1, 1));
    client_send(alice, "{\"op\":\"typing\",\"id\":8,\"to\":\"%s\"}", harness_name(harness, 0, 0));
    client_send(alice, "{\"op\":\"typing\",\"id\":9,\"to\":\"%s\"}", harness_name(harness, 1, 9));
    harness_run_until_idle(harness);
    for (uint64_t id = 7; id <= 9; id++) {
        json_t *ok = client_expect(alice, "ok");
        cr_assert_eq(frame_number(ok, "id"), id);
        json_decref(ok);
    }
    client_send(alice, "{\"op\":\"typing\"}");
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "error"));
    cr_assert_null(client_next(other), "to oneself it is nothing");
    cr_assert_str_eq(history_texts(alice, ""), "");
    clients_drop(harness);
    harness_run_until_idle(harness);
    harness_check_rest(harness);
    harness_close(harness);
}

/* A turn without messages is short, but what is dropped is not put off: it has what any turn may have. */
Test(typing_rules, a_short_turn_drops_none)
{
    enum { CONNS = 100 };
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *alice = log_in(harness, 0, 0), *bobs[CONNS];
    for (uint32_t i = 0; i < CONNS; i++)
        bobs[i] = log_in(harness, 0, 1);
    cr_assert_gt(CONNS * TURN_CONN_PUSHES * turn_limits[TURN_PUSHES].ns, TURN_SHORT_NS);
    type_to(alice, harness_name(harness, 0, 1));
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < CONNS; i++)
        expect_typing(bobs[i], harness_name(harness, 0, 0));
    harness_close(harness);
}

Test(typing_rules, one_a_second_passes_whatever_connection_it_comes_from)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = log_in(harness, 0, 0), *other = log_in(harness, 0, 0), *bob = log_in(harness, 1, 0);
    for (int second = 0; second < 2; second++) {
        for (int i = 0; i < 3; i++) {
            type_to(alice, harness_name(harness, 1, 0));
            type_to(other, harness_name(harness, 1, 0));
        }
        harness_run_until_idle(harness);
        expect_typing(bob, harness_name(harness, 0, 0));
        cr_assert_null(client_next(bob));
        harness_advance(harness, 1000000);
    }
    cr_assert_eq(typings(harness, 0, METRICS_TYPING_PASSED), 2);
    cr_assert_eq(typings(harness, 0, METRICS_TYPING_LIMITED), 10);
    harness_close(harness);
}

Test(typing_rules, it_comes_during_a_replay_too)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = log_in(harness, 0, 0);
    const char *name = harness_name(harness, 1, 0);
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"hi\"}", name);
    harness_run_until_idle(harness);
    harness_advance(harness, 6000000); /* into a run */
    harness_run_until_idle(harness);
    log_in(harness, 1, 0); /* `last` is known */
    harness_hold_jobs(harness, 1, HARNESS_READER, true);
    struct client *bob = client_login(harness, 1, name, ",\"after\":0");
    type_to(alice, name);
    harness_run_until_idle(harness);
    expect_typing(bob, harness_name(harness, 0, 0));
    harness_hold_jobs(harness, 1, HARNESS_READER, false);
    harness_run_until_idle(harness);
    json_decref(client_expect(bob, "msg"));
    harness_close(harness);
}

Test(typing_rules, a_connection_that_does_not_read_gets_none_and_stays)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .output_bytes = 65536});
    struct client *alice = log_in(harness, 0, 0), *bob = log_in(harness, 1, 0), *again = log_in(harness, 1, 0);
    char text[8001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    client_stall(bob, true);
    for (int i = 0; i < 3; i++)
        client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"%s\"}", harness_name(harness, 1, 0),
                    text);
    harness_run_until_idle(harness);
    type_to(alice, harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    client_stall(bob, false);
    harness_run_until_idle(harness);
    for (int i = 0; i < 3; i++) {
        json_decref(client_expect(bob, "msg"));
        json_decref(client_expect(again, "msg"));
    }
    cr_assert_null(client_next(bob));
    cr_assert_not(client_is_closed(bob));
    expect_typing(again, harness_name(harness, 0, 0));
    const struct metrics *metrics = &harness_core(harness, 1)->metrics;
    cr_assert_eq(metric_read(&metrics->ephemeral[METRICS_EPHEMERAL_WRITTEN]), 1);
    cr_assert_eq(metric_read(&metrics->ephemeral[METRICS_EPHEMERAL_DROPPED]), 1);
    harness_close(harness);
}

Test(typing_rules, letters_between_two_shards_are_bounded_and_sends_go_first)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *clients[2] = {log_in(harness, 0, 0), log_in(harness, 0, 1)};
    uint32_t sent = 0;
    harness_hold_letters(harness, 0, 1, true);
    for (uint32_t second = 0; sent < TYPING_OUT_MAX + 8; second++) {
        for (uint32_t i = 0; i < 2 * HARNESS_NAMES_MAX && sent < TYPING_OUT_MAX + 8; i++, sent++)
            type_to(clients[i % 2], harness_name(harness, 1, i / 2));
        harness_run_until_idle(harness);
        harness_advance(harness, 1000000);
    }
    cr_assert_eq(harness_letters(harness, 0, 1), TYPING_OUT_MAX);
    cr_assert_eq(typings(harness, 0, METRICS_TYPING_PASSED), TYPING_OUT_MAX);
    cr_assert_eq(typings(harness, 0, METRICS_TYPING_DROPPED), 8);
    harness_hold_letters(harness, 0, 1, false);
    harness_run_until_idle(harness);
    struct core *core = harness_core(harness, 0);
    cr_assert_eq(core->peers[1].typings_out, 0);
    core->peers[1].sends_out += CORE_SENDS_OUT_MAX / 2;
    type_to(clients[0], harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    core->peers[1].sends_out -= CORE_SENDS_OUT_MAX / 2;
    cr_assert_eq(typings(harness, 0, METRICS_TYPING_DROPPED), 9);
    harness_close(harness);
}

Test(typing_rules, counts_in_the_rate_of_requests_of_the_connection)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .history_rate = 2});
    struct client *alice = log_in(harness, 0, 0);
    for (uint32_t i = 0; i < 3; i++)
        type_to(alice, harness_name(harness, 1, i));
    harness_run_until_idle(harness);
    json_t *error = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(error, "code"), "rate_limited");
    json_decref(error);
    cr_assert_null(client_next(alice));
    cr_assert_eq(typings(harness, 0, METRICS_TYPING_PASSED), 2);
    harness_close(harness);
}
