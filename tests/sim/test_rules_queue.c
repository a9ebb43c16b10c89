/* A send: queues of the two timelines, marks, prev, letters. */
#include <criterion/criterion.h>

#include "harness.h"

static struct harness *open_harness(uint32_t shards)
{
    return harness_open(&(struct harness_options){.shards = shards});
}

static void send_text(struct client *client, uint32_t id, const char *to, const char *text)
{
    client_send(client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%s\"}", id, to, text);
}

static void expect_nothing(struct client *client)
{
    json_t *frame = client_next(client);
    cr_assert(frame == NULL, "%s", frame == NULL ? "" : json_dumps(frame, 0));
}

/* Takes the next frame, an entry of the timeline, and checks the chain. Returns its ts. */
static uint64_t expect_entry(struct client *client, const char *op, const char *text, uint64_t prev)
{
    json_t *frame = client_next(client);
    cr_assert(frame != NULL, "no %s %s", op, text);
    cr_assert_str_eq(frame_text(frame, "op"), op);
    if (strcmp(op, "msg") == 0)
        cr_assert_str_eq(frame_text(frame, "text"), text);
    cr_assert_eq(frame_number(frame, "prev"), prev);
    uint64_t ts = frame_number(frame, "ts");
    json_decref(frame);
    return ts;
}

Test(queue, nothing_is_pushed_or_acknowledged_before_it_is_durable)
{
    struct harness *harness = open_harness(2);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    harness_hold_writes(harness, 1, true);
    send_text(alice, 1, harness_name(harness, 1, 0), "hi");
    harness_run_until_idle(harness);
    expect_nothing(alice);
    expect_nothing(bob);
    cr_assert_str_eq(history_texts(bob, ""), "");
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    expect_entry(alice, "ok", "hi", 0);
    expect_entry(bob, "msg", "hi", 0);
    harness_close(harness);
}

Test(queue, what_settles_early_waits_for_the_older_entry_and_the_chain_follows_the_order_of_ts)
{
    struct harness *harness = open_harness(3);
    const char *alice_name = harness_name(harness, 0, 0);
    struct client *alice = client_login(harness, 0, alice_name, "");
    struct client *other = client_login(harness, 0, alice_name, "");
    harness_hold_writes(harness, 1, true);
    send_text(alice, 1, harness_name(harness, 1, 0), "first");
    send_text(alice, 2, harness_name(harness, 2, 0), "second");
    harness_run_until_idle(harness);
    expect_nothing(alice);
    expect_nothing(other);
    cr_assert_str_eq(history_texts(alice, ""), "", "only what is below the oldest pending entry is visible");
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    uint64_t first = expect_entry(alice, "ok", "first", 0);
    uint64_t second = expect_entry(alice, "ok", "second", first);
    cr_assert_gt(second, first);
    cr_assert_eq(expect_entry(other, "msg", "first", 0), first);
    cr_assert_eq(expect_entry(other, "msg", "second", first), second);
    cr_assert_str_eq(history_texts(alice, ""), "first second");
    harness_close(harness);
}

Test(queue, a_login_sees_last_below_the_oldest_pending_entry)
{
    struct harness *harness = open_harness(3);
    const char *alice_name = harness_name(harness, 0, 0);
    struct client *alice = client_login(harness, 0, alice_name, "");
    send_text(alice, 1, harness_name(harness, 2, 0), "zero");
    harness_run_until_idle(harness);
    uint64_t zero = expect_entry(alice, "ok", "zero", 0);
    harness_hold_writes(harness, 1, true);
    send_text(alice, 2, harness_name(harness, 1, 0), "first");
    send_text(alice, 3, harness_name(harness, 2, 0), "second");
    harness_run_until_idle(harness);
    struct client *late = client_connect(harness, 0);
    client_send(late, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"after\":0}", alice_name);
    harness_run_until_idle(harness);
    json_t *login = client_expect(late, "ok");
    cr_assert_eq(frame_number(login, "last"), zero);
    json_decref(login);
    expect_entry(late, "msg", "zero", 0);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    json_decref(client_expect(late, "live"));
    uint64_t first = expect_entry(late, "msg", "first", zero);
    expect_entry(late, "msg", "second", first);
    harness_close(harness);
}

Test(queue, a_durable_write_puts_both_copies_into_memory_though_their_queues_wait)
{
    struct harness *harness = open_harness(3);
    const char *bob_name = harness_name(harness, 2, 0);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    send_text(alice, 1, harness_name(harness, 1, 0), "stuck");
    send_text(alice, 2, bob_name, "through");
    harness_run_until_idle(harness);
    struct memtable_hit hit;
    struct span alice_span = span_of(harness_name(harness, 0, 0));
    cr_assert_eq(
        memtable_range(harness_core(harness, 0)->generations.filling, alice_span, 0, UINT64_MAX, true, &hit, 1), 1,
        "the letter has returned, so the sender's copy is in memory");
    cr_assert_eq(
        memtable_range(harness_core(harness, 2)->generations.filling, span_of(bob_name), 0, UINT64_MAX, true, &hit, 1),
        1);
    struct client *bob = client_login(harness, 2, bob_name, "");
    cr_assert_str_eq(history_texts(bob, ""), "through", "the recipient's queue does not wait for the sender's");
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    harness_close(harness);
}

