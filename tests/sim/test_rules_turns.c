/* turn.h: whatever some clients do, each turn ends, and other users are served within a few turns. harness_turn asserts
 * the longest turn in counted work. */
#include <criterion/criterion.h>

#include "harness.h"
#include "history/history.h"
#include "timeline/fanout.h"

/* One each to receive, to write and to answer; and each step may wait for what a turn carries over. */
#define TURNS_MAX 6u
#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

static struct harness *harness;
static struct client *alice;
static uint32_t next_id;

static void open_harness(void)
{
    harness = harness_open(&(struct harness_options){.shards = 1, .memtable_bytes = 64u << 20});
    alice = client_login(harness, 0, "alice", "");
}

static void close_harness(void)
{
    harness_close(harness);
}

TestSuite(turns, .init = open_harness, .fini = close_harness);

/* Alice sends to Bob: the number of turns until the `ok`. */
static uint32_t turns_to_ok(void)
{
    client_send(alice, "{\"op\":\"send\",\"id\":%u,\"to\":\"bob\",\"text\":\"hi\"}", next_id++);
    for (uint32_t turns = 1; turns <= 1000; turns++) {
        harness_turn(harness, 0);
        for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame)) {
            if (strcmp(frame_text(frame, "op"), "ok") != 0)
                continue;
            json_decref(frame);
            return turns;
        }
    }
    return UINT32_MAX;
}

/* Repeats that until `is_over` reports that the attack has ended. */
static void expect_service(bool (*is_over)(void))
{
    uint32_t sends = 0;
    for (; !is_over() && sends < 1000; sends++) {
        uint32_t turns = turns_to_ok();
        cr_assert_leq(turns, TURNS_MAX, "send %u was answered after %u turns", sends, turns);
    }
    cr_assert_gt(sends, 3, "the attack was over at once: the test shows nothing");
}

/* -- input -- */

#define FLOODS 8u
#define FLOOD_FRAMES 10000u

static struct client *floods[FLOODS];

static bool is_flood_over(void)
{
    for (uint32_t i = 0; i < FLOODS; i++)
        if (client_bytes_left(floods[i]) > 0)
            return false;
    return true;
}

/* Whether all frames of all floods are answered; none may be answered twice. */
static void expect_answers(uint32_t each)
{
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < FLOODS; i++) {
        uint32_t errors = 0;
        for (json_t *frame; (frame = client_next(floods[i])) != NULL; json_decref(frame))
            errors += strcmp(frame_text(frame, "code"), "bad_json") == 0;
        cr_assert_eq(errors + client_pongs(floods[i]), each);
        client_drop(floods[i]);
    }
}

/* Sends frames with `first_byte` and `text`, each answered by `answers` frames; before them one with `begin`, if that
 * is not 0. */
static void flood(uint8_t begin, uint8_t first_byte, const char *text, uint32_t answers)
{
    for (uint32_t i = 0; i < FLOODS; i++) {
        floods[i] = client_login(harness, 0, "mallory", "");
        if (begin != 0)
            client_send_frame(floods[i], begin, "", 0);
        for (uint32_t k = 0; k < FLOOD_FRAMES; k++)
            client_send_frame(floods[i], first_byte, text, strlen(text));
    }
    expect_service(is_flood_over);
    expect_answers(answers * FLOOD_FRAMES);
}

Test(turns, empty_pongs_delay_nobody)
{
    flood(0, 0x8a, "", 0);
}

Test(turns, empty_pings_delay_nobody)
{
    flood(0, 0x89, "", 1);
}

Test(turns, empty_continuations_delay_nobody)
{
    flood(0x01, 0x00, "", 0);
}

Test(turns, bad_requests_delay_nobody)
{
    flood(0, 0x81, "{", 1);
}

/* The frames with `op` that a client has received; entries count as `msg` or, for the sender, `ok`. */
static uint32_t count_entries(struct client *client)
{
    uint32_t count = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        count += strcmp(frame_text(frame, "op"), "error") != 0;
    return count;
}

