/* conn.h: reading that pauses while too many requests are unanswered, silence, a full server, and the rate of frames.
 */
#include <criterion/criterion.h>

#include "connection/backpressure.h"
#include "harness.h"

#define PING_US INT64_C(25100000) /* ping_s and the granularity of the timers */
/* Of one connection: what a receive brings after reading has paused, in a stash whose size doubles. */
#define STASH_BYTES_MAX (4 * CONN_STASH_PAUSE_BYTES)

/* More sends than are read while none is answered. */
static void flood(struct client *client, const char *to)
{
    for (uint32_t i = 0; i < 3 * LIMIT_UNANSWERED; i++)
        client_send(client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%.60s\"}", i, to,
                    "a text that is long enough to fill what is stashed many times");
}

static void expect_oks(struct client *client, uint32_t count)
{
    uint32_t found = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        found += strcmp(frame_text(frame, "op"), "ok") == 0;
    cr_assert_eq(found, count);
}

Test(conn, a_flood_is_not_read_while_nothing_is_answered_the_second_time_as_the_first)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (int time = 0; time < 3; time++) {
        harness_hold_writes(harness, 1, true);
        flood(alice, harness_name(harness, 1, 0));
        harness_run_until_idle(harness);
        cr_assert_gt(harness_core(harness, 0)->conns.stash_bytes, 0);
        cr_assert_lt(harness_core(harness, 0)->conns.stash_bytes, STASH_BYTES_MAX, "time %d", time);
        harness_hold_writes(harness, 1, false);
        harness_run_until_idle(harness);
        expect_oks(alice, 3 * LIMIT_UNANSWERED);
        cr_assert_eq(harness_core(harness, 0)->conns.stash_bytes, 0);
    }
    harness_close(harness);
}

Test(conn, a_client_that_is_not_read_does_not_count_as_silent)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    flood(alice, harness_name(harness, 1, 0));
    for (int pings = 0; pings < 8; pings++) {
        harness_run_until_idle(harness);
        harness_advance(harness, PING_US);
    }
    harness_run_until_idle(harness);
    cr_assert_not(client_is_closed(alice));
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    uint32_t answered = 0;
    for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame)) {
        cr_assert_null(json_object_get(frame, "close"));
        answered++;
    }
    cr_assert_eq(answered, 3 * LIMIT_UNANSWERED);
    harness_close(harness);
}

Test(conn, a_silent_client_is_pinged_and_the_third_time_closed)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (int pings = 0; pings < 2; pings++) {
        harness_advance(harness, PING_US);
        harness_run_until_idle(harness);
        cr_assert_null(client_next(alice), "a ping is no close");
    }
    harness_advance(harness, PING_US);
    harness_run_until_idle(harness);
    json_t *frame = client_next(alice);
    cr_assert_not_null(frame);
    cr_assert_eq(frame_number(frame, "close"), 4002);
    json_decref(frame);
    harness_close(harness);
}

Test(conn, a_peer_that_never_ends_its_side_is_dropped_after_a_while)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    client_send_frame(alice, FRAME_LAST | 2, "binary", 6);
    harness_run_until_idle(harness);
    json_t *frame = client_next(alice);
    cr_assert_not_null(frame);
    cr_assert_eq(frame_number(frame, "close"), 1003);
    json_decref(frame);
    cr_assert_not(client_is_closed(alice));
    harness_advance(harness, 3000000);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(alice));
    cr_assert_eq(harness_core(harness, 0)->conns.table.taken, 0);
    harness_close(harness);
}

Test(conn, the_end_of_a_peer_is_seen_though_its_reading_was_stopped_before_it_was_closed)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    flood(alice, harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    harness_stop(harness);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    client_drop(alice);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(alice), "without any time passing");
    harness_close(harness);
}

