/* What the shards count (server/metrics.h): each event once, on the right shard. */
#include <criterion/criterion.h>

#include "durability/checkpoint.h"
#include "harness_double.h"

TestSuite(metrics, .timeout = 30);

static uint64_t sum_of(struct harness *harness, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < harness->config.shards; i++)
        sum += metric_read((const struct metric *)((const char *)&harness_core(harness, i)->metrics + offset));
    return sum;
}
#define SUM(field) sum_of(harness, offsetof(struct metrics, field))

static uint64_t count_of(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i <= HISTOGRAM_BOUNDS_MAX; i++)
        count += metric_read(&histogram->counts[i]);
    return count;
}

static void send_to(struct harness *harness, struct client *client, const char *to, const char *more)
{
    client_send(client, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"x\"%s}", to, more);
    harness_run_until_idle(harness);
}

/* The copies of the state are made by the next tick. */
static void tick(struct harness *harness)
{
    harness_advance(harness, 1100000);
    harness_run_until_idle(harness);
}

/* Connections that ended, in all ways. */
static uint64_t ended(struct harness *harness)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < METRICS_CLOSES; i++)
        sum += sum_of(harness, offsetof(struct metrics, closes) + i * sizeof(struct metric));
    return sum;
}

Test(metrics, a_send_is_counted_once_by_its_outcome)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    const char *to = harness_name(harness, 1, 0);
    struct client *client = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (int i = 0; i < 10; i++)
        send_to(harness, client, to, "");
    send_to(harness, client, to, ",\"key\":\"k\"");
    send_to(harness, client, to, ",\"key\":\"k\"");
    send_to(harness, client, "not a name", "");
    send_to(harness, client, to, ",\"key\":5");
    cr_assert_eq(SUM(sends[METRICS_SEND_STORED]), 11);
    cr_assert_eq(SUM(sends[METRICS_SEND_DUPLICATE]), 1);
    cr_assert_eq(SUM(sends[METRICS_SEND_REFUSED]), 2);
    cr_assert_eq(SUM(sends[METRICS_SEND_UNKNOWN]), 0);
    cr_assert_eq(SUM(requests[REQUEST_SEND]), 14);
    cr_assert_eq(SUM(errors[ERROR_BAD_REQUEST]), 2);
    cr_assert_eq(metric_read(&harness_core(harness, 0)->metrics.sends[METRICS_SEND_STORED]), 11, "the sender's shard");
    cr_assert_eq(count_of(&harness_core(harness, 0)->metrics.send_to_ok), 11);
    cr_assert_eq(metric_read(&harness_core(harness, 1)->metrics.letters[METRICS_LETTER_SEND]), 11);
    harness_close(harness);
}

Test(metrics, a_send_whose_write_failed_is_counted_as_unknown_and_the_next_as_refused)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *client = client_login(harness, 0, "alice", "");
    harness_fail_writes(harness, 0);
    send_to(harness, client, "bob", "");
    send_to(harness, client, "bob", "");
    cr_assert_eq(SUM(sends[METRICS_SEND_UNKNOWN]), 1);
    cr_assert_eq(SUM(sends[METRICS_SEND_REFUSED]), 1);
    cr_assert_eq(SUM(sends[METRICS_SEND_STORED]), 0);
    cr_assert_eq(SUM(errors[ERROR_UNAVAILABLE]), 2);
    cr_assert_eq(SUM(wal_failures), 1);
    tick(harness);
    cr_assert_eq(SUM(takes_sends), 0);
    harness_close(harness);
}

Test(metrics, a_push_is_counted_for_each_connection_that_got_it)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    const char *to = harness_name(harness, 1, 0);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (int i = 0; i < 3; i++)
        client_login(harness, 1, to, "");
    send_to(harness, alice, to, "");
    send_to(harness, alice, to, "");
    struct metrics *metrics = &harness_core(harness, 1)->metrics;
    cr_assert_eq(metric_read(&metrics->pushes[METRICS_PUSH_WRITTEN]), 6);
    cr_assert_eq(count_of(&metrics->send_to_push), 6);
    cr_assert_eq(SUM(pushes[METRICS_PUSH_WRITTEN]), 6, "the sender's ok is no push");
    harness_close(harness);
}

Test(metrics, a_slow_consumer_is_counted_as_such)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .output_bytes = 65536});
    struct client *bob = client_login(harness, 0, "bob", "");
    struct client *alice = client_login(harness, 0, "alice", "");
    char text[16001];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    client_stall(bob, true);
    for (int i = 0; i < 6; i++) {
        client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"bob\",\"text\":\"%s\"}", text);
        harness_run_until_idle(harness);
    }
    cr_assert_eq(SUM(pushes[METRICS_PUSH_SLOW]), 1);
    cr_assert_eq(SUM(closes[METRICS_CLOSE_4001]), 1);
    cr_assert_eq(metric_read(&harness_core(harness, 0)->refusals.counts[REFUSAL_OUTPUT]), 1);
    client_stall(bob, false);
    harness_close(harness);
}

Test(metrics, the_delay_of_a_send_is_of_the_clock_of_its_turns)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *bob = client_login(harness, 0, "bob", "");
    struct client *alice = client_login(harness, 0, "alice", "");
    harness_hold_writes(harness, 0, true);
    send_to(harness, alice, "bob", "");
    harness_advance(harness, 3000);
    harness_hold_writes(harness, 0, false);
    harness_run_until_idle(harness);
    json_decref(client_expect(bob, "msg"));
    const struct metrics *metrics = &harness_core(harness, 0)->metrics;
    cr_assert_eq(metric_read(&metrics->send_to_ok.sum), 3000);
    cr_assert_eq(metric_read(&metrics->send_to_push.sum), 3000);
    cr_assert_eq(metric_read(&metrics->wal_write.sum), 3000);
    cr_assert_eq(metric_read(&metrics->batch_records.sum), 1);
    harness_close(harness);
}

