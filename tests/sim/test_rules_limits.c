/* The limits of an address and of a connection: what is refused, with which answer, until when; and that nothing stays
 * counted. */
#include <criterion/criterion.h>

#include "harness_double.h"

TestSuite(limits, .timeout = 30);

static struct harness *open_with(const struct address_limits *limits, uint32_t shards)
{
    return harness_open(&(struct harness_options){.shards = shards, .address_limits = limits});
}

/* Connects from 192.0.2.`host` and upgrades. */
static struct client *connect_from(struct harness *harness, uint32_t shard, uint8_t host)
{
    struct client *client = client_begin_from(harness, shard, host);
    harness_run_until_idle(harness);
    return client;
}

static void expect_admitted(struct harness *harness, uint32_t shard, uint8_t host)
{
    cr_assert(client_take_head(connect_from(harness, shard, host)));
}

static void expect_refused(struct harness *harness, uint32_t shard, uint8_t host)
{
    struct client *client = connect_from(harness, shard, host);
    cr_assert(client_is_refused(client));
    cr_assert_not_null(memmem(client->in, client->in_bytes, "\r\nRetry-After: ", 15));
    cr_assert_not_null(memmem(client->in, client->in_bytes, "your address", 12));
}

static uint64_t refusals_of(struct harness *harness, enum refusal refusal)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < harness->config.shards; i++)
        count += metric_read(&harness_core(harness, i)->refusals.counts[refusal]);
    return count;
}

/* Everybody leaves: nothing is counted any more. */
static void leave_all(struct harness *harness)
{
    clients_drop(harness);
    harness_advance(harness, 10000000);
    harness_run_until_idle(harness);
    harness_check_rest(harness);
    cr_assert_eq(addresses_count(harness->server.addresses), 0);
}

Test(limits, connections_of_an_address_are_counted_over_all_shards)
{
    const struct address_limits limits = {.connections = 4};
    struct harness *harness = open_with(&limits, 2);
    for (uint32_t i = 0; i < 4; i++)
        expect_admitted(harness, i % 2, 7);
    expect_refused(harness, 0, 7);
    expect_refused(harness, 1, 7);
    expect_admitted(harness, 1, 8);
    cr_assert_eq(refusals_of(harness, REFUSAL_ADDRESS_CONNECTIONS), 2);
    leave_all(harness);
    expect_admitted(harness, 0, 7);
    leave_all(harness);
    harness_close(harness);
}

Test(limits, a_connection_counts_for_its_address_after_the_handover_too)
{
    const struct address_limits limits = {.connections = 1};
    struct harness *harness = open_with(&limits, 2);
    struct client *client = connect_from(harness, 0, 7);
    cr_assert(client_take_head(client));
    client_send(client, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    json_decref(client_expect(client, "ok"));
    cr_assert_eq(harness_core(harness, 1)->conns.table.taken, 1);
    expect_refused(harness, 0, 7);
    client_drop(client);
    harness_advance(harness, 10000000);
    harness_run_until_idle(harness);
    expect_admitted(harness, 0, 7);
    leave_all(harness);
    harness_close(harness);
}

Test(limits, new_connections_of_an_address_are_limited_by_the_second)
{
    const struct address_limits limits = {.rate = 3};
    struct harness *harness = open_with(&limits, 2);
    for (uint32_t i = 0; i < 3; i++)
        expect_admitted(harness, i % 2, 7);
    expect_refused(harness, 1, 7);
    expect_admitted(harness, 1, 8);
    cr_assert_eq(refusals_of(harness, REFUSAL_ADDRESS_RATE), 1);
    harness_advance(harness, 400000);
    expect_admitted(harness, 1, 7);
    expect_refused(harness, 0, 7);
    leave_all(harness);
    harness_close(harness);
}

Test(limits, a_flood_of_one_address_takes_no_place_from_the_others)
{
    const struct address_limits limits = {.connections = 2};
    struct harness *harness =
        harness_open(&(struct harness_options){.shards = 1, .address_limits = &limits, .connections = 5});
    for (uint32_t i = 0; i < 200; i++)
        client_accept_from(harness, 0, 7);
    harness_run_until_idle(harness);
    for (uint8_t host = 8; host < 11; host++)
        expect_admitted(harness, 0, host);
    cr_assert_eq(refusals_of(harness, REFUSAL_ADDRESS_CONNECTIONS), 198);
    cr_assert_eq(refusals_of(harness, REFUSAL_FULL), 0);
    leave_all(harness);
    harness_close(harness);
}

static void fail_login(struct harness *harness, struct client *client)
{
    client_send(client, "{\"op\":\"login\",\"id\":1,\"user\":\"a b\"}");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "bad_request");
    json_decref(frame);
}