Test(conn, input_that_finds_no_memory_to_wait_in_ends_the_connection_and_is_noted)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct core *core = harness_core(harness, 0);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    json_t *frame;
    core->budget.stash_bytes = 16;
    harness_hold_writes(harness, 1, true);
    for (uint32_t i = 0; i < LIMIT_UNANSWERED + 5; i++)
        client_send(alice, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"hi\"}", i, harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    while ((frame = client_next(alice)) != NULL && json_object_get(frame, "close") == NULL)
        json_decref(frame);
    cr_assert_eq(frame_number(frame, "close"), 1011);
    json_decref(frame);
    cr_assert_eq(metric_read(&core->refusals.counts[REFUSAL_INPUT]), 1);
    harness_hold_writes(harness, 1, false);
    harness_close(harness);
}

/* The peer sends nothing more that would cause the server to read what waits. Then it ends its side. */
Test(conn, a_close_that_waits_behind_what_is_not_read_is_seen_when_the_server_closes)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    for (uint32_t i = 0; i < LIMIT_UNANSWERED + 5; i++)
        client_send(alice, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"hi\"}", i, harness_name(harness, 1, 0));
    client_send_frame(alice, FRAME_LAST | 8, "", 0);
    harness_run_until_idle(harness);
    cr_assert_eq(client_bytes_left(alice), 0);
    cr_assert_gt(harness_core(harness, 0)->conns.stash_bytes, 0);
    harness_stop(harness);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, false);
    client_end(alice);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(alice), "without any time passing");
    harness_close(harness);
}

Test(conn, a_client_refused_by_a_full_server_is_counted_apart_until_it_has_gone)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .connections = 2});
    struct core *core = harness_core(harness, 0);
    client_login(harness, 0, "alice", "");
    struct client *bob = client_login(harness, 0, "bob", "");
    for (uint32_t i = 0; i < 5; i++)
        client_begin(harness, 0);
    harness_run_until_idle(harness);
    cr_assert(core->admission.turned_away == 5 && core->conns.table.taken == 7);
    cr_assert_eq(atomic_load(&core->server->conn_count), 2);
    harness_advance(harness, 1000000);
    harness_run_until_idle(harness);
    harness_advance(harness, 3000000);
    harness_run_until_idle(harness);
    cr_assert(core->admission.turned_away == 0 && core->conns.table.taken == 2);
    client_drop(bob);
    harness_run_until_idle(harness);
    client_login(harness, 0, "carol", "");
    harness_close(harness);
}

Test(conn, a_client_that_goes_on_behind_its_close_frame_has_two_seconds_and_nothing_waits_in_memory)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct core *core = harness_core(harness, 0);
    struct client *alice = client_login(harness, 0, "alice", "");
    client_send_frame(alice, 0x88, "\x03\xe8", 2);
    for (uint32_t second = 0; second < 2; second++) {
        for (uint32_t i = 0; i < 5000; i++)
            client_send(alice, "{\"op\":\"ping\",\"id\":1}");
        harness_run_until_idle(harness);
        cr_assert(!client_is_closed(alice) && client_bytes_left(alice) == 0);
        cr_assert_eq(core->conns.stash_bytes, 0);
        harness_advance(harness, 900000);
        harness_run_until_idle(harness);
    }
    harness_advance(harness, 300000);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(alice));
    harness_close(harness);
}

Test(conn, a_stop_waits_two_seconds_for_a_client_that_ended_its_side_and_reads_nothing)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *alice = client_login(harness, 0, "alice", "");
    client_stall(alice, true);
    client_send(alice, "{\"op\":\"ping\",\"id\":1}");
    client_end(alice);
    harness_run_until_idle(harness);
    harness_advance(harness, 3000000);
    harness_run_until_idle(harness);
    cr_assert(!client_is_closed(alice), "it has as long as a silent client");
    harness_stop(harness);
    harness_run_until_idle(harness);
    harness_advance(harness, 2100000);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(alice));
    harness_close(harness);
}

static void expect_error(struct client *client, const char *code)
{
    json_t *frame = client_expect(client, "error");
    cr_assert_str_eq(frame_text(frame, "code"), code);
    json_decref(frame);
}

Test(conn, frames_that_are_no_request_count_in_the_frame_rate)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .frame_rate = 10});
    struct client *alice = client_login(harness, 0, "alice", "");
    harness_advance(harness, 2000000);
    for (uint32_t i = 0; i < 10; i++)
        client_send_frame(alice, 0x81, "{", 1);
    client_send(alice, "{\"op\":\"history\",\"id\":1}");
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < 10; i++)
        expect_error(alice, "bad_json");
    expect_error(alice, "rate_limited");
    harness_close(harness);
}

