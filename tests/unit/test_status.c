/* status.h: what `chitchat status` makes of two scrapes of a server, and that the page fits a terminal. */
#include "cli/status.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "server/core.h"
#include "server/metrics_text.h"

static struct server server;
static struct exposition scrapes[2];
static char *texts[2];
static json_t *status;
static char *page;

static void setup(void)
{
    memset(&server, 0, sizeof server);
    server.core_count = 2;
    server.cores = calloc(server.core_count, sizeof *server.cores);
    for (uint32_t i = 0; i < server.core_count; i++)
        server.cores[i] = calloc(1, sizeof(struct core));
}

static void teardown(void)
{
    for (uint32_t i = 0; i < server.core_count; i++)
        free(server.cores[i]);
    free(server.cores);
    for (int i = 0; i < 2; i++) {
        exposition_close(&scrapes[i]);
        free(texts[i]);
        texts[i] = NULL;
    }
    json_decref(status);
    status = NULL;
    free(page);
    page = NULL;
}

TestSuite(status, .init = setup, .fini = teardown);

static void scrape(int i)
{
    texts[i] = malloc(metrics_text_bytes_max(&server));
    size_t bytes = metrics_text_write(&server, texts[i]);
    cr_assert_eq(exposition_parse(&scrapes[i], (struct span){texts[i], bytes}), 0);
}

static struct metrics *metrics_of(uint32_t shard)
{
    return &server.cores[shard]->metrics;
}

/* Two seconds after the first scrape, 5,000 s after the epoch. */
static void make(void)
{
    const struct status_input input = {
        .before = &scrapes[0], .after = &scrapes[1], .seconds = 2, .now_s = 5000, .url = "http://127.0.0.1:8081"};
    size_t bytes;
    status = status_make(&input);
    cr_assert_not_null(status);
    FILE *out = open_memstream(&page, &bytes);
    status_print(status, out);
    fclose(out);
}

static double number(const char *path)
{
    char copy[128];
    const json_t *at = status;
    strcpy(copy, path);
    for (char *key = strtok(copy, "."); key != NULL; key = strtok(NULL, "."))
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
    cr_assert(json_is_number(at), "%s", path);
    return json_number_value(at);
}

Test(status, rates_are_of_the_time_between_the_scrapes)
{
    metric_set(&metrics_of(0)->sends[METRICS_SEND_STORED], 1000);
    metric_set(&metrics_of(0)->turn.sum, 1000000);
    scrape(0);
    metric_set(&metrics_of(0)->sends[METRICS_SEND_STORED], 1500);
    metric_set(&metrics_of(1)->sends[METRICS_SEND_STORED], 10);
    metric_set(&metrics_of(1)->pushes[METRICS_PUSH_WRITTEN], 8);
    metric_set(&metrics_of(0)->turn.sum, 1500000);
    scrape(1);
    make();
    cr_assert_eq(number("total.messages.stored_per_s"), 255);
    cr_assert_eq(number("shards.0.messages.stored_per_s"), 250);
    cr_assert_eq(number("shards.1.messages.stored_per_s"), 5);
    cr_assert_eq(number("shards.1.messages.pushed_per_s"), 4);
    cr_assert_eq(number("total.messages.stored"), 1510);
    cr_assert_eq(number("shards.0.busy"), 0.25);
}

Test(status, counters_that_fell_are_those_of_a_server_that_was_started_again)
{
    metric_set(&metrics_of(0)->sends[METRICS_SEND_STORED], 1000);
    scrape(0);
    metric_set(&metrics_of(0)->sends[METRICS_SEND_STORED], 5);
    scrape(1);
    make();
    cr_assert_eq(number("total.messages.stored_per_s"), 0);
}

Test(status, delays_are_of_the_interval_or_else_since_the_start)
{
    histogram_record(&metrics_of(0)->send_to_ok, metrics_delay_shape, 900000);
    histogram_record(&metrics_of(0)->send_to_push, metrics_delay_shape, 900000);
    scrape(0);
    for (int i = 0; i < 100; i++)
        histogram_record(&metrics_of(0)->send_to_ok, metrics_delay_shape, i < 98 ? 1000 : 4000);
    scrape(1);
    make();
    cr_assert_float_eq(number("total.messages.send_to_ok.p50_ms"), 1.024, 1e-9);
    cr_assert_float_eq(number("total.messages.send_to_ok.p99_ms"), 4.096, 1e-9);
    cr_assert_float_eq(number("total.messages.send_to_push.p50_ms"), 1048.576, 1e-9);
    cr_assert_not_null(strstr(page, "send to ok     p50 <= 1.02 ms, p99 <= 4.1 ms\n"), "%s", page);
    cr_assert_not_null(strstr(page, "send to push   p50 <= 1.05e+03 ms, p99 <= 1.05e+03 ms (since the start)\n"));
    cr_assert_not_null(strstr(page, "log write      none yet\n"));
}

