/* fanout.h: entries of a user with more connections than one turn can push to. */
#include <criterion/criterion.h>

#include "harness.h"

/* So many that a turn ends between two connections, with more of them left. */
#define CONNS 140u
#define ENTRIES 29u
_Static_assert(CONNS *(TURN_CONN_PUSHES + ENTRIES) > 5 * TURN_PUSHES_SHARE, "they take several turns");

static struct harness *harness;
static struct client *alice;
static struct client *bobs[CONNS];
static uint32_t first_part; /* what the first connection to be pushed to has received; it is the newest */
static uint32_t last_part;  /* and the last one to be pushed to */

/* Bob has many connections. What Alice sends becomes durable all at once, when the writes are released. */
static void open_crowd(void)
{
    harness = harness_open(&(struct harness_options){.shards = 2});
    alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (uint32_t i = 0; i < CONNS; i++)
        bobs[i] = client_login(harness, i % 2, harness_name(harness, 1, 0), "");
    harness_hold_writes(harness, 1, true);
    for (uint32_t i = 0; i < ENTRIES; i++)
        client_send(alice, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"m%u\"}", i, harness_name(harness, 1, 0),
                    i);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, false);
}

static void close_crowd(void)
{
    harness_close(harness);
}

TestSuite(fanout, .init = open_crowd, .fini = close_crowd);

/* The client receives `count` entries from number `first` on, each with the one before as `prev`. */
static void expect_entries(struct client *client, uint32_t first, uint32_t count)
{
    char text[16];
    uint64_t prev = 0;
    for (uint32_t i = first; i < first + count; i++) {
        json_t *frame = client_next(client);
        snprintf(text, sizeof text, "m%u", i);
        cr_assert_not_null(frame, "entry %u was not received", i);
        cr_assert_str_eq(frame_text(frame, "text"), text);
        cr_assert(i == first || frame_number(frame, "prev") == prev);
        prev = frame_number(frame, "ts");
        json_decref(frame);
    }
    cr_assert_null(client_next(client));
}

static uint32_t take_all(struct client *client)
{
    uint32_t count = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; count++)
        json_decref(frame);
    return count;
}

/* Turns of Bob's shard until the first of his connections has received something, and the last one not all. */
static void give_a_part(void)
{
    first_part = 0;
    for (uint32_t turns = 0; first_part == 0 && turns < 1000; turns++) {
        harness_turn(harness, 1);
        first_part = take_all(bobs[CONNS - 1]);
    }
    cr_assert_gt(first_part, 0);
    last_part = take_all(bobs[0]);
    cr_assert_lt(last_part, ENTRIES);
}

Test(fanout, what_a_turn_has_no_room_for_follows_in_the_next_ones_in_order)
{
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < CONNS; i++)
        expect_entries(bobs[i], 0, ENTRIES);
}

Test(fanout, what_a_turn_begins_is_not_pushed_twice_by_the_next)
{
    give_a_part();
    harness_run_until_idle(harness);
    expect_entries(bobs[CONNS - 1], first_part, ENTRIES - first_part);
    expect_entries(bobs[0], last_part, ENTRIES - last_part);
    for (uint32_t i = 1; i < CONNS - 1; i++)
        expect_entries(bobs[i], 0, ENTRIES);
}

Test(fanout, connections_that_leave_between_two_turns_take_nothing_from_the_others)
{
    give_a_part();
    for (uint32_t i = 1; i < CONNS - 1; i++)
        client_drop(bobs[i]);
    harness_run_until_idle(harness);
    expect_entries(bobs[0], last_part, ENTRIES - last_part);
    expect_entries(bobs[CONNS - 1], first_part, ENTRIES - first_part);
}

Test(fanout, when_all_have_left_between_two_turns_its_memory_is_freed)
{
    give_a_part();
    for (uint32_t i = 0; i < CONNS; i++)
        client_drop(bobs[i]);
    harness_run_until_idle(harness);
    cr_assert_eq(harness_core(harness, 1)->fanouts.pool.taken, 0);
    cr_assert_eq(harness_core(harness, 1)->deliveries.arrival_pool.taken, 0);
}

Test(fanout, a_login_between_two_turns_gets_only_what_comes_after_its_last)
{
    give_a_part();
    struct client *late = client_login(harness, 0, harness_name(harness, 1, 0), "");
    harness_run_until_idle(harness);
    cr_assert_null(client_next(late));
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"m%u\"}", harness_name(harness, 1, 0),
                ENTRIES);
    harness_run_until_idle(harness);
    expect_entries(late, ENTRIES, 1);
    expect_entries(bobs[0], last_part, ENTRIES + 1 - last_part);
}
