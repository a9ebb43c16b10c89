/* DESIGN, "Keys": a resend stores nothing, whenever it comes. */
#include <criterion/criterion.h>

#include "world.h"

static struct world *open_world(void)
{
    return world_open(&(struct world_options){.shards = 2});
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

Test(keys, a_key_that_is_used_again_stores_nothing_and_gives_the_first_ones_ts_and_mid)
{
    struct world *world = open_world();
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    struct client *bob = client_login(world, 1, world_name(world, 1, 0), "");
    send_keyed(alice, 1, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    json_t *first = take_ok(alice, 1);
    send_keyed(alice, 2, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    expect_dup(alice, 2, first);
    cr_assert_str_eq(history_texts(bob, ""), "once");
    json_decref(first);
    world_close(world);
}

Test(keys, the_same_key_with_another_text_or_recipient_is_a_conflict)
{
    struct world *world = open_world();
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    send_keyed(alice, 1, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    send_keyed(alice, 2, world_name(world, 1, 0), "twice", "k");
    send_keyed(alice, 3, world_name(world, 1, 1), "once", "k");
    world_settle(world);
    for (uint64_t id = 2; id <= 3; id++) {
        json_t *frame = client_expect(alice, "error");
        cr_assert_str_eq(frame_text(frame, "code"), "key_conflict");
        cr_assert_eq(frame_number(frame, "id"), id);
        json_decref(frame);
    }
    cr_assert_str_eq(history_texts(alice, ""), "once");
    world_close(world);
}

Test(keys, a_resend_while_the_first_is_on_its_way_waits_and_shares_its_fate)
{
    struct world *world = open_world();
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    struct client *again = client_login(world, 1, world_name(world, 0, 0), "");
    world_hold_writes(world, 1, true);
    send_keyed(alice, 1, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    send_keyed(again, 2, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    cr_assert_null(client_next(alice));
    cr_assert_null(client_next(again));
    world_hold_writes(world, 1, false);
    world_settle(world);
    json_t *first = take_ok(alice, 1);
    expect_dup(again, 2, first);
    cr_assert_str_eq(history_texts(alice, ""), "once");
    json_decref(first);
    world_close(world);
}

Test(keys, a_resend_shares_also_the_unknown_outcome_of_a_failed_write)
{
    struct world *world = open_world();
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    world_hold_writes(world, 1, true);
    send_keyed(alice, 1, world_name(world, 1, 0), "once", "k");
    send_keyed(alice, 2, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    world_fail_writes(world, 1);
    world_hold_writes(world, 1, false);
    world_settle(world);
    for (int i = 0; i < 2; i++) {
        json_t *frame = client_expect(alice, "error");
        cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
        json_decref(frame);
    }
    cr_assert_str_eq(history_texts(alice, ""), "");
    world_close(world);
}

Test(keys, sends_wait_in_order_while_the_window_is_read)
{
    char dir[64];
    world_dir_make(dir);
    struct world_options options = {.shards = 2, .dir = dir};
    struct world *world = world_open(&options);
    const char *bob = world_name(world, 1, 0);
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    send_keyed(alice, 1, bob, "zero", "k0");
    world_settle(world);
    world_close(world); /* its last checkpoint brings the key into a run */
    world = world_open(&options);
    bob = world_name(world, 1, 0);
    alice = client_login(world, 0, world_name(world, 0, 0), "");
    world_hold_jobs(world, 0, WORLD_READER, true);
    send_keyed(alice, 2, bob, "one", "k1");
    send_keyed(alice, 3, bob, "two", "k2");
    send_keyed(alice, 4, bob, "zero", "k0");
    send_keyed(alice, 5, bob, "one", "k1"); /* marked before the read has begun */
    client_send(alice, "{\"op\":\"send\",\"id\":6,\"to\":\"%s\",\"text\":\"three\"}", bob);
    world_settle(world);
    cr_assert_null(client_next(alice));
    world_hold_jobs(world, 0, WORLD_READER, false);
    world_settle(world);
    uint32_t dups = 0;
    for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame))
        dups += json_is_true(json_object_get(frame, "dup"));
    cr_assert_eq(dups, 2);
    cr_assert_str_eq(history_texts(alice, ""), "zero one two three");
    world_close(world);
    world_dir_remove(dir);
}

Test(keys, a_key_is_known_after_a_restart_from_a_run)
{
    char dir[64];
    world_dir_make(dir);
    struct world_options options = {.shards = 2, .dir = dir};
    struct world *world = world_open(&options);
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    send_keyed(alice, 1, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    json_t *first = take_ok(alice, 1);
    world_close(world);
    world = world_open(&options);
    alice = client_login(world, 0, world_name(world, 0, 0), "");
    send_keyed(alice, 2, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    expect_dup(alice, 2, first);
    send_keyed(alice, 3, world_name(world, 1, 0), "other", "k");
    world_settle(world);
    json_t *frame = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "key_conflict");
    json_decref(frame);
    json_decref(first);
    world_close(world);
    world_dir_remove(dir);
}

/* Twice a little more resends than half of what may be unanswered: a dup is an answer like any other. */
Test(keys, resends_that_wait_for_the_first_count_as_answered_when_they_are)
{
    enum { RESENDS = LIMIT_UNANSWERED / 2 + 100 };
    struct world *world = open_world();
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    for (int time = 0; time < 2; time++) {
        const char *key = time == 0 ? "k0" : "k1";
        world_hold_writes(world, 1, true);
        for (uint32_t i = 0; i < RESENDS; i++)
            send_keyed(alice, i, world_name(world, 1, 0), "once", key);
        world_settle(world);
        cr_assert_null(client_next(alice));
        cr_assert_eq(world_core(world, 0)->waiter_pool.taken, RESENDS - 1, "all are read, time %d", time);
        world_hold_writes(world, 1, false);
        world_settle(world);
        uint32_t answered = 0;
        for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame))
            answered += strcmp(frame_text(frame, "op"), "ok") == 0;
        cr_assert_eq(answered, RESENDS);
    }
    client_send(alice, "{\"op\":\"ping\",\"id\":9}");
    world_settle(world);
    json_decref(take_ok(alice, 9));
    cr_assert_str_eq(history_texts(alice, ""), "once once");
    world_close(world);
}

Test(keys, the_window_of_a_user_who_has_left_is_let_go)
{
    struct world *world = open_world();
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    send_keyed(alice, 1, world_name(world, 1, 0), "once", "k");
    world_settle(world);
    cr_assert_gt(world_core(world, 0)->key_memory.bytes, 0);
    client_drop(alice);
    world_settle(world);
    cr_assert_eq(world_core(world, 0)->key_memory.bytes, 0);
    cr_assert(list_is_empty(&world_core(world, 0)->key_users));
    world_close(world);
}

/* Or each resend of it would be looked up in the runs. */
Test(keys, the_key_of_a_refused_send_is_forgotten_at_once)
{
    struct world *world = open_world();
    struct client *alice = client_login(world, 0, world_name(world, 0, 0), "");
    send_keyed(alice, 1, world_name(world, 1, 0), "first", "k1");
    world_settle(world);
    json_decref(take_ok(alice, 1));
    world_hold_writes(world, 1, true);
    send_keyed(alice, 2, world_name(world, 1, 0), "slow", "k2");
    world_settle(world);
    world_advance(world, 6000000);
    send_keyed(alice, 3, world_name(world, 1, 0), "refused", "k3");
    world_settle(world);
    json_t *frame = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "busy");
    json_decref(frame);
    world_hold_writes(world, 1, false);
    world_settle(world);
    send_keyed(alice, 4, world_name(world, 1, 0), "later", "k4");
    world_settle(world);
    world_advance(world, 6000000);
    world_settle(world);
    cr_assert_gt(world_core(world, 0)->runs_ts_max, 0);
    json_decref(take_ok(alice, 2));
    json_decref(take_ok(alice, 4));
    world_hold_jobs(world, 0, WORLD_READER, true);
    send_keyed(alice, 5, world_name(world, 1, 0), "refused", "k3");
    world_settle(world);
    frame = take_ok(alice, 5);
    cr_assert_null(json_object_get(frame, "dup"));
    json_decref(frame);
    world_hold_jobs(world, 0, WORLD_READER, false);
    world_close(world);
}
