/* DESIGN, "Connections": what stands before and behind a login in the same write, on the shard of the user and on
 * another one. */
#include <criterion/criterion.h>

#include "world.h"

/* A test that cannot end has failed. */
TestSuite(login, .timeout = 30);

#define CROWD 6u

/* From one receive's worth on: in some of the crowd reading pauses, as much output waits, in the receive that has the
 * login. */
static uint32_t bad_frames_of(uint32_t number)
{
    return 700 + 260 * number;
}

static void send_login(struct client *client, const char *user)
{
    client_send(client, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", user);
}

/* The next frame is `op` with this id, and it is its only one. */
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
    cr_assert_null(frame, "one frame too many, `%s`", frame_text(frame, "op"));
}

/* Nothing of what connections took on their way is left on any shard. */
static void expect_nothing_stashed(struct world *world, uint32_t shards)
{
    for (uint32_t i = 0; i < shards; i++) {
        cr_assert_eq(world_core(world, i)->stash_bytes, 0, "shard %u", i);
        cr_assert(list_is_empty(&world_core(world, i)->moving_conns), "shard %u", i);
        cr_assert(list_is_empty(&world_core(world, i)->resume_conns), "shard %u", i);
    }
}

/* Head, login and requests leave the client as one piece, which is one receive of shard 0. */
static void all_in_one_piece(uint32_t shard_of_user)
{
    struct world *world = world_open(&(struct world_options){.shards = 2});
    const char *user = world_name(world, shard_of_user, 0);
    struct client *client = client_begin(world, 0);
    send_login(client, user);
    client_send(client, "{\"op\":\"ping\",\"id\":2}");
    client_send(client, "{\"op\":\"history\",\"id\":3}");
    client_send(client, "{\"op\":\"ping\",\"id\":4}");
    client_send(client, "{\"op\":\"send\",\"id\":5,\"to\":\"%s\",\"text\":\"hi\"}", world_name(world, 1, 1));
    world_settle(world);
    cr_assert(client_take_head(client));
    expect_reply(client, "ok", 1);
    expect_reply(client, "ok", 2);
    expect_reply(client, "history", 3);
    expect_reply(client, "ok", 4);
    expect_reply(client, "ok", 5);
    expect_nothing_more(client);
    cr_assert_str_eq(history_texts(client, ""), "hi");
    expect_nothing_stashed(world, 2);
    world_close(world);
}

Test(login, requests_behind_it_in_one_receive_are_answered_once_and_in_order)
{
    all_in_one_piece(0);
}

Test(login, requests_behind_it_in_one_receive_travel_to_the_shard_of_the_user)
{
    all_in_one_piece(1);
}

Test(login, a_frame_behind_it_that_is_cut_by_the_end_of_a_receive_travels_along)
{
    static char text[6000];
    struct world *world = world_open(&(struct world_options){.shards = 2});
    struct client *client = client_begin(world, 0);
    memset(text, 'x', sizeof text - 1);
    send_login(client, world_name(world, 1, 0));
    client_send(client, "{\"op\":\"send\",\"id\":2,\"to\":\"%s\",\"text\":\"%s\"}", world_name(world, 0, 0), text);
    client_send(client, "{\"op\":\"ping\",\"id\":3}");
    world_settle(world);
    cr_assert(client_take_head(client));
    expect_reply(client, "ok", 1);
    expect_reply(client, "ok", 3);
    expect_reply(client, "ok", 2);
    expect_nothing_more(client);
    cr_assert_str_eq(history_texts(client, ""), text);
    expect_nothing_stashed(world, 2);
    world_close(world);
}

static void send_crowd(struct world *world, uint32_t shards, struct client *clients[CROWD])
{
    for (uint32_t i = 0; i < CROWD; i++) {
        clients[i] = client_begin(world, i % shards);
        for (uint32_t k = 0; k < bad_frames_of(i); k++)
            client_send(clients[i], "{");
        send_login(clients[i], world_name(world, (i + 1) % shards, i));
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
    struct world *world = world_open(&(struct world_options){.shards = shards});
    send_crowd(world, shards, clients);
    world_settle(world);
    expect_crowd_logged_in(clients);
    expect_nothing_stashed(world, shards);
    world_close(world);
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

Test(login, bad_frames_of_those_who_do_not_read_hold_up_nobody_else)
{
    struct client *clients[CROWD];
    struct world *world = world_open(&(struct world_options){.shards = 2});
    send_crowd(world, 2, clients);
    for (uint32_t i = 0; i < CROWD; i++)
        client_stall(clients[i], true);
    world_settle(world);
    struct client *other = client_login(world, 0, world_name(world, 1, 9), "");
    client_send(other, "{\"op\":\"ping\",\"id\":7}");
    world_settle(world);
    expect_reply(other, "ok", 7);
    for (uint32_t i = 0; i < CROWD; i++)
        client_stall(clients[i], false);
    world_settle(world);
    expect_crowd_logged_in(clients);
    expect_nothing_stashed(world, 2);
    world_close(world);
}

Test(login, those_who_go_while_they_move_leave_nothing_behind)
{
    struct client *clients[CROWD];
    struct world *world = world_open(&(struct world_options){.shards = 2});
    for (uint32_t turns = 0; turns < 60; turns++) {
        send_crowd(world, 2, clients);
        for (uint32_t i = 0; i < turns; i++)
            world_turn(world, i % 2);
        for (uint32_t i = 0; i < CROWD; i++)
            client_drop(clients[i]);
        world_settle(world);
        for (uint32_t i = 0; i < CROWD; i++) {
            cr_assert(client_is_closed(clients[i]));
            client_free(&clients[i]);
        }
        expect_nothing_stashed(world, 2);
    }
    world_close(world);
}

Test(login, a_connection_waits_while_too_many_are_on_their_way_to_the_same_shard)
{
    struct world *world = world_open(&(struct world_options){.shards = 2});
    struct core_peer *peer = &world_core(world, 0)->peers[1];
    peer->moves_out = CORE_MOVES_OUT_MAX;
    struct client *client = client_begin(world, 0);
    send_login(client, world_name(world, 1, 0));
    world_settle(world);
    cr_assert_eq(peer->moves_out, CORE_MOVES_OUT_MAX);
    cr_assert(client_take_head(client));
    expect_nothing_more(client);
    peer->moves_out = 0;
    world_settle(world);
    expect_reply(client, "ok", 1);
    cr_assert_eq(peer->moves_out, 0, "it has come back");
    world_close(world);
}