/* Of each flood a part is handled before more arrives: turn by turn, because a client that is far behind is not read.
 */
Test(turns, frames_that_arrive_behind_a_part_that_was_handled_are_answered_once)
{
    for (uint32_t i = 0; i < FLOODS; i++)
        floods[i] = client_login(harness, 0, "mallory", "");
    for (uint32_t piece = 0; piece < 10; piece++) {
        for (uint32_t i = 0; i < FLOODS; i++)
            for (uint32_t k = 0; k < TURN_INPUT_SHARE + 100; k++)
                client_send_frame(floods[i], FRAME_TEXT, "{", 1);
        harness_turn(harness, 0);
    }
    expect_answers(10 * (TURN_INPUT_SHARE + 100));
}

/* A connection that was accepted later is handled first: it may use only its share of the turn. */
Test(turns, a_client_beside_a_flood_is_read_in_the_same_turn)
{
    struct client *mallory = client_login(harness, 0, "mallory", "");
    for (uint32_t i = 0; i < 3 * turn_limits[TURN_INPUT].max; i++)
        client_send_frame(mallory, FRAME_PONG, "", 0);
    client_send(alice, "{\"op\":\"ping\",\"id\":1}");
    harness_turn(harness, 0);
    json_decref(client_expect(alice, "ok"));
    harness_run_until_idle(harness);
}

#define STASHED 300u
#define STASHED_FRAMES 600u

static void send_frames(struct client *client, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_send_frame(client, FRAME_TEXT, "{", 1);
}

/* All of them together have so many frames stashed that more than a hundred turns read them. Others use up the budget
 * of the turn in which Alice's request comes, so that it is stashed, too. */
Test(turns, a_new_stash_does_not_wait_for_hundreds_of_longer_ones)
{
    struct client *stashed[STASHED];
    for (uint32_t i = 0; i < STASHED; i++)
        stashed[i] = client_login(harness, 0, "mallory", "");
    for (uint32_t i = 0; i < FLOODS; i++)
        floods[i] = client_login(harness, 0, "mallory", "");
    for (uint32_t i = 0; i < STASHED; i++)
        send_frames(stashed[i], STASHED_FRAMES);
    harness_turn(harness, 0);
    harness_turn(harness, 0);
    for (uint32_t i = 0; i < FLOODS; i++)
        send_frames(floods[i], 2 * TURN_INPUT_SHARE);
    cr_assert_leq(turns_to_ok(), TURNS_MAX);
    cr_assert_gt(harness_core(harness, 0)->conns.stash_bytes, 0);
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < STASHED; i++)
        for (uint32_t k = 0; k < STASHED_FRAMES; k++)
            json_decref(client_expect(stashed[i], "error"));
}

#define HASTY 40u
#define HASTY_SENDS 200u

static uint32_t sends_in_flight(void)
{
    return harness_core(harness, 0)->peers[0].sends_out;
}

/* Others send far more than may be in flight while the disk has a write. What is in flight stays at its limit; the rest
 * waits in stashes, and Alice passes it. */
Test(turns, sends_beyond_what_may_be_in_flight_wait_in_stashes)
{
    struct client *hasty[HASTY];
    char name[16];
    for (uint32_t i = 0; i < HASTY; i++) {
        (void)snprintf(name, sizeof name, "hasty%u", i);
        hasty[i] = client_login(harness, 0, name, "");
    }
    harness_hold_writes(harness, 0, true);
    for (uint32_t i = 0; i < HASTY; i++)
        for (uint32_t k = 0; k < HASTY_SENDS; k++)
            client_send(hasty[i], "{\"op\":\"send\",\"id\":1,\"to\":\"carol\",\"text\":\"x\"}");
    for (uint32_t turns = 0; turns < 20; turns++)
        harness_turn(harness, 0);
    cr_assert_eq(sends_in_flight(), CORE_SENDS_PAUSE);
    harness_hold_writes(harness, 0, false);
    cr_assert_leq(turns_to_ok(), TURNS_MAX);
    cr_assert_gt(harness_core(harness, 0)->conns.stash_bytes, 0);
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < HASTY; i++)
        for (uint32_t k = 0; k < HASTY_SENDS; k++)
            json_decref(client_expect(hasty[i], "ok"));
}

