/* Frames before and behind a login in the same write, on the shard of the user and on another one. */
#include <criterion/criterion.h>

#include "harness.h"

/* A test that does not end has failed. */
TestSuite(login, .timeout = 30);

#define CROWD 6u

/* More than one receive. For some of the crowd, reading pauses in the receive that has the login, as much output waits.
 */
static uint32_t bad_frames_of(uint32_t number)
{
    return 700 + 260 * number;
}

static void send_login(struct client *client, const char *user)
{
    client_send(client, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", user);
}

/* The next frame must be `op` with this id. */
static void expect_reply(struct client *client, const char *op, uint64_t id)
{
    json_t *frame = client_next(client);
    cr_assert_not_null(frame, "request %llu is not answered", (unsigned long long)id);
    cr_assert_str_eq(frame_text(frame, "op"), op);
    cr_assert_eq(frame_number(frame, "id"), id);
    json_decref(frame);
}

static void expect_refusals(struct client *client, uint32_t count, const char *code)
{
    for (uint32_t i = 0; i < count; i++) {
        json_t *frame = client_next(client);
        cr_assert_not_null(frame, "of %u bad frames %u are answered", count, i);
        cr_assert_str_eq(frame_text(frame, "code"), code);
        json_decref(frame);
    }
}

static void expect_nothing_more(struct client *client)
{
    json_t *frame = client_next(client);
    cr_assert_null(frame, "an additional frame, `%s`", frame_text(frame, "op"));
}

/* Nothing that handovers took is left on any shard. */
static void expect_nothing_stashed(struct harness *harness, uint32_t shards)
{
    for (uint32_t i = 0; i < shards; i++) {
        cr_assert_eq(harness_core(harness, i)->conns.stash_bytes, 0, "shard %u", i);
        cr_assert(list_is_empty(&harness_core(harness, i)->handovers.waiting), "shard %u", i);
        cr_assert(list_is_empty(&harness_core(harness, i)->conns.resume)
                      && list_is_empty(&harness_core(harness, i)->conns.resume_first),
                  "shard %u", i);
    }
}

/* The client writes head, login and requests at once, which is one receive of shard 0. */
static void all_in_one_piece(uint32_t shard_of_user)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    const char *user = harness_name(harness, shard_of_user, 0);
    struct client *client = client_begin(harness, 0);
    send_login(client, user);
    client_send(client, "{\"op\":\"ping\",\"id\":2}");
    client_send(client, "{\"op\":\"history\",\"id\":3}");
    client_send(client, "{\"op\":\"ping\",\"id\":4}");
    client_send(client, "{\"op\":\"send\",\"id\":5,\"to\":\"%s\",\"text\":\"hi\"}", harness_name(harness, 1, 1));
    harness_run_until_idle(harness);
    cr_assert(client_take_head(client));
    expect_reply(client, "ok", 1);
    expect_reply(client, "ok", 2);
    expect_reply(client, "history", 3);
    expect_reply(client, "ok", 4);
    expect_reply(client, "ok", 5);
    expect_nothing_more(client);
    cr_assert_str_eq(history_texts(client, ""), "hi");
    expect_nothing_stashed(harness, 2);
    harness_close(harness);
}

Test(login, requests_behind_it_in_one_receive_are_answered_once_and_in_order)
{
    all_in_one_piece(0);
}

Test(login, requests_behind_it_in_one_receive_go_along_to_the_shard_of_the_user)
{
    all_in_one_piece(1);
}

Test(login, a_frame_behind_it_that_is_cut_by_the_end_of_a_receive_goes_along)
{
    static char text[6000];
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *client = client_begin(harness, 0);
    memset(text, 'x', sizeof text - 1);
    send_login(client, harness_name(harness, 1, 0));
    client_send(client, "{\"op\":\"send\",\"id\":2,\"to\":\"%s\",\"text\":\"%s\"}", harness_name(harness, 0, 0), text);
    client_send(client, "{\"op\":\"ping\",\"id\":3}");
    harness_run_until_idle(harness);
    cr_assert(client_take_head(client));
    expect_reply(client, "ok", 1);
    expect_reply(client, "ok", 3);
    expect_reply(client, "ok", 2);
    expect_nothing_more(client);
    cr_assert_str_eq(history_texts(client, ""), text);
    expect_nothing_stashed(harness, 2);
    harness_close(harness);
}