Test(status, the_state_of_the_process_is_read)
{
    metric_set(&server.metrics.start_time, 4000 * UINT64_C(1000000));
    metric_set(&server.metrics.certificate_expiry, (5000 + 3 * 86400) * UINT64_C(1000000));
    metric_set(&server.metrics.disk_free_bytes, UINT64_C(5) << 30);
    metric_set(&server.metrics.disk_bytes, UINT64_C(100) << 30);
    metric_set(&server.metrics.connections_max, 100000);
    metric_set(&metrics_of(0)->open[0], 1200);
    metric_set(&metrics_of(1)->open[1], 34);
    metric_set(&metrics_of(0)->takes_sends, 1);
    metric_set(&metrics_of(1)->takes_sends, 1);
    scrape(0);
    scrape(1);
    make();
    cr_assert_eq(number("up_s"), 1000);
    cr_assert_eq(number("process.certificate_expires_in_s"), 3 * 86400);
    cr_assert_not_null(strstr(page, "\nready          all shards accept sends\n"), "%s", page);
    cr_assert_not_null(strstr(page, "\nconnections    1,234 of 100,000, 34 with TLS; 0 users\n"));
    cr_assert_not_null(strstr(page, "\ndisk           5.0 GiB free of 100 GiB\n"));
    cr_assert_not_null(strstr(page, "\ncertificate    expires in 3 days\n"));
}

Test(status, what_is_wrong_stands_at_the_top)
{
    metric_set(&metrics_of(0)->takes_sends, 1);
    metric_set(&server.metrics.reload_failed[METRICS_RELOAD_TLS], 1);
    metric_set(&server.metrics.certificate_expiry, 4999 * UINT64_C(1000000));
    metric_set(&metrics_of(1)->clock_floor_ahead, 7200 * UINT64_C(1000000));
    scrape(0);
    scrape(1);
    make();
    cr_assert_not_null(strstr(page, "\nREFUSING       1 of 2 shards refuse sends: see the log\nNOT RELOADED "), "%s",
                       page);
    cr_assert_not_null(strstr(page, "\ncertificate    EXPIRED\n"));
    cr_assert_not_null(strstr(page, "\nclock          new ts are 2 h ahead of the clock\n"));
}

Test(status, a_standby_is_no_server_that_is_ready)
{
    static struct cluster cluster;
    server.cluster = &cluster;
    metric_set(&server.cluster_metrics.generation, 7);
    metric_set(&server.cluster_metrics.lag, 90 * UINT64_C(1000000));
    metric_set(&server.cores[0]->slot_metrics.log.connected, 1);
    metric_set(&server.cores[0]->slot_metrics.lag, 1234);
    scrape(0);
    scrape(1);
    make();
    cr_assert_not_null(strstr(page, "\nstandby        another node owns the slots: no clients, no shards\n"
                                    "LOG SERVERS    those of 1 of 2 slots do not answer: see the log\n"
                                    "log            1,234 batches behind, 90 s; generation 7\n"),
                       "%s", page);
    cr_assert_null(strstr(page, "\nready"));
    cr_assert_eq(number("cluster.batches_behind"), 1234);
    server.cluster = NULL;
}

Test(status, an_owner_shows_its_log)
{
    static struct cluster cluster;
    server.cluster = &cluster;
    metric_set(&server.cluster_metrics.owner, 1);
    metric_set(&server.cluster_metrics.generation, 7);
    for (int i = 0; i < 2; i++) {
        metric_set(&metrics_of((uint32_t)i)->takes_sends, 1);
        metric_set(&server.cores[i]->slot_metrics.log.connected, 1);
    }
    scrape(0);
    metric_set(&server.cores[1]->slot_metrics.log.appends[LOG_APPEND_ACKED], 24);
    histogram_record(&server.cores[1]->slot_metrics.log.append, log_remote_append_shape, 4000);
    scrape(1);
    make();
    cr_assert_not_null(strstr(page, "\nready          all shards accept sends\n"
                                    "log            owner, generation 7; 12.0/s batches, p99 4.1 ms\n"),
                       "%s", page);
    server.cluster = NULL;
    metric_set(&server.cluster_metrics.owner, 0);
}

Test(status, a_failed_store_stands_at_the_top)
{
    metric_set(&server.metrics.store_failed, 1);
    scrape(0);
    scrape(1);
    make();
    cr_assert_not_null(strstr(page, "\nFAILED "), "%s", page);
    cr_assert(json_is_true(json_object_get(json_object_get(status, "process"), "store_failed")));
}