/* A correct login from 192.0.2.`host` on a new connection. */
static struct client *try_login(struct harness *harness, uint8_t host)
{
    struct client *client = connect_from(harness, 0, host);
    cr_assert(client_take_head(client));
    client_send(client, "{\"op\":\"login\",\"id\":2,\"user\":\"alice\"}");
    harness_run_until_idle(harness);
    return client;
}

Test(limits, after_too_many_failed_logins_the_logins_of_the_address_are_refused_and_closed)
{
    const struct address_limits limits = {.login_rate = 2};
    struct harness *harness = open_with(&limits, 1);
    for (uint32_t i = 0; i < 2; i++) {
        struct client *client = connect_from(harness, 0, 7);
        cr_assert(client_take_head(client));
        fail_login(harness, client);
    }
    struct client *refused = try_login(harness, 7);
    json_t *frame = client_expect(refused, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "rate_limited");
    cr_assert_eq(frame_number(frame, "retry_after"), 500);
    json_decref(frame);
    frame = client_next(refused);
    cr_assert_eq(frame_number(frame, "close"), 1013);
    json_decref(frame);
    json_decref(client_expect(try_login(harness, 8), "ok"));
    cr_assert_eq(refusals_of(harness, REFUSAL_ADDRESS_LOGIN_RATE), 1);
    harness_advance(harness, 500000);
    json_decref(client_expect(try_login(harness, 7), "ok"));
    leave_all(harness);
    harness_close(harness);
}

Test(limits, successful_logins_do_not_count_as_failed)
{
    const struct address_limits limits = {.login_rate = 1};
    struct harness *harness = open_with(&limits, 2);
    for (uint32_t i = 0; i < 20; i++)
        json_decref(client_expect(try_login(harness, 7), "ok"));
    leave_all(harness);
    harness_close(harness);
}

/* -- a proxy names the address -- */

static struct address host_address(uint8_t host)
{
    return (struct address){{[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = host}};
}

Test(limits, a_connection_whose_address_changes_counts_for_the_new_one_alone)
{
    const struct address_limits limits = {.connections = 1};
    const struct address address = host_address(8);
    struct harness *harness = open_with(&limits, 1);
    struct core *core = harness_core(harness, 0);
    client_accept_from(harness, 0, 7);
    harness_run_until_idle(harness);
    struct conn *first = conn_at(&core->conns.table, 0);
    cr_assert(admission_change_address(core, first, &address));
    expect_admitted(harness, 0, 7);
    expect_refused(harness, 0, 8);
    leave_all(harness);
    harness_close(harness);
}

Test(limits, a_connection_whose_new_address_has_too_many_is_answered_503)
{
    const struct address_limits limits = {.connections = 1};
    const struct address address = host_address(8);
    struct harness *harness = open_with(&limits, 1);
    struct core *core = harness_core(harness, 0);
    struct client *client = client_accept_from(harness, 0, 7);
    expect_admitted(harness, 0, 8);
    cr_assert_not(admission_change_address(core, conn_at(&core->conns.table, 0), &address));
    harness_run_until_idle(harness);
    cr_assert(client_is_refused(client));
    expect_admitted(harness, 0, 7);
    leave_all(harness);
    harness_close(harness);
}

/* -- --history-rate -- */

Test(limits, requests_for_history_are_limited_for_each_connection)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .history_rate = 4});
    struct client *alice = client_login(harness, 0, "alice", "");
    struct client *second = client_login(harness, 0, "alice", "");
    for (uint32_t i = 0; i < 5; i++)
        client_send(alice, "{\"op\":\"history\",\"id\":%u}", i);
    client_send(second, "{\"op\":\"history\",\"id\":9}");
    harness_run_until_idle(harness);
    json_decref(client_expect(second, "history"));
    /* Pages take their turn; the refusal comes at once. */
    uint32_t pages = 0;
    for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame)) {
        if (strcmp(frame_text(frame, "op"), "history") == 0) {
            pages++;
            continue;
        }
        cr_assert_str_eq(frame_text(frame, "code"), "rate_limited");
        cr_assert_eq(frame_number(frame, "retry_after"), 250);
    }
    cr_assert_eq(pages, 4);
    cr_assert_eq(refusals_of(harness, REFUSAL_HISTORY_RATE), 1);
    harness_advance(harness, 250000);
    client_send(alice, "{\"op\":\"history\",\"id\":6}");
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "history"));
    leave_all(harness);
    harness_close(harness);
}

