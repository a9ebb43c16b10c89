/* metrics_text.h: the text as a reader of Prometheus takes it, and its bound. */
#include "server/metrics_text.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/core.h"
#include "server/metrics_families.h"

static struct server *server;
static char *text;

static void setup_shards(uint32_t shards)
{
    server = calloc(1, sizeof *server);
    server->core_count = shards;
    server->cores = calloc(shards, sizeof *server->cores);
    for (uint32_t i = 0; i < shards; i++)
        server->cores[i] = calloc(1, sizeof(struct core));
}

static void setup(void)
{
    setup_shards(2);
}

static void teardown(void)
{
    for (uint32_t i = 0; i < server->core_count; i++)
        free(server->cores[i]);
    free(server->cores);
    free(server);
    free(text);
    text = NULL;
}

TestSuite(metrics_text, .init = setup, .fini = teardown);

/* The text with a NUL, in memory that ends where the bound says. */
static void write_text(void)
{
    size_t max = metrics_text_bytes_max(server);
    char *exact = malloc(max);
    size_t bytes = metrics_text_write(server, exact);
    cr_assert_leq(bytes, max);
    free(text);
    text = malloc(bytes + 1);
    memcpy(text, exact, bytes);
    text[bytes] = '\0';
    free(exact);
}

static void expect_line(const char *line)
{
    char whole[300];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    cr_assert_not_null(strstr(text, whole), "%s", line);
}

static bool is_number(const char *at)
{
    char *end;
    (void)strtod(at, &end);
    return end > at && *end == '\0';
}

static size_t name_bytes(const char *at)
{
    size_t bytes = 0;
    while (isalnum((unsigned char)at[bytes]) || at[bytes] == '_')
        bytes++;
    return bytes;
}

/* A sample is a name, labels in braces or none, a blank and a number. */
static void check_sample(const char *line, const char *family)
{
    size_t bytes = name_bytes(line);
    cr_assert(bytes > 0 && strncmp(line, family, strlen(family)) == 0, "%s is of %s", line, family);
    const char *suffix = line + strlen(family);
    cr_assert(bytes == strlen(family) || strncmp(suffix, "_bucket{", 8) == 0 || strncmp(suffix, "_sum", 4) == 0
                  || strncmp(suffix, "_count", 6) == 0,
              "%s", line);
    const char *at = line + bytes;
    if (*at == '{') {
        at = strchr(at, '}');
        cr_assert_not_null(at, "%s", line);
        at++;
    }
    cr_assert(*at == ' ' && is_number(at + 1), "%s", line);
}

Test(metrics_text, each_family_has_help_and_type_before_its_samples)
{
    write_text();
    char family[128] = "", wanted[160] = "";
    uint32_t families = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            (void)snprintf(family, sizeof family, "%.*s", (int)name_bytes(line + 7), line + 7);
            (void)snprintf(wanted, sizeof wanted, "# TYPE %s ", family);
            cr_assert_gt(strlen(line), 7 + strlen(family) + 5, "%s has a help", family);
            families++;
        } else if (wanted[0] != '\0') {
            cr_assert_eq(strncmp(line, wanted, strlen(wanted)), 0, "%s follows the help of %s", line, family);
            wanted[0] = '\0';
        } else {
            check_sample(line, family);
        }
    }
    cr_assert_gt(families, 60);
}

static void check_name(const struct family *family)
{
    size_t bytes = strlen(family->name);
    bool is_total = bytes > 6 && strcmp(family->name + bytes - 6, "_total") == 0;
    cr_assert_eq(is_total, family->type == FAMILY_COUNTER, "%s", family->name);
    cr_assert_eq(strstr(family->name, "_seconds") != NULL, family->is_us, "%s", family->name);
    cr_assert_eq(family->label == NULL, family->value == NULL, "%s", family->name);
    cr_assert(family->type != FAMILY_HISTOGRAM || family->shape->bounds <= HISTOGRAM_BOUNDS_MAX, "%s", family->name);
    cr_assert_null(strpbrk(family->help, "\\\n"), "%s", family->name);
    for (uint32_t i = 0; family->value != NULL && i < family->count; i++)
        cr_assert_leq(strlen(family->label) + strlen(family->value(i)), 40, "%s", family->name);
}