Test(queue, a_message_to_oneself_is_stored_once_and_its_ok_is_the_entry)
{
    struct harness *harness = open_harness(2);
    const char *name = harness_name(harness, 0, 0);
    struct client *here = client_login(harness, 0, name, "");
    struct client *there = client_login(harness, 1, name, "");
    client_send(here, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"note\",\"key\":\"k\"}", name);
    harness_run_until_idle(harness);
    uint64_t ts = expect_entry(here, "ok", "note", 0);
    json_t *frame = client_next(there);
    cr_assert_eq(frame_number(frame, "ts"), ts);
    cr_assert_str_eq(frame_text(frame, "key"), "k");
    json_decref(frame);
    expect_nothing(here);
    expect_nothing(there);
    cr_assert_str_eq(history_texts(here, ""), "note");
    harness_close(harness);
}

Test(queue, the_recipient_never_gets_the_key)
{
    struct harness *harness = open_harness(2);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"x\",\"key\":\"secret\"}",
                harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    json_t *frame = client_expect(bob, "msg");
    cr_assert_null(json_object_get(frame, "key"));
    json_decref(frame);
    client_send(bob, "{\"op\":\"history\",\"id\":2}");
    harness_run_until_idle(harness);
    frame = client_expect(bob, "history");
    cr_assert_null(json_object_get(json_array_get(json_object_get(frame, "messages"), 0), "key"));
    json_decref(frame);
    harness_close(harness);
}

Test(queue, ts_rises_though_the_clock_steps_back)
{
    struct harness *harness = open_harness(2);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    uint64_t last = 0;
    for (uint32_t i = 0; i < 5; i++) {
        send_text(alice, i, harness_name(harness, 1, 0), "x");
        harness_run_until_idle(harness);
        last = expect_entry(alice, "ok", "x", last);
        harness_advance(harness, -3600000000);
    }
    harness_close(harness);
}

Test(queue, the_entry_of_a_sender_who_left_is_stored_all_the_same)
{
    struct harness *harness = open_harness(2);
    const char *alice_name = harness_name(harness, 0, 0);
    struct client *alice = client_login(harness, 0, alice_name, "");
    harness_hold_writes(harness, 1, true);
    send_text(alice, 1, harness_name(harness, 1, 0), "farewell");
    harness_run_until_idle(harness);
    client_drop(alice);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(alice));
    /* The slot of the connection is in use again: the generation in the letter distinguishes the two. */
    struct client *again = client_login(harness, 0, alice_name, "");
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    expect_entry(again, "msg", "farewell", 0);
    expect_nothing(again);
    harness_close(harness);
}

Test(queue, a_queue_that_is_full_answers_busy_and_nothing_of_that_is_stored)
{
    enum { SENDERS = 10, EACH = 1000 };
    struct harness *harness = open_harness(2);
    struct client *alices[SENDERS];
    uint32_t busy = 0;
    for (uint32_t i = 0; i < SENDERS; i++)
        alices[i] = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    for (uint32_t i = 0; i < SENDERS; i++)
        for (uint32_t k = 0; k < EACH; k++)
            send_text(alices[i], k, harness_name(harness, 1, 0), "x");
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < SENDERS; i++)
        for (json_t *frame; (frame = client_next(alices[i])) != NULL; json_decref(frame)) {
            cr_assert_str_eq(frame_text(frame, "code"), "busy");
            cr_assert_gt(frame_number(frame, "retry_after"), 0);
            busy++;
        }
    cr_assert_gt(busy, 0);
    cr_assert_lt(busy, SENDERS * EACH);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    uint64_t prev = 0;
    uint32_t entries = 0;
    for (json_t *frame; (frame = client_next(alices[0])) != NULL; json_decref(frame), entries++) {
        cr_assert_eq(frame_number(frame, "prev"), prev);
        prev = frame_number(frame, "ts");
    }
    cr_assert_eq(entries, SENDERS * EACH - busy);
    harness_close(harness);
}

/* More sends in flight than CORE_SENDS_OUT_MAX, which bounds only those in mailboxes. */
static uint32_t busy_while_held(uint32_t senders_shard, uint32_t recipients_shard)
{
    enum { SENDERS = 12, EACH = 800 };
    _Static_assert(SENDERS * EACH > CORE_SENDS_OUT_MAX && EACH < LIMIT_UNANSWERED, "more than the mailbox takes");
    uint32_t busy = 0;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *clients[SENDERS];
    for (uint32_t i = 0; i < SENDERS; i++)
        clients[i] = client_login(harness, senders_shard, harness_name(harness, senders_shard, i), "");
    harness_hold_writes(harness, recipients_shard, true);
    for (uint32_t n = 0; n < EACH; n++)
        for (uint32_t i = 0; i < SENDERS; i++)
            send_text(clients[i], n, harness_name(harness, recipients_shard, 12 + i % 3), "x");
    harness_run_until_idle(harness);
    harness_hold_writes(harness, recipients_shard, false);
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < SENDERS; i++)
        for (json_t *frame; (frame = client_next(clients[i])) != NULL; json_decref(frame))
            busy += strcmp(frame_text(frame, "op"), "error") == 0;
    harness_close(harness);
    return busy;
}