/* -- pages -- */

static struct client *readers[FLOODS];

static bool are_pages_over(void)
{
    return harness_core(harness, 0)->histories.count == 0;
}

static struct client *login_with_entries(uint32_t count)
{
    struct client *mallory = client_login(harness, 0, "mallory", "");
    for (uint32_t i = 0; i < count; i++) {
        client_send(mallory, "{\"op\":\"send\",\"id\":1,\"to\":\"mallory\",\"text\":\"x\"}");
        if (i % 500 == 499)
            harness_run_until_idle(harness);
    }
    return mallory;
}

Test(turns, a_page_beside_many_long_ones_comes_in_the_same_turn)
{
    struct client *mallory = login_with_entries(1000);
    for (uint32_t page = 0; page < 50; page++)
        client_send(mallory, "{\"op\":\"history\",\"id\":%u,\"with\":\"mallory\",\"limit\":1000}", page);
    client_send(alice, "{\"op\":\"history\",\"id\":1}");
    harness_turn(harness, 0);
    json_decref(client_expect(alice, "history"));
    cr_assert_lt(count_entries(mallory), 1000 + 50, "all pages of the other were over: the test shows nothing");
    harness_run_until_idle(harness);
}

Test(turns, pages_of_a_conversation_delay_nobody)
{
    login_with_entries(6000);
    for (uint32_t i = 0; i < FLOODS; i++)
        readers[i] = client_login(harness, 0, "mallory", "");
    for (uint32_t i = 0; i < FLOODS; i++)
        for (uint32_t page = 0; page < 50; page++)
            client_send(readers[i], "{\"op\":\"history\",\"id\":%u,\"with\":\"mallory\",\"limit\":200}", page);
    harness_turn(harness, 0);
    expect_service(are_pages_over);
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < FLOODS; i++)
        for (uint32_t page = 0; page < 50; page++) {
            json_t *frame = client_expect(readers[i], "history");
            cr_assert_eq(frame_number(frame, "id"), page,
                         "pages are answered in the order in which they were asked for");
            json_decref(frame);
        }
}

/* The page is requested at the end of a turn, by a frame that had to wait for its share of the input. */
Test(turns, a_page_that_is_carried_over_from_the_end_of_a_turn_goes_on_by_itself)
{
    struct client *mallory = client_login(harness, 0, "mallory", "");
    for (uint32_t i = 0; i < 2500; i++) {
        client_send(mallory, "{\"op\":\"send\",\"id\":1,\"to\":\"mallory\",\"text\":\"x\"}");
        if (i % 500 == 499)
            harness_run_until_idle(harness);
    }
    for (uint32_t pongs = 0; pongs < 3 * TURN_INPUT_SHARE; pongs++) {
        for (json_t *frame; (frame = client_next(mallory)) != NULL; json_decref(frame))
            continue;
        for (uint32_t i = 0; i < pongs; i++)
            client_send_frame(mallory, 0x8a, "", 0);
        client_send(mallory, "{\"op\":\"history\",\"id\":2,\"with\":\"nobody\"}");
        harness_run_until_idle(
            harness); /* harness_turn asserts that a shard that has nothing more to do has nothing in a queue */
        json_decref(client_expect(mallory, "history"));
    }
}

/* More connections than pages are gathered at once, each with more pages to ask for. */
#define MANY (HISTORY_ACTIVE_MAX + 16)
#define PAGES_EACH 20u