Test(metrics_text, names_and_units_follow_the_conventions)
{
    uint32_t counts[4];
    const struct family *families[] = {metrics_shard_families(&counts[0]), metrics_process_families(&counts[1]),
                                       metrics_node_families(&counts[2]), metrics_slot_families(&counts[3])};
    for (int k = 0; k < 4; k++)
        for (uint32_t i = 0; i < counts[k]; i++) {
            check_name(&families[k][i]);
            for (uint32_t j = 0; j < i; j++)
                cr_assert_str_neq(families[k][i].name, families[k][j].name);
        }
}

Test(metrics_text, a_cluster_has_families_of_its_own_and_a_standby_none_of_shards)
{
    static struct cluster cluster;
    write_text();
    cr_assert_null(strstr(text, "chitchat_cluster_"));
    cr_assert_null(strstr(text, "chitchat_log_appends_total"));
    server->cluster = &cluster;
    metric_set(&server->cores[1]->slot_metrics.log.appends[LOG_APPEND_UNKNOWN], 3);
    write_text();
    expect_line("chitchat_cluster_owner 0");
    expect_line("chitchat_log_appends_total{shard=\"1\",outcome=\"unknown\"} 3");
    cr_assert_null(strstr(text, "chitchat_takes_sends"));
    metric_set(&server->cluster_metrics.owner, 1);
    write_text();
    expect_line("chitchat_cluster_owner 1");
    expect_line("chitchat_takes_sends{shard=\"0\"} 0");
}

Test(metrics_text, counts_of_a_node_outlive_its_execution_as_a_standby)
{
    struct cluster_metrics before = {0}, after = {0};
    cr_assert_not(cluster_metrics_take(&after));
    cr_assert_eq(metric_read(&after.takeovers), 0);
    metric_set(&before.takeovers, 5);
    metric_set(&before.depositions, 4);
    cluster_metrics_carry(&before);
    cr_assert(cluster_metrics_take(&after));
    cr_assert_eq(metric_read(&after.takeovers), 5);
    cr_assert_eq(metric_read(&after.depositions), 4);
}

Test(metrics_text, a_clock_is_compared_with_that_of_the_log_server)
{
    struct log_engine_report report = {.clock_us = 10 * CLUSTER_CLOCK_OFF_US};
    struct cluster_metrics metrics = {0};
    char words[128];
    cr_expect(cluster_clock_is_right(&report, 11 * CLUSTER_CLOCK_OFF_US, &metrics, words, sizeof words));
    cr_expect_eq(metric_read(&metrics.clock_ahead), CLUSTER_CLOCK_OFF_US);
    cr_expect_not(cluster_clock_is_right(&report, 11 * CLUSTER_CLOCK_OFF_US + 1, &metrics, words, sizeof words));
    cr_expect_str_eq(words, "the clock of this machine is 60 s ahead of that of the log server");
    cr_expect_not(cluster_clock_is_right(&report, 8 * CLUSTER_CLOCK_OFF_US, &metrics, words, sizeof words));
    cr_expect_str_eq(words, "the clock of this machine is 120 s behind that of the log server");
    cr_expect_eq(metric_read(&metrics.clock_ahead), 0);
    cr_expect_eq(metric_read(&metrics.clock_behind), 2 * CLUSTER_CLOCK_OFF_US);
}

