/* Everything that clients can take is counted and has a bound: frames of every kind, heads, answers that wait for a
 * replay, the time of a handover. */
#include <criterion/criterion.h>

#include "harness_double.h"

TestSuite(bounds, .timeout = 30);

static const char ping_request[] = "{\"op\":\"ping\",\"id\":7}";

/* -- --frame-rate -- */

static struct harness *open_with_rate(uint32_t per_second, struct client **client_r)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    *client_r = client_login(harness, 0, "alice", "");
    harness->config.frame_rate = per_second;
    return harness;
}

static void send_frames(struct client *client, uint8_t first_byte, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_send_frame(client, first_byte, "", 0);
}

/* The `op` of the answer to a ping request, or the code of the error; NULL: no answer. */
static const char *answer(struct harness *harness, struct client *client)
{
    static char text[64];
    harness_run_until_idle(harness);
    json_t *frame = client_next(client);
    if (frame == NULL)
        return NULL;
    const char *code = frame_text(frame, "code");
    snprintf(text, sizeof text, "%s", code[0] != '\0' ? code : frame_text(frame, "op"));
    json_decref(frame);
    return text;
}

static void expect_counted(uint8_t first_byte)
{
    struct client *client;
    struct harness *harness = open_with_rate(10, &client);
    send_frames(client, first_byte, 9);
    client_send(client, "%s", ping_request);
    cr_assert_str_eq(answer(harness, client), "ok");
    client_send(client, "%s", ping_request);
    cr_assert_str_eq(answer(harness, client), "rate_limited");
    harness_advance(harness, 1100000);
    client_send(client, "%s", ping_request);
    cr_assert_str_eq(answer(harness, client), "ok");
    harness_close(harness);
}

Test(bounds, a_pong_counts_as_a_frame)
{
    expect_counted(FRAME_PONG);
}

Test(bounds, a_ping_counts_as_a_frame)
{
    expect_counted(FRAME_PING);
}

Test(bounds, a_ping_over_the_rate_has_no_pong)
{
    struct client *client;
    struct harness *harness = open_with_rate(10, &client);
    send_frames(client, FRAME_PING, 25);
    harness_run_until_idle(harness);
    cr_assert_null(client_next(client));
    cr_assert_eq(client_pongs(client), 10);
    harness_close(harness);
}

/* A message of four frames, the last of them whole. */
static void send_in_fragments(struct client *client, uint32_t empty_ones)
{
    client_send_frame(client, FRAME_TEXT_BEGUN, ping_request, 10);
    send_frames(client, FRAME_MORE, empty_ones);
    client_send_frame(client, FRAME_LAST, ping_request + 10, sizeof ping_request - 11);
}

Test(bounds, each_fragment_counts_as_a_frame_and_a_message_with_one_over_the_rate_is_refused)
{
    struct client *client;
    struct harness *harness = open_with_rate(10, &client);
    send_in_fragments(client, 8);
    cr_assert_str_eq(answer(harness, client), "ok");
    harness_advance(harness, 1100000);
    send_in_fragments(client, 9);
    cr_assert_str_eq(answer(harness, client), "rate_limited");
    harness_advance(harness, 1100000);
    client_send(client, "%s", ping_request);
    cr_assert_str_eq(answer(harness, client), "ok", "only the frames of the next message count for it");
    harness_close(harness);
}

Test(bounds, a_message_is_over_the_rate_at_the_time_of_its_fragments)
{
    struct client *client;
    struct harness *harness = open_with_rate(10, &client);
    client_send_frame(client, FRAME_TEXT_BEGUN, ping_request, 10);
    send_frames(client, FRAME_MORE, 20);
    harness_run_until_idle(harness);
    harness_advance(harness, 1100000);
    client_send_frame(client, FRAME_LAST, ping_request + 10, sizeof ping_request - 11);
    cr_assert_str_eq(answer(harness, client), "rate_limited", "its last frame alone is within the rate");
    harness_close(harness);
}

/* -- heads -- */

Test(bounds, incomplete_heads_have_a_bound_and_complete_ones_are_served)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct core *core = harness_core(harness, 0);
    struct client *parts[4];
    core->budget.heads_max = 2;
    for (uint32_t i = 0; i < 4; i++) {
        parts[i] = client_accept(harness, 0);
        client_send_bytes(parts[i], "GET /ws HTTP/1.1\r\nHost: x\r\n", 27);
        harness_run_until_idle(harness);
    }
    cr_assert_eq(core->conns.head_pool.taken, 2);
    cr_assert(client_is_refused(parts[2]) && client_is_refused(parts[3]));
    cr_assert_not(client_is_refused(parts[0]) || client_is_refused(parts[1]));
    client_login(harness, 0, "alice", "");
    harness_advance(harness, 11000000); /* past the login time */
    harness_run_until_idle(harness);
    cr_assert_eq(core->conns.head_pool.taken, 0);
    harness_close(harness);
}

/* -- answers that wait for a replay -- */

Test(bounds, sends_during_a_replay_have_places_for_their_answers_or_are_refused)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct core *core = harness_core(harness, 0);
    struct client *alice = client_login(harness, 0, "alice", "");
    for (uint32_t i = 0; i < 400; i++)
        client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"bob\",\"text\":\"%080u\"}", i);
    harness_run_until_idle(harness);
    struct client *bob = client_connect(harness, 0);
    client_stall(bob, true);
    client_send(bob, "{\"op\":\"login\",\"id\":0,\"user\":\"bob\",\"after\":0}");
    harness_run_until_idle(harness);
    core->budget.deliveries_max = 3;
    for (uint32_t i = 1; i <= 5; i++) {
        client_send(bob, "{\"op\":\"send\",\"id\":%u,\"to\":\"carol\",\"text\":\"x\"}", i);
        harness_run_until_idle(harness);
    }
    cr_assert_eq(core->replays.ok_pool.taken, 3);
    cr_assert_eq(core->replays.oks_reserved, 0);
    client_stall(bob, false);
    harness_run_until_idle(harness);
    uint32_t oks = 0, refused = 0;
    for (json_t *frame; (frame = client_next(bob)) != NULL; json_decref(frame)) {
        oks += json_object_get(frame, "prev") != NULL && json_object_get(frame, "id") != NULL;
        refused += strcmp(frame_text(frame, "code"), "busy") == 0;
    }
    cr_assert_eq(oks, 3);
    cr_assert_eq(refused, 2);
    cr_assert_eq(core->replays.ok_pool.taken, 0);
    harness_close(harness);
}

/* -- handover to another shard -- */

Test(bounds, a_peer_that_reads_nothing_does_not_keep_its_place_in_a_handover_for_ever)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *client = client_connect(harness, 0);
    client_stall(client, true);
    for (uint32_t i = 0; i < 3; i++)
        client_send(client, "{");
    client_send(client, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    cr_assert_not(list_is_empty(&harness_core(harness, 0)->handovers.waiting));
    harness_advance(harness, 11000000); /* past the login time */
    harness_run_until_idle(harness);
    cr_assert(client_is_closed(client));
    cr_assert_eq(harness_core(harness, 0)->conns.table.taken + harness_core(harness, 1)->conns.table.taken, 0);
    harness_close(harness);
}