Test(conn, fragments_over_the_frame_rate_count_against_their_own_message_only)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .frame_rate = 10});
    struct client *alice = client_login(harness, 0, "alice", "");
    harness_advance(harness, 2000000);
    client_send_frame(alice, 0x01, "{", 1);
    for (uint32_t i = 0; i < 20; i++)
        client_send_frame(alice, 0x00, "", 0);
    client_send_frame(alice, 0x80, "", 0);
    harness_run_until_idle(harness);
    expect_error(alice, "bad_json");
    harness_advance(harness, 2000000);
    client_send(alice, "{\"op\":\"history\",\"id\":1}");
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "history"));
    harness_close(harness);
}

Test(conn, files_of_the_web_client_are_refused_while_output_takes_much_memory)
{
    static char bytes[WEB_FILE_BYTES_MAX];
    static const struct web_file file = {{"/f", 2}, "text/css", "\"1\"", {bytes, sizeof bytes}};
    const char head[] = "GET /f HTTP/1.1\r\nHost: x\r\n\r\n";
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct core *core = harness_core(harness, 0);
    core->conns.http.files = &file;
    core->conns.http.file_count = 1;
    core->budget.output_bytes = 4 * WEB_FILE_BYTES_MAX;
    struct client *clients[8];
    for (uint32_t i = 0; i < 8; i++) {
        clients[i] = client_accept(harness, 0);
        client_stall(clients[i], true);
        client_send_bytes(clients[i], head, sizeof head - 1);
        harness_run_until_idle(harness);
    }
    cr_assert(backpressure_is_tight(core));
    cr_assert_lt(backpressure_output_bytes(core), 3 * WEB_FILE_BYTES_MAX);
    cr_assert_gt(metric_read(&core->refusals.counts[REFUSAL_OUTPUT]), 0);
    for (uint32_t i = 0; i < 8; i++)
        client_stall(clients[i], false);
    harness_run_until_idle(harness);
    cr_assert_eq(backpressure_output_bytes(core), 0);
    harness_close(harness);
}

/* -- parts -- */

static void send_bytewise(struct harness *harness, struct client *client, const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        client_send_bytes(client, data + i, 1);
        harness_run_until_idle(harness);
    }
}

Test(conn, who_sends_a_head_or_a_frame_byte_by_byte_receives_in_turn)
{
    static const char head[] = "GET /ws HTTP/1.1\r\nHost: a\r\n", frame[] = "\x81\x83\0\0\0\0{}";
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .memtable_bytes = 64 << 20});
    struct client *slow = client_accept(harness, 0), *alice = client_login(harness, 0, "alice", "");
    send_bytewise(harness, slow, head, sizeof head - 1);
    cr_assert_eq(client_parts(slow), sizeof head - 1);
    cr_assert_eq(client_parts(alice), 0, "head and login came whole");
    send_bytewise(harness, alice, frame, sizeof frame - 1);
    cr_assert_eq(client_parts(alice), sizeof frame - 1);
    send_bytewise(harness, alice, "}", 1);
    cr_assert_eq(client_parts(alice), sizeof frame - 1, "the frame is complete");
    harness_close(harness);
}

Test(conn, who_sends_a_long_frame_in_segments_of_a_network_does_not)
{
    enum { SEGMENT_BYTES = 1000, SEGMENTS = 5 };
    static char text[SEGMENTS * SEGMENT_BYTES] = {"\x81\xfe\x13\x88"}; /* 5,000 bytes, of which the last do not come */
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .memtable_bytes = 64 << 20});
    struct client *alice = client_login(harness, 0, "alice", "");
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        client_send_bytes(alice, text + (size_t)i * SEGMENT_BYTES, SEGMENT_BYTES);
        harness_run_until_idle(harness);
    }
    cr_assert_eq(client_parts(alice), 0);
    cr_assert_not(client_is_closed(alice));
    harness_close(harness);
}