Test(queue, many_sends_in_flight_are_refused_between_shards_and_accepted_within_one)
{
    cr_assert_eq(busy_while_held(0, 0), 0);
    cr_assert_gt(busy_while_held(0, 1), 0);
}

/* Connections with hundreds of sends in flight leave the last eighth of what two shards may have between them. */
Test(queue, where_many_sends_in_flight_are_refused_a_client_with_one_is_not)
{
    enum { SENDERS = 12, EACH = 800 };
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *bob = client_login(harness, 0, harness_name(harness, 0, SENDERS), "");
    harness_hold_writes(harness, 1, true);
    struct client *last = NULL;
    for (uint32_t i = 0; i < SENDERS; i++) {
        last = client_login(harness, 0, harness_name(harness, 0, i), "");
        for (uint32_t n = 0; n < EACH; n++)
            send_text(last, n, harness_name(harness, 1, i), "x");
        harness_run_until_idle(harness);
    }
    json_t *refused = client_expect(last, "error");
    cr_assert_str_eq(frame_text(refused, "code"), "busy");
    json_decref(refused);
    send_text(bob, 1, harness_name(harness, 1, SENDERS), "little");
    harness_run_until_idle(harness);
    cr_assert_null(client_next(bob), "the send is in flight");
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    expect_entry(bob, "ok", "little", 0);
    harness_close(harness);
}

Test(queue, a_wal_write_that_takes_too_long_makes_its_shard_refuse_sends_until_it_ends)
{
    struct harness *harness = open_harness(2);
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    harness_hold_writes(harness, 1, true);
    send_text(bob, 1, harness_name(harness, 1, 1), "slow");
    harness_run_until_idle(harness);
    harness_advance(harness, 10000000);
    send_text(bob, 2, harness_name(harness, 1, 1), "refused");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(bob, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "busy");
    cr_assert_eq(frame_number(frame, "id"), 2);
    json_decref(frame);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    uint64_t slow = expect_entry(bob, "ok", "slow", 0);
    send_text(bob, 3, harness_name(harness, 1, 1), "again");
    harness_run_until_idle(harness);
    expect_entry(bob, "ok", "again", slow);
    cr_assert_str_eq(history_texts(bob, ""), "slow again");
    harness_close(harness);
}

Test(queue, a_connection_is_read_up_to_its_limit_of_unanswered_requests_and_no_further)
{
    enum { SENDS = LIMIT_UNANSWERED + 100 };
    struct harness *harness = open_harness(2);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    for (uint32_t i = 0; i < SENDS; i++)
        send_text(alice, i, harness_name(harness, 1, 0), "x");
    harness_run_until_idle(harness);
    cr_assert_eq(harness_core(harness, 0)->deliveries.out, LIMIT_UNANSWERED);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    uint64_t prev = 0;
    for (uint32_t i = 0; i < SENDS; i++)
        prev = expect_entry(alice, "ok", "x", prev);
    harness_close(harness);
}

Test(queue, a_send_that_another_shard_refuses_gives_back_its_place_and_its_bytes)
{
    struct harness *harness = open_harness(2);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    const struct core_peer *peer = &harness_core(harness, 0)->peers[1];
    harness_hold_writes(harness, 1, true);
    send_text(alice, 1, harness_name(harness, 1, 0), "slow");
    harness_run_until_idle(harness);
    uint32_t bytes = peer->send_bytes_out;
    cr_assert(peer->sends_out == 1 && bytes > 0);
    harness_advance(harness, 10000000);
    send_text(alice, 2, harness_name(harness, 1, 0), "refused");
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "error"));
    cr_assert(peer->sends_out == 1 && peer->send_bytes_out == bytes);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    cr_assert(peer->sends_out == 0 && peer->send_bytes_out == 0);
    harness_close(harness);
}

Test(queue, letters_held_between_the_shards_delay_only_what_they_carry)
{
    struct harness *harness = open_harness(2);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    harness_hold_letters(harness, 1, 0, true); /* the letters that return */
    send_text(alice, 1, harness_name(harness, 1, 0), "durable");
    harness_run_until_idle(harness);
    expect_entry(bob, "msg", "durable", 0);
    expect_nothing(alice);
    send_text(bob, 1, harness_name(harness, 1, 0), "to oneself");
    harness_run_until_idle(harness);
    json_decref(client_expect(bob, "ok"));
    harness_hold_letters(harness, 1, 0, false);
    harness_run_until_idle(harness);
    expect_entry(alice, "ok", "durable", 0);
    harness_close(harness);
}