Test(metrics, a_connection_is_counted_when_it_comes_and_when_it_ends)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .connections = 5});
    const char *names[] = {harness_name(harness, 0, 0), harness_name(harness, 1, 0)};
    struct client *clients[5];
    for (int i = 0; i < 5; i++)
        clients[i] = client_login(harness, 0, names[i % 2], "");
    client_accept(harness, 0); /* the server is full */
    tick(harness);
    cr_assert_eq(SUM(accepted[0]), 6);
    cr_assert_eq(SUM(logins[METRICS_LOGIN_OK]), 5);
    cr_assert_eq(SUM(letters[METRICS_LETTER_HANDOVER]), 4, "two handovers, and their letters returned");
    client_drop(clients[0]);
    client_end(clients[1]);
    client_send_frame(clients[2], 0x88, "\x0f\xa0", 2); /* close, 4000 */
    client_send_frame(clients[3], 0x82, "x", 1);        /* binary */
    harness_run_until_idle(harness);
    cr_assert_eq(SUM(closes[METRICS_CLOSE_NONE]), 1);
    cr_assert_eq(SUM(closes[METRICS_CLOSE_1000]), 1);
    cr_assert_eq(SUM(closes[METRICS_CLOSE_OTHER]), 1);
    cr_assert_eq(SUM(closes[METRICS_CLOSE_1003]), 1);
    cr_assert_eq(SUM(closes[METRICS_CLOSE_HTTP]), 1);
    clients_drop(harness);
    tick(harness);
    tick(harness);
    cr_assert_eq(SUM(open[0]), 0);
    cr_assert_eq(ended(harness), SUM(accepted[0]));
    harness_close(harness);
}

Test(metrics, refused_logins_are_counted)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *client = client_connect(harness, 0);
    client_send(client, "{\"op\":\"login\",\"id\":1,\"user\":\"a b\"}");
    client_send(client, "{\"op\":\"ping\",\"id\":2}");
    harness_run_until_idle(harness);
    cr_assert_eq(SUM(logins[METRICS_LOGIN_REFUSED]), 1);
    cr_assert_eq(SUM(errors[ERROR_NOT_LOGGED_IN]), 1);
    cr_assert_eq(SUM(requests[REQUEST_PING]), 1);
    harness_close(harness);
}

Test(metrics, replays_and_pages_count_what_they_wrote)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *alice = client_login(harness, 0, "alice", "");
    for (int i = 0; i < 7; i++)
        send_to(harness, alice, "bob", "");
    struct client *bob = client_login(harness, 0, "bob", ",\"after\":0");
    cr_assert_eq(SUM(replayed), 7);
    cr_assert_eq(SUM(pushes[METRICS_PUSH_WRITTEN]), 0);
    client_send(bob, "{\"op\":\"history\",\"id\":3,\"limit\":5}");
    harness_run_until_idle(harness);
    cr_assert_eq(SUM(history_pages), 1);
    cr_assert_eq(SUM(history_entries), 5);
    harness_close(harness);
}

Test(metrics, the_state_is_copied_once_a_second)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *alice = client_login(harness, 0, "alice", "");
    send_to(harness, alice, "bob", "");
    tick(harness);
    cr_assert_eq(SUM(open[0]), 1);
    cr_assert_eq(SUM(users), 1);
    cr_assert_eq(SUM(memtable_entries), 2);
    cr_assert_gt(SUM(memtable_bytes), 0);
    cr_assert_gt(SUM(memory_used[METRICS_MEMORY_RECORDS]), 0);
    cr_assert_eq(SUM(memory_max[METRICS_MEMORY_OUTPUT]), harness_core(harness, 0)->budget.output_bytes);
    cr_assert_eq(SUM(wal_segments[0]), 1);
    cr_assert_eq(SUM(takes_sends), 1);
    cr_assert_eq(SUM(output_level), 0);
    cr_assert_gt(SUM(turns), 0);
    harness_close(harness);
}

Test(metrics, checkpoints_and_runs_are_counted)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_to(harness, alice, harness_name(harness, 1, 0), "");
    checkpoint_request(harness_core(harness, 0));
    tick(harness);
    tick(harness);
    cr_assert_eq(SUM(checkpoints[METRICS_OK]), 2);
    cr_assert_eq(SUM(rounds), 2, "one of each shard");
    cr_assert_eq(SUM(runs), 2);
    cr_assert_eq(SUM(run_rows), 2);
    cr_assert_gt(SUM(checkpoint_bytes), 0);
    cr_assert_eq(SUM(memtable_entries), 0);
    harness_close(harness);
}

Test(metrics, a_clock_that_stepped_back_leaves_the_floor_ahead)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *alice = client_login(harness, 0, "alice", "");
    send_to(harness, alice, "bob", "");
    tick(harness);
    cr_assert_eq(SUM(clock_floor_ahead), 0);
    harness_advance(harness, -3600000000);
    tick(harness);
    cr_assert_gt(SUM(clock_floor_ahead), 3590000000);
    cr_assert_leq(SUM(clock_floor_ahead), 3600000000);
    harness_close(harness);
}