static void send_crowd(struct harness *harness, uint32_t shards, struct client *clients[CROWD])
{
    for (uint32_t i = 0; i < CROWD; i++) {
        clients[i] = client_begin(harness, i % shards);
        for (uint32_t k = 0; k < bad_frames_of(i); k++)
            client_send(clients[i], "{");
        send_login(clients[i], harness_name(harness, (i + 1) % shards, i));
        client_send(clients[i], "{\"op\":\"ping\",\"id\":2}");
    }
}

static void expect_crowd_logged_in(struct client *clients[CROWD])
{
    for (uint32_t i = 0; i < CROWD; i++) {
        cr_assert(client_take_head(clients[i]));
        expect_refusals(clients[i], bad_frames_of(i), "bad_json");
        expect_reply(clients[i], "ok", 1);
        expect_reply(clients[i], "ok", 2);
        expect_nothing_more(clients[i]);
    }
}

static void crowd(uint32_t shards)
{
    struct client *clients[CROWD];
    struct harness *harness = harness_open(&(struct harness_options){.shards = shards});
    send_crowd(harness, shards, clients);
    harness_run_until_idle(harness);
    expect_crowd_logged_in(clients);
    expect_nothing_stashed(harness, shards);
    harness_close(harness);
}

Test(login, bad_frames_before_it_in_one_write_are_refused_one_by_one_on_one_shard)
{
    crowd(1);
}

Test(login, bad_frames_before_it_in_one_write_are_refused_one_by_one_on_two_shards)
{
    crowd(2);
}

Test(login, bad_frames_before_it_in_one_write_are_refused_one_by_one_on_four_shards)
{
    crowd(4);
}

Test(login, bad_frames_of_clients_that_do_not_read_delay_nobody_else)
{
    struct client *clients[CROWD];
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    send_crowd(harness, 2, clients);
    for (uint32_t i = 0; i < CROWD; i++)
        client_stall(clients[i], true);
    harness_run_until_idle(harness);
    struct client *other = client_login(harness, 0, harness_name(harness, 1, 9), "");
    client_send(other, "{\"op\":\"ping\",\"id\":7}");
    harness_run_until_idle(harness);
    expect_reply(other, "ok", 7);
    for (uint32_t i = 0; i < CROWD; i++)
        client_stall(clients[i], false);
    harness_run_until_idle(harness);
    expect_crowd_logged_in(clients);
    expect_nothing_stashed(harness, 2);
    harness_close(harness);
}

Test(login, clients_that_leave_during_the_handover_leave_nothing_behind)
{
    struct client *clients[CROWD];
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    for (uint32_t turns = 0; turns < 60; turns++) {
        send_crowd(harness, 2, clients);
        for (uint32_t i = 0; i < turns; i++)
            harness_turn(harness, i % 2);
        for (uint32_t i = 0; i < CROWD; i++)
            client_drop(clients[i]);
        harness_run_until_idle(harness);
        for (uint32_t i = 0; i < CROWD; i++) {
            cr_assert(client_is_closed(clients[i]));
            client_free(&clients[i]);
        }
        expect_nothing_stashed(harness, 2);
    }
    harness_close(harness);
}

Test(login, a_connection_waits_while_too_many_handovers_to_the_same_shard_are_in_flight)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct core_peer *peer = &harness_core(harness, 0)->peers[1];
    peer->handovers_out = CORE_HANDOVERS_OUT_MAX;
    struct client *client = client_begin(harness, 0);
    send_login(client, harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    cr_assert_eq(peer->handovers_out, CORE_HANDOVERS_OUT_MAX);
    cr_assert(client_take_head(client));
    expect_nothing_more(client);
    peer->handovers_out = 0;
    harness_run_until_idle(harness);
    expect_reply(client, "ok", 1);
    cr_assert_eq(peer->handovers_out, 0, "the handover is answered");
    harness_close(harness);
}