Test(turns, pages_for_many_connections_of_one_user_keep_none_from_others)
{
    struct client *many[MANY];
    for (uint32_t i = 0; i < MANY; i++)
        many[i] = client_login(harness, 0, "mallory", "");
    for (uint32_t i = 0; i < 1200; i++) {
        client_send(many[0], "{\"op\":\"send\",\"id\":1,\"to\":\"mallory\",\"text\":\"x\"}");
        if (i % 100 == 99)
            harness_run_until_idle(harness);
    }
    harness_advance(harness, ROUND_US); /* into a run, so that each page waits for the reader */
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    for (uint32_t i = 0; i < MANY; i++) {
        (void)count_entries(many[i]);
        for (uint32_t page = 0; page < PAGES_EACH; page++)
            client_send(many[i], "{\"op\":\"history\",\"id\":1,\"with\":\"mallory\",\"limit\":100}");
    }
    for (uint32_t turns = 0; turns < 20; turns++)
        harness_turn(harness, 0);
    cr_assert_gt(harness_core(harness, 0)->histories.active, HISTORY_ACTIVE_MAX / 2);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    client_send(alice, "{\"op\":\"history\",\"id\":2}");
    json_t *frame = NULL;
    for (uint32_t turns = 0; frame == NULL && turns < 100 * MANY; turns++) {
        harness_turn(harness, 0);
        frame = client_next(alice);
    }
    cr_assert(frame != NULL);
    cr_assert_str_eq(frame_text(frame, "op"), "history");
    json_decref(frame);
    uint32_t answered = 0;
    for (uint32_t i = 0; i < MANY; i++)
        answered += count_entries(many[i]);
    cr_assert_leq(answered, 3 * MANY, "%u of %u pages of others were answered before that of Alice", answered,
                  MANY * PAGES_EACH);
}

/* -- fan-out -- */

#define CROWD 200u
#define SENDERS 20u

static struct client *crowd[CROWD];

static bool is_fanout_over(void)
{
    return harness_core(harness, 0)->fanouts.pool.taken == 0;
}

static uint32_t crowd_sends(uint32_t each)
{
    for (uint32_t i = 0; i < SENDERS; i++)
        for (uint32_t k = 0; k < each; k++)
            client_send(crowd[i], "{\"op\":\"send\",\"id\":%u,\"to\":\"crowd\",\"text\":\"%u\"}", k, k);
    return SENDERS * each;
}

static void open_crowd(void)
{
    for (uint32_t i = 0; i < CROWD; i++)
        crowd[i] = client_login(harness, 0, "crowd", "");
}

static uint32_t count_errors(struct client *client, const char *code, uint32_t *entries)
{
    uint32_t count = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame)) {
        bool is_error = strcmp(frame_text(frame, "op"), "error") == 0;
        if (is_error)
            cr_assert_str_eq(frame_text(frame, "code"), code);
        count += is_error;
        *entries += !is_error;
    }
    return count;
}

Test(turns, a_fan_out_to_many_connections_delays_nobody)
{
    open_crowd();
    uint32_t sent = crowd_sends(20);
    for (uint32_t turns = 0; is_fanout_over() && turns < 10; turns++)
        harness_turn(harness, 0);
    expect_service(is_fanout_over);
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < CROWD; i++)
        cr_assert_eq(count_entries(crowd[i]), sent);
}

Test(turns, a_sender_s_own_ok_waits_for_none_of_the_pushes_of_others)
{
    open_crowd();
    struct client *carols[20];
    for (uint32_t i = 0; i < 20; i++)
        carols[i] = client_login(harness, 0, "carol", "");
    crowd_sends(20);
    for (uint32_t turns = 0; is_fanout_over() && turns < 10; turns++)
        harness_turn(harness, 0);
    client_send(carols[0], "{\"op\":\"send\",\"id\":1,\"to\":\"bob\",\"text\":\"hi\"}");
    uint32_t turns = 0;
    for (json_t *frame = NULL; frame == NULL && turns < 1000; turns++) {
        harness_turn(harness, 0);
        frame = client_next(carols[0]);
        if (frame != NULL)
            json_decref(frame);
    }
    cr_assert_leq(turns, TURNS_MAX);
    harness_run_until_idle(harness);
    for (uint32_t i = 1; i < 20; i++)
        cr_assert_eq(count_entries(carols[i]), 1, "the other connections receive the entry in a later turn");
}

/* `sends` to a user with `conns` connections, in a turn that has `left` pushes left: the pushes that the next turn
 * makes. */
