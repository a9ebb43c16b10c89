/* conn.h: a peer that ends its side after its requests is answered, then closed; and it cannot stay for ever. */
#include <criterion/criterion.h>

#include "harness.h"

#define PING_US INT64_C(25100000) /* ping_s and the granularity of the timers */

/* Takes all frames off: counts those with `op`. The last frame must be a close with `code`. */
static uint32_t count_until_close(struct client *client, const char *op, uint64_t code)
{
    uint32_t found = 0;
    uint64_t closed = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame)) {
        cr_assert_eq(closed, 0, "a frame after the close frame");
        found += strcmp(frame_text(frame, "op"), op) == 0;
        if (json_object_get(frame, "close") != NULL)
            closed = frame_number(frame, "close");
    }
    cr_assert_eq(closed, code, "closed with %llu", (unsigned long long)closed);
    return found;
}

static void send_many(struct client *client, const char *to, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_send(client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%.60s\"}", i, to,
                    "a text that is long enough to fill what is stashed many times");
}

static void expect_gone(struct harness *harness, struct client *client)
{
    cr_assert(client_is_closed(client), "without any time passing");
    for (uint32_t i = 0; i < 2; i++)
        cr_assert_eq(harness_core(harness, i)->conns.table.taken, 0);
    harness_close(harness);
}

Test(end, requests_before_the_end_are_answered_and_the_connection_closes_with_1000)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    send_many(alice, harness_name(harness, 1, 0), 5);
    client_send(alice, "{\"op\":\"history\",\"id\":9}");
    client_end(alice);
    harness_run_until_idle(harness);
    cr_assert_not(client_is_closed(alice), "five sends are not answered yet");
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    cr_assert_eq(count_until_close(alice, "ok", 1000), 5);
    expect_gone(harness, alice);
}

Test(end, three_times_as_many_sends_as_may_be_unanswered_are_answered_after_the_end)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    send_many(alice, harness_name(harness, 1, 0), 3 * LIMIT_UNANSWERED);
    client_end(alice);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    cr_assert_eq(count_until_close(alice, "ok", 1000), 3 * LIMIT_UNANSWERED);
    expect_gone(harness, alice);
}

/* With one shard, and with a handover between the login and what follows it. */
static void say_all_at_once(uint32_t accepted_by)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_begin(harness, accepted_by);
    client_send(alice, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", harness_name(harness, 0, 0));
    send_many(alice, harness_name(harness, 1, 0), 3);
    client_send(alice, "{\"op\":\"ping\",\"id\":7}");
    client_end(alice);
    harness_run_until_idle(harness);
    cr_assert(client_take_head(alice));
    cr_assert_eq(count_until_close(alice, "ok", 1000), 5);
    expect_gone(harness, alice);
}

Test(end, head_login_and_requests_in_one_write_are_answered)
{
    say_all_at_once(0);
}

Test(end, head_login_and_requests_in_one_write_are_answered_after_a_handover)
{
    say_all_at_once(1);
}

Test(end, bad_frames_without_a_login_are_answered)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_connect(harness, 0);
    for (uint32_t i = 0; i < 700; i++)
        client_send_frame(alice, FRAME_TEXT, "{", 1);
    client_end(alice);
    harness_run_until_idle(harness);
    cr_assert_eq(count_until_close(alice, "error", 1000), 700);
    expect_gone(harness, alice);
}

Test(end, an_unfinished_head_and_an_unfinished_message_are_dropped)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *head = client_accept(harness, 0);
    client_send_bytes(head, "GET /ws HTTP/1.1\r\nHost: x\r\n", 27);
    client_end(head);
    struct client *message = client_connect(harness, 0);
    client_send(message, "{\"op\":\"shout\",\"id\":1}");
    client_send_frame(message, FRAME_TEXT_BEGUN, "{\"op\":", 6);
    client_end(message);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(head));
    cr_assert_eq(count_until_close(message, "error", 1000), 1);
    expect_gone(harness, message);
}

