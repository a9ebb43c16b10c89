#include "load/metrics.h"

#include <string.h>

#include "base/assert.h"
#include "load/report.h"
#include "load/stats.h"
#include "load/usage.h"

#define MIB (1 << 20)
#define LINE_CHARS 110u

static const struct {
    const char *name;
    double fraction;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}, {"max", 1}};
#define QUANTILES ((uint32_t)(sizeof quantiles / sizeof quantiles[0]))

/* Whether a count is of interest as a rate; else it is how often something went wrong, in all of the run. */
static bool is_rate(enum load_count count)
{
    switch (count) {
    case LOAD_DUPLICATE_OKS:
    case LOAD_BUSY:
    case LOAD_RATE_LIMITED:
    case LOAD_UNAVAILABLE:
    case LOAD_CONNECT_FAILED:
    case LOAD_CUT_OFF: return false;
    default: return true;
    }
}

static struct load_metric latency(const struct load_report *report, uint32_t number)
{
    struct load_metric metric = {.is_known = false};
    enum load_latency what = (enum load_latency)(number / QUANTILES);
    snprintf(metric.name, sizeof metric.name, "%s_%s_ms", load_stats_latency_name(what),
             quantiles[number % QUANTILES].name);
    if (report == NULL)
        return metric;
    const struct load_histogram *histogram = load_report_latency(report, what);
    metric.is_known = histogram->count > 0;
    metric.value = (double)load_histogram_quantile(histogram, quantiles[number % QUANTILES].fraction) / 1000;
    return metric;
}

/* Of what a run never does there is no rate; what went wrong is known to be 0. */
static struct load_metric count(const struct load_report *report, enum load_count what)
{
    struct load_metric metric = {.is_known = false};
    bool per_s = is_rate(what);
    snprintf(metric.name, sizeof metric.name, "%s%s", load_stats_count_name(what), per_s ? "_per_s" : "");
    if (report == NULL)
        return metric;
    metric.is_known = !per_s || report->all.counts[what] > 0;
    metric.value = per_s ? (double)report->measured.counts[what] / report->seconds : (double)report->all.counts[what];
    return metric;
}

/* -- the others: each returns a figure below 0 if the run does not have it -- */

static double connect_s(const struct load_report *report)
{
    return report->connect_s;
}

static double most_of(const double *values, uint32_t count)
{
    double most = -1;
    for (uint32_t i = 0; i < count; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}

static double storm_max_s(const struct load_report *report)
{
    return most_of(report->storm_s, report->storm_count);
}

static double failover_max_s(const struct load_report *report)
{
    return most_of(report->failover_s, report->failover_count);
}

static double behind(const struct load_report *report)
{
    return report->options->rate > 0 ? (double)report->behind : -1;
}

static double server_cpu_s(const struct load_report *report)
{
    return report->after.cpu_s - report->before.cpu_s;
}

static double server_cores(const struct load_report *report)
{
    return load_usage_knows_server(report) ? server_cpu_s(report) / report->seconds : -1;
}

static double server_us_of(const struct load_report *report, uint64_t count)
{
    return load_usage_knows_server(report) && count > 0 ? server_cpu_s(report) * 1e6 / (double)count : -1;
}

static double server_us_a_send(const struct load_report *report)
{
    return server_us_of(report, report->measured.counts[LOAD_ACKNOWLEDGED]);
}

static double server_us_an_entry(const struct load_report *report)
{
    return server_us_of(report, report->measured.counts[LOAD_DELIVERED] + report->measured.counts[LOAD_REPLAYED]);
}

static double server_us_a_page(const struct load_report *report)
{
    return server_us_of(report, report->measured.counts[LOAD_PAGES]);
}

static double server_us_a_peers_page(const struct load_report *report)
{
    return server_us_of(report, report->measured.counts[LOAD_PEERS_PAGES]);
}

static double server_us_a_typing(const struct load_report *report)
{
    return server_us_of(report, report->measured.counts[LOAD_TYPED]);
}

static double server_us_a_login(const struct load_report *report)
{
    if (report->options->scenario == LOAD_LOGINS_AGAIN)
        return server_us_of(report, report->measured.counts[LOAD_LOGINS]);
    return load_usage_knows_server(report) ? load_usage_login_us(report) : -1;
}

static double server_rss_mib(const struct load_report *report)
{
    return load_usage_knows_server(report) ? (double)report->after.rss_bytes / MIB : -1;
}

static double positive(double value)
{
    return value > 0 ? value : -1;
}

static double server_bytes_a_connection(const struct load_report *report)
{
    return load_usage_knows_server(report) ? positive(load_usage_rss_each(report)) : -1;
}

static double kernel_bytes_a_connection(const struct load_report *report)
{
    return positive(load_usage_kernel_each(report));
}

static double generator_cores(const struct load_report *report)
{
    return report->own_cpu_s / report->seconds;
}

#define FIGURE(name)                                                                                                   \
    {                                                                                                                  \
#name, name                                                                                                    \
    }
static const struct {
    const char *name;
    double (*value)(const struct load_report *report);
} figures[] = {FIGURE(connect_s),
               FIGURE(storm_max_s),
               FIGURE(failover_max_s),
               FIGURE(behind),
               FIGURE(server_cores),
               FIGURE(server_us_a_send),
               FIGURE(server_us_an_entry),
               FIGURE(server_us_a_page),
               FIGURE(server_us_a_login),
               FIGURE(server_us_a_peers_page),
               FIGURE(server_us_a_typing),
               FIGURE(server_rss_mib),
               FIGURE(server_bytes_a_connection),
               FIGURE(generator_cores),
               FIGURE(kernel_bytes_a_connection)};
#undef FIGURE
#define FIGURES ((uint32_t)(sizeof figures / sizeof figures[0]))

uint32_t load_metrics_count(void)
{
    return LOAD_LATENCIES * QUANTILES + LOAD_BROKEN_FIRST + FIGURES;
}

struct load_metric load_metrics_get(const struct load_report *report, uint32_t number)
{
    struct load_metric metric = {.is_known = false};
    ASSERT(number < load_metrics_count());
    if (report != NULL && !load_report_has_figures(report))
        report = NULL;
    if (number < LOAD_LATENCIES * QUANTILES)
        return latency(report, number);
    number -= LOAD_LATENCIES * QUANTILES;
    if (number < LOAD_BROKEN_FIRST)
        return count(report, (enum load_count)number);
    number -= LOAD_BROKEN_FIRST;
    snprintf(metric.name, sizeof metric.name, "%s", figures[number].name);
    metric.value = report != NULL ? figures[number].value(report) : -1;
    metric.is_known = metric.value >= 0;
    return metric;
}

uint32_t load_metrics_find(const char *name, uint32_t bytes)
{
    for (uint32_t i = 0; i < load_metrics_count(); i++) {
        struct load_metric metric = load_metrics_get(NULL, i);
        if (strlen(metric.name) == bytes && memcmp(metric.name, name, bytes) == 0)
            return i;
    }
    return UINT32_MAX;
}

void load_metrics_print_names(FILE *file)
{
    size_t used = 0;
    for (uint32_t i = 0; i < load_metrics_count(); i++) {
        struct load_metric metric = load_metrics_get(NULL, i);
        size_t bytes = strlen(metric.name) + 1;
        if (used > 0 && used + bytes > LINE_CHARS) {
            fputc('\n', file);
            used = 0;
        }
        fprintf(file, " %s", metric.name);
        used += bytes;
    }
    fputc('\n', file);
}