static uint32_t carried_pushes(uint32_t conns, uint32_t left, uint32_t sends)
{
    struct core *core = harness_core(harness, 0);
    for (uint32_t i = 0; i < conns; i++)
        crowd[i] = client_login(harness, 0, "crowd", "");
    harness_hold_writes(harness, 0, true);
    for (uint32_t i = 0; i < sends; i++)
        client_send(alice, "{\"op\":\"send\",\"id\":%u,\"to\":\"crowd\",\"text\":\"hi\"}", i);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 0, false);
    core->turn.left[TURN_PUSHES] = left;
    harness_turn(harness, 0); /* the sends are durable; then the end of the turn, with budgets for the next */
    uint32_t carried = turn_limits[TURN_PUSHES].max - core->turn.left[TURN_PUSHES];
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < conns; i++) {
        cr_assert_eq(count_entries(crowd[i]), sends);
        client_drop(crowd[i]);
    }
    harness_run_until_idle(harness);
    return carried;
}

Test(turns, few_pushes_go_at_once_some_while_there_is_room_and_many_wait)
{
    cr_assert_eq(carried_pushes(2, 0, 1), 0);
    cr_assert_eq(carried_pushes(3, 1, 1), 0);
    cr_assert_gt(carried_pushes(3, 0, 1), 0);
    cr_assert_gt(carried_pushes(3, 1, 2), 0, "the first entry has used up what was left");
    cr_assert_eq(carried_pushes(16, 1, 1), 0);
    cr_assert_gt(carried_pushes(17, 1, 1), 0);
}

Test(turns, a_fan_out_that_comes_behind_a_large_one_waits_for_one_share_of_it)
{
    struct client *small[20];
    open_crowd();
    for (uint32_t i = 0; i < 20; i++)
        small[i] = client_login(harness, 0, "small", "");
    crowd_sends(20);
    for (uint32_t turns = 0; is_fanout_over() && turns < 10; turns++)
        harness_turn(harness, 0);
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"small\",\"text\":\"hi\"}");
    uint32_t first = 0, last = 0;
    for (uint32_t turns = 1; turns <= TURNS_MAX; turns++) {
        harness_turn(harness, 0);
        first = first == 0 && count_entries(small[0]) == 1 ? turns : first;
        last = last == 0 && count_entries(small[19]) == 1 ? turns : last;
    }
    cr_assert(first > 0 && last > 0);
    cr_assert_leq(last, first + 1, "the small fan-out goes to all connections in two turns");
    cr_assert_not(is_fanout_over(), "the large fan-out goes on");
}

/* Entries that are settled and not pushed yet count against the user. */
Test(turns, a_send_to_more_connections_than_can_be_served_is_busy_and_nothing_is_lost)
{
    open_crowd();
    harness_hold_writes(harness, 0, true);
    uint32_t entries = 0;
    uint32_t sent = crowd_sends(SENDERS * 4);
    harness_run_until_idle(harness);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < SENDERS; i++)
        refused += count_errors(crowd[i], "busy", &entries);
    cr_assert_eq(entries, 0);
    cr_assert_gt(refused, 0);
    cr_assert_leq((sent - refused) * CROWD, FANOUT_PUSHES_MAX + CROWD);
    harness_hold_writes(harness, 0, false);
    harness_run_until_idle(harness);
    cr_assert_eq(count_entries(crowd[CROWD - 1]), sent - refused);
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"crowd\",\"text\":\"again\"}");
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "ok"));
    cr_assert_eq(count_entries(crowd[CROWD - 1]), 1);
}

/* -- timers -- */

Test(turns, a_thousand_pings_that_are_due_at_once_are_sent_in_several_turns)
{
    for (uint32_t i = 0; i < 900; i++)
        client_login(harness, 0, "crowd", "");
    harness_advance(harness, 26000000);
    cr_assert_leq(turns_to_ok(), TURNS_MAX);
    uint64_t count = harness_core(harness, 0)->turn.count;
    harness_run_until_idle(harness);
    cr_assert_gt(harness_core(harness, 0)->turn.count, count);
}