Test(status, a_server_that_stops_is_not_ready)
{
    metric_set(&server.metrics.draining, 1);
    metric_set(&metrics_of(0)->takes_sends, 1);
    metric_set(&metrics_of(1)->takes_sends, 1);
    scrape(0);
    scrape(1);
    make();
    cr_assert_not_null(strstr(page, "\nSTOPPING       health checks get 503, and connections are closed\n"), "%s",
                       page);
    cr_assert_null(strstr(page, "\nready"));
    cr_assert(json_is_true(json_object_get(json_object_get(status, "process"), "draining")));
}

Test(status, stamps_that_are_ahead_by_less_than_a_second_are_no_news)
{
    metric_set(&metrics_of(1)->clock_floor_ahead, 900000);
    scrape(0);
    scrape(1);
    make();
    cr_assert_null(strstr(page, "\nclock"), "%s", page);
}

Test(status, each_use_of_memory_is_shown)
{
    metric_set(&metrics_of(0)->memory_max[METRICS_MEMORY_PRESENCE], 300);
    metric_set(&metrics_of(1)->memory_max[METRICS_MEMORY_PRESENCE], 100);
    metric_set(&metrics_of(1)->memory_used[METRICS_MEMORY_PRESENCE], 100);
    scrape(0);
    scrape(1);
    make();
    cr_assert_eq(json_object_size(json_object_get(json_object_get(status, "total"), "memory")), METRICS_MEMORIES);
    cr_assert_eq(number("total.memory.presence.limit_bytes"), 400);
    cr_assert_not_null(strstr(page, " presence 25 %"), "%s", page);
}

Test(status, counts_since_the_start_are_by_code_and_leave_out_zeros)
{
    metric_set(&metrics_of(0)->errors[ERROR_BUSY], 3);
    metric_set(&metrics_of(1)->errors[ERROR_BUSY], 4);
    metric_set(&server.cores[1]->refusals.counts[REFUSAL_TOKEN], 1234567);
    scrape(0);
    scrape(1);
    make();
    cr_assert_eq(number("since_start.errors.busy"), 7);
    const json_t *counts = json_object_get(status, "since_start");
    cr_assert_eq(json_object_size(json_object_get(counts, "errors")), 1);
    cr_assert_eq(json_object_size(json_object_get(counts, "disconnects")), 0);
    cr_assert_not_null(strstr(page, "\nerrors         busy 7\ndisconnects    none\nrefusals       token 1,234,567\n"),
                       "%s", page);
}

/* The largest numbers that a server may come to. */
Test(status, no_line_of_the_page_has_more_than_80_columns)
{
    const uint64_t most = 999999999999;
    struct metric *process = (struct metric *)&server.metrics;
    scrape(0);
    for (size_t i = 0; i < sizeof server.metrics / sizeof *process; i++)
        metric_set(&process[i], most);
    metric_set(&server.metrics.store_failed, 0);
    for (uint32_t shard = 0; shard < server.core_count; shard++) {
        struct metric *metrics = (struct metric *)metrics_of(shard);
        for (size_t i = 0; i < sizeof(struct metrics) / sizeof *metrics; i++)
            metric_set(&metrics[i], most);
        metric_set(&metrics_of(shard)->open[0], 9999999);
        metric_set(&metrics_of(shard)->open[1], 9999999);
        metric_set(&metrics_of(shard)->users, 9999999);
        metric_set(&metrics_of(shard)->runs, 24);
        metric_set(&metrics_of(shard)->runs_max, 24);
        for (int i = 0; i < METRICS_SENDS; i++)
            metric_set(&metrics_of(shard)->sends[i], 9999999);
        metric_set(&metrics_of(shard)->pushes[METRICS_PUSH_WRITTEN], 99999999);
        metric_set(&metrics_of(shard)->turn.sum, 2000000);
        metric_set(&metrics_of(shard)->takes_sends, 0);
        for (uint32_t i = 0; i < REFUSAL_COUNT; i++)
            metric_set(&server.cores[shard]->refusals.counts[i], most);
    }
    scrape(1);
    make();
    for (const char *line = page; *line != '\0'; line += strcspn(line, "\n") + 1)
        cr_expect_leq(strcspn(line, "\n"), 80, "%.*s", (int)strcspn(line, "\n"), line);
}

Test(status, other_metrics_are_no_status)
{
    const struct exposition nothing = {.samples = NULL};
    const struct status_input input = {
        .before = &nothing, .after = &nothing, .seconds = 1, .now_s = 1, .url = "http://127.0.0.1:9090"};
    cr_assert_null(status_make(&input));
}