Test(end, a_page_asked_for_by_http_is_answered)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *browser = client_accept(harness, 0);
    const char head[] = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    client_send_bytes(browser, head, sizeof head - 1);
    client_end(browser);
    harness_run_until_idle(harness);
    expect_gone(harness, browser);
}

Test(end, a_replay_goes_on_until_live)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    send_many(bob, harness_name(harness, 0, 0), 1000);
    harness_run_until_idle(harness);
    client_drop(bob);
    struct client *alice = client_connect(harness, 0);
    client_stall(alice, true);
    client_send(alice, "{\"op\":\"login\",\"id\":0,\"user\":\"%s\",\"after\":0}", harness_name(harness, 0, 0));
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"late\"}", harness_name(harness, 0, 0));
    client_end(alice);
    harness_run_until_idle(harness);
    cr_assert_not(client_is_closed(alice));
    client_stall(alice, false);
    harness_run_until_idle(harness);
    uint32_t entries = 0;
    bool is_live = false, is_sent = false;
    for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame)) {
        entries += strcmp(frame_text(frame, "op"), "msg") == 0;
        is_live |= strcmp(frame_text(frame, "op"), "live") == 0;
        is_sent |= json_object_get(frame, "id") != NULL && frame_number(frame, "id") == 1;
    }
    cr_assert(entries == 1000 && is_live && is_sent);
    expect_gone(harness, alice);
}

Test(end, while_answers_are_due_the_connection_gets_pushes_and_afterwards_none)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 0, harness_name(harness, 0, 1), "");
    harness_hold_writes(harness, 1, true);
    send_many(alice, harness_name(harness, 1, 0), 1);
    client_end(alice);
    harness_run_until_idle(harness);
    harness_hold_letters(harness, 0, 1, true);
    client_stall(alice, true);
    client_send(bob, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"first\"}", harness_name(harness, 0, 0));
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, false);
    harness_hold_letters(harness, 0, 1, false);
    harness_run_until_idle(harness);
    client_send(bob, "{\"op\":\"send\",\"id\":2,\"to\":\"%s\",\"text\":\"second\"}", harness_name(harness, 0, 0));
    harness_run_until_idle(harness);
    client_stall(alice, false);
    harness_run_until_idle(harness);
    cr_assert_eq(count_until_close(alice, "msg", 1000), 1);
    cr_assert(client_is_closed(alice));
    harness_close(harness);
}

Test(end, a_peer_that_reads_nothing_after_its_end_is_dropped_after_three_times_the_ping)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    client_stall(alice, true);
    client_send(alice, "{\"op\":\"ping\",\"id\":1}");
    client_end(alice);
    harness_run_until_idle(harness);
    for (int pings = 0; pings < 3; pings++) {
        cr_assert_not(client_is_closed(alice));
        harness_advance(harness, PING_US);
        harness_run_until_idle(harness);
    }
    expect_gone(harness, alice);
}

/* The disk does not complete a write. */
Test(end, a_peer_whose_sends_are_never_answered_is_closed_after_three_times_the_ping)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    send_many(alice, harness_name(harness, 1, 0), 1);
    client_end(alice);
    harness_run_until_idle(harness);
    for (int pings = 0; pings < 3; pings++) {
        cr_assert_not(client_is_closed(alice));
        harness_advance(harness, PING_US);
        harness_run_until_idle(harness);
    }
    cr_assert_eq(count_until_close(alice, "ok", 4002), 0);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    expect_gone(harness, alice);
}

Test(end, an_end_behind_a_close_frame_is_a_close)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    client_send(alice, "{\"op\":\"ping\",\"id\":1}");
    client_send_frame(alice, FRAME_LAST | 8, "\x0f\xa0", 2);
    client_end(alice);
    harness_run_until_idle(harness);
    cr_assert_eq(count_until_close(alice, "ok", 4000), 1);
    expect_gone(harness, alice);
}