Test(metrics_text, numbers_have_their_labels)
{
    metric_add(&server->cores[0]->metrics.sends[METRICS_SEND_STORED], 12);
    metric_add(&server->cores[1]->metrics.sends[METRICS_SEND_REFUSED], 3);
    metric_add(&server->cores[1]->refusals.counts[REFUSAL_TOKEN], 5);
    metric_add(&server->cores[0]->metrics.errors[ERROR_BUSY], 4);
    metric_add(&server->cores[1]->metrics.closes[METRICS_CLOSE_4001], 2);
    metric_set(&server->metrics.disk_free_bytes, UINT64_MAX);
    write_text();
    expect_line("chitchat_sends_total{shard=\"0\",outcome=\"stored\"} 12");
    expect_line("chitchat_sends_total{shard=\"1\",outcome=\"stored\"} 0");
    expect_line("chitchat_sends_total{shard=\"1\",outcome=\"refused\"} 3");
    expect_line("chitchat_refusals_total{shard=\"1\",cause=\"token\"} 5");
    expect_line("chitchat_errors_total{shard=\"0\",code=\"busy\"} 4");
    expect_line("chitchat_disconnects_total{shard=\"1\",code=\"4001\"} 2");
    expect_line("chitchat_disk_free_bytes 18446744073709551615");
    expect_line("chitchat_build_info{version=\"" CHITCHAT_VERSION "\"} 1");
}

Test(metrics_text, microseconds_are_written_as_seconds)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {{0, "0"},         {1, "0.000001"},      {1500000, "1.5"},
                 {1000000, "1"},   {999999, "0.999999"}, {3600000000, "3600"},
                 {120000, "0.12"}, {10, "0.00001"},      {1796000000123456, "1796000000.123456"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[100];
        metric_set(&server->metrics.cpu, cases[i].us);
        write_text();
        (void)snprintf(line, sizeof line, "process_cpu_seconds_total %s", cases[i].text);
        expect_line(line);
    }
}

Test(metrics_text, buckets_are_cumulative_and_end_with_the_count)
{
    struct histogram *histogram = &server->cores[1]->metrics.send_to_ok;
    const uint64_t values_us[] = {10, 64, 65, 1000, 99000000};
    for (size_t i = 0; i < sizeof values_us / sizeof values_us[0]; i++)
        histogram_record(histogram, metrics_delay_shape, values_us[i]);
    write_text();
    expect_line("chitchat_send_to_ok_seconds_bucket{shard=\"1\",le=\"0.000064\"} 2");
    expect_line("chitchat_send_to_ok_seconds_bucket{shard=\"1\",le=\"0.000128\"} 3");
    expect_line("chitchat_send_to_ok_seconds_bucket{shard=\"1\",le=\"0.000512\"} 3");
    expect_line("chitchat_send_to_ok_seconds_bucket{shard=\"1\",le=\"0.001024\"} 4");
    expect_line("chitchat_send_to_ok_seconds_bucket{shard=\"1\",le=\"16.777216\"} 4");
    expect_line("chitchat_send_to_ok_seconds_bucket{shard=\"1\",le=\"+Inf\"} 5");
    expect_line("chitchat_send_to_ok_seconds_sum{shard=\"1\"} 99.001139");
    expect_line("chitchat_send_to_ok_seconds_count{shard=\"1\"} 5");
    expect_line("chitchat_send_to_ok_seconds_count{shard=\"0\"} 0");
}

/* The largest numbers in all places: a bound that is too low would write past the memory, which the sanitizers see. */
Test(metrics_text, the_bound_holds_for_the_most_shards_and_the_largest_numbers)
{
    teardown();
    setup_shards(CONFIG_SHARDS_MAX);
    text = NULL;
    memset(&server->metrics, 0xff, sizeof server->metrics);
    for (uint32_t i = 0; i < server->core_count; i++) {
        memset(&server->cores[i]->metrics, 0xff, sizeof server->cores[i]->metrics);
        memset(&server->cores[i]->refusals, 0xff, sizeof server->cores[i]->refusals);
    }
    write_text();
    cr_assert_leq(metrics_text_bytes_max(server), CONFIG_SHARDS_MAX * (64u << 10));
}