Test(limits, a_connection_that_asked_for_a_page_is_idle_at_once)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .history_rate = 100});
    struct client *alice = client_login(harness, 0, "alice", "");
    client_send(alice, "{\"op\":\"history\",\"id\":1}");
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "history"));
    cr_assert_eq(harness_core(harness, 0)->conns.work_pool.taken, 0);
    harness_close(harness);
}

/* -- --frame-rate -- */

#define RATE 10u

/* Answers to pings until one is refused; `most` at most. */
static uint32_t pings_taken(struct harness *harness, struct client *client, uint32_t most)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < most; i++)
        client_send(client, "{\"op\":\"ping\",\"id\":%u}", i);
    harness_run_until_idle(harness);
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        taken += strcmp(frame_text(frame, "op"), "ok") == 0;
    return taken;
}

static struct harness *open_with_frame_rate(struct client **client_r)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .frame_rate = RATE});
    *client_r = client_login(harness, 0, "alice", "");
    harness_advance(harness, 2000000);
    return harness;
}

Test(limits, a_connection_within_half_of_its_frame_rate_is_idle_at_once)
{
    struct client *alice;
    struct harness *harness = open_with_frame_rate(&alice);
    cr_assert_eq(pings_taken(harness, alice, RATE / 2), RATE / 2);
    cr_assert_eq(harness_core(harness, 0)->conns.work_pool.taken, 0);
    cr_assert_eq(pings_taken(harness, alice, 1), 1);
    cr_assert_eq(harness_core(harness, 0)->conns.work_pool.taken, 1, "from here on it has a bucket");
    harness_close(harness);
}

Test(limits, a_burst_of_frames_is_one_seconds_worth_and_by_half_more_at_most)
{
    struct client *alice;
    struct harness *harness = open_with_frame_rate(&alice);
    cr_assert_eq(pings_taken(harness, alice, 3 * RATE), RATE);
    harness_advance(harness, 1100000);
    uint64_t to_next_second = 1000000 - harness_monotonic(harness) % 1000000;
    harness_advance(harness, (int64_t)to_next_second - 1);
    uint32_t before = pings_taken(harness, alice, RATE / 2);
    harness_advance(harness, 1);
    uint32_t after = pings_taken(harness, alice, 3 * RATE);
    cr_assert_leq(before + after, RATE + RATE / 2);
    cr_assert_geq(before + after, RATE);
    cr_assert_gt(refusals_of(harness, REFUSAL_FRAME_RATE), 0);
    harness_close(harness);
}

Test(limits, frames_at_exactly_the_rate_are_all_taken)
{
    struct client *alice;
    struct harness *harness = open_with_frame_rate(&alice);
    for (uint32_t i = 0; i < 10 * RATE; i++) {
        cr_assert_eq(pings_taken(harness, alice, 1), 1, "frame %u", i);
        harness_advance(harness, 1000000 / RATE);
    }
    harness_close(harness);
}

Test(limits, frames_far_over_the_rate_are_taken_at_the_rate)
{
    struct client *alice;
    struct harness *harness = open_with_frame_rate(&alice);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < 100; i++) {
        taken += pings_taken(harness, alice, RATE);
        harness_advance(harness, 100000);
    }
    cr_assert_leq(taken, 10 * RATE + RATE + RATE / 2);
    cr_assert_geq(taken, 10 * RATE);
    harness_close(harness);
}
