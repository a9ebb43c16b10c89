#include "load_report.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define SATURATED_SHARE 0.9
#define OVERDUE_PER_S_MIN 20u /* a twentieth of a second is a late turn, not a slow server */
#define MEMORY_CONNECTIONS_MIN 1000u

enum load_latency load_report_main_latency(const struct load_report *report)
{
    switch (report->options->scenario) {
    case LOAD_HISTORY: return LOAD_PAGE;
    case LOAD_REPLAY: return LOAD_CONNECT_TO_LIVE;
    case LOAD_IDLE: return LOAD_CONNECT_TO_LOGIN;
    default: return LOAD_SEND_TO_OK;
    }
}

bool load_report_is_good(const struct load_report *report)
{
    return report->is_complete && load_stats_broken(&report->all) == 0 && report->sends_unanswered == 0
           && report->pages_unanswered == 0 && report->entries_missing == 0;
}

bool load_report_has_figures(const struct load_report *report)
{
    return report->seconds >= LOAD_DURATION_S_MIN;
}

bool load_report_is_saturated(const struct load_report *report)
{
    return report->busiest_share > SATURATED_SHARE;
}

void load_report_add_point(struct load_report *report, const struct load_point *point)
{
    if (report->point_count == report->point_room) {
        report->point_room = report->point_room == 0 ? 64 : 2 * report->point_room;
        report->points = realloc(report->points, report->point_room * sizeof *report->points);
        ASSERT(report->points != NULL);
    }
    report->points[report->point_count++] = *point;
}

static void print_latency(const char *what, const struct load_histogram *histogram)
{
    static const double fractions[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    if (histogram->count == 0)
        return;
    printf("  %-18s", what);
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++)
        printf(" %10.3f", (double)load_histogram_quantile(histogram, fractions[i]) / 1000);
    printf(" %10.3f  %12llu\n", (double)histogram->max_us / 1000, (unsigned long long)histogram->count);
}

static void print_latencies(const struct load_report *report)
{
    const struct load_stats *stats;
    printf("\n  %-18s %10s %10s %10s %10s %10s %10s  %12s\n", "latency, ms", "p50", "p90", "p99", "p99.9", "p99.99",
           "max", "count");
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++) {
        stats = i == LOAD_CONNECT_TO_LOGIN ? &report->all : &report->measured;
        print_latency(load_stats_latency_text((enum load_latency)i), &stats->latencies[i]);
    }
    const struct load_histogram *main = &report->measured.latencies[load_report_main_latency(report)];
    if (main->count > 0) {
        printf("\n%s, by powers of two:\n", load_stats_latency_text(load_report_main_latency(report)));
        load_histogram_print(main, stdout);
    }
}

static void print_title(const struct load_report *report)
{
    const struct load_options *options = report->options;
    printf("chitchat-load: %s, %u connections, %u users, %u bytes of text%s, %u thread%s",
           load_options_scenario(options), options->connections,
           options->scenario == LOAD_FANOUT ? 2 * options->users : options->users, options->text_bytes,
           options->has_keys ? ", keys" : "", options->threads, options->threads == 1 ? "" : "s");
    if (load_report_has_figures(report))
        printf("; measured %.2f s\n", report->seconds);
    else
        printf("; it ended before anything was measured: no figures\n");
    if (options->recipients > options->users && options->scenario != LOAD_FANOUT)
        printf("to %u users, of whom the others are not connected: what they got is not judged\n", options->recipients);
    if (options->protocol == LOAD_NATS)
        printf("a nats-server with JetStream: ok is the acknowledgement of the stream; delivery is a plain "
               "subscription\n");
    if (options->rate > 0)
        printf(
            "open loop: %u sends/s; latency counts from when each was meant to leave; at worst one left %.3f ms late\n",
            options->rate, (double)report->behind_us / 1000);
    else if (options->scenario != LOAD_IDLE && options->scenario != LOAD_HISTORY && options->scenario != LOAD_REPLAY)
        printf("closed loop: window %u; a slow server is asked less, so the tail is a lower bound\n", options->window);
}

static void print_late(const struct load_report *report)
{
    static const struct {
        enum load_latency latency;
        const char *text;
    } told[] = {{LOAD_SEND_TO_OK, "sends"}, {LOAD_PAGE, "pages"}, {LOAD_CONNECT_TO_LIVE, "replays"}};
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        if (report->late[told[i].latency] > 0)
            printf("  %llu %s of the measured time were answered after it: among the latencies, not in the rates\n",
                   (unsigned long long)report->late[told[i].latency], told[i].text);
}

/* Who is to blame cannot be seen from here where a window holds sends back. */
static void print_behind(const struct load_report *report)
{
    const struct load_options *options = report->options;
    printf("  BEHIND: when measuring ended, %llu sends were due and had not left: ", (unsigned long long)report->behind);
    if (!report->is_held)
        printf("connections had room,\n  so it is this generator that is slower than --rate: see its CPU below\n");
    else if (options->window < LOAD_WINDOW_MAX)
        printf("no connection had room in its\n  --window of %u: the window is too small for --rate, or the server "
               "too slow; a larger one shows which\n",
               options->window);
    else
        printf("no connection had room for more than\n  the %u unanswered that the protocol allows: the server is "
               "slower than --rate\n",
               LOAD_WINDOW_MAX);
    if (report->overdue > 0)
        printf("  %llu of them never left: their latency is not among those below\n",
               (unsigned long long)report->overdue);
}

static void print_rates(const struct load_report *report)
{
    static const enum load_count rates[] = {LOAD_ACKNOWLEDGED, LOAD_DELIVERED,     LOAD_REPLAYED,
                                            LOAD_PAGES,        LOAD_PAGE_MESSAGES, LOAD_LOGINS};
    printf("\n");
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (report->measured.counts[rates[i]] > 0)
            printf("  %-28s %12.0f /s\n", load_stats_count_text(rates[i]),
                   (double)report->measured.counts[rates[i]] / report->seconds);
    print_late(report);
    if (report->behind * OVERDUE_PER_S_MIN > report->options->rate)
        print_behind(report);
    printf("  all connections live after   %12.3f s\n", report->connect_s);
    for (uint32_t i = 0; i < report->storm_count; i++)
        printf("  storm %u: all live again after %11.3f s\n", i + 1, report->storm_s[i]);
    if (report->options->kill_command != NULL)
        printf("  server killed and started    %12u times\n", report->kill_count);
}

static void print_cost(const char *what, double cpu_s, uint64_t count)
{
    if (count > 0)
        printf(", %.2f us %s", cpu_s * 1e6 / (double)count, what);
}

/* Whole-system figures: what a few connections take is lost in what all else does. */
static void print_memory(const struct load_report *report)
{
    double connections = report->options->connections;
    /* Those that only stay are told as they stay; elsewhere the end holds what was sent too. */
    bool stays = report->options->scenario == LOAD_IDLE;
    double rss = (double)(stays ? report->after : report->seated).rss_bytes - (double)report->idle.rss_bytes;
    double kernel = (double)report->seated.kernel_bytes - (double)report->idle.kernel_bytes;
    printf("  RSS %.1f MiB before, %.1f MiB with all logged in, %.1f MiB at the end",
           (double)report->idle.rss_bytes / (1 << 20), (double)report->seated.rss_bytes / (1 << 20),
           (double)report->after.rss_bytes / (1 << 20));
    if (connections < MEMORY_CONNECTIONS_MIN)
        printf("; with %u connections and more, and a fresh server, also what one takes\n", MEMORY_CONNECTIONS_MIN);
    else if (rss <= 0)
        printf("; earlier connections' memory was used again: start the server anew to see what one takes\n");
    else
        printf(": %.0f bytes a connection\n", rss / connections);
    if (connections >= MEMORY_CONNECTIONS_MIN && kernel > 0)
        printf("  the kernel: %.0f bytes a connection for both of its ends (slab and TCP buffers, whole system)\n",
               kernel / connections);
}

static void print_server(const struct load_report *report)
{
    const uint64_t *counts = report->measured.counts;
    double cpu_s = report->after.cpu_s - report->before.cpu_s;
    if (report->options->server_pid == 0)
        return;
    printf("\nserver: %.*f cores of CPU", cpu_s / report->seconds < 0.1 ? 5 : 2, cpu_s / report->seconds);
    print_cost("a send", cpu_s, counts[LOAD_ACKNOWLEDGED]);
    print_cost("an entry delivered", cpu_s, counts[LOAD_DELIVERED] + counts[LOAD_REPLAYED]);
    print_cost("a page", cpu_s, counts[LOAD_PAGES]);
    printf("\n");
    if (report->options->kill_command == NULL) {
        printf("  %.2f us of CPU for each connect, upgrade and login at the start\n",
               (report->seated.cpu_s - report->idle.cpu_s) * 1e6 / report->options->connections);
        print_memory(report);
    }
}

static void print_own(const struct load_report *report)
{
    printf("generator: %.2f cores of CPU, its busiest loop %.0f %% of one%s\n", report->own_cpu_s / report->seconds,
           report->busiest_share * 100,
           load_report_is_saturated(report) ? ": SATURATED, so these figures may be its, not the server's" : "");
}

static void print_judgement(const struct load_report *report)
{
    static const enum load_count told[] = {LOAD_DUPLICATE_OKS, LOAD_BUSY, LOAD_UNAVAILABLE, LOAD_CONNECT_FAILED,
                                           LOAD_CUT_OFF};
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        if (report->all.counts[told[i]] > 0)
            printf("%s: %llu\n", load_stats_count_text(told[i]), (unsigned long long)report->all.counts[told[i]]);
    for (uint32_t i = LOAD_BROKEN_FIRST; i < LOAD_COUNTS; i++)
        if (report->all.counts[i] > 0)
            printf("BROKEN: %s: %llu\n", load_stats_count_text((enum load_count)i),
                   (unsigned long long)report->all.counts[i]);
    if (report->broken_text[0] != '\0')
        printf("  first: %s\n", report->broken_text);
    if (report->sends_unanswered > 0 || report->entries_missing > 0)
        printf("BROKEN: %llu sends without an answer, %llu entries missing at the end\n",
               (unsigned long long)report->sends_unanswered, (unsigned long long)report->entries_missing);
    if (report->pages_unanswered > 0)
        printf("BROKEN: %llu pages of history without an answer\n", (unsigned long long)report->pages_unanswered);
    if (!report->is_complete)
        printf("BROKEN: the run did not come to its end%s%s\n", report->end_text[0] != '\0' ? ": " : "",
               report->end_text);
    else if (report->end_text[0] != '\0')
        printf("%s after %.1f s\n", report->end_text, report->seconds);
    if (load_report_is_good(report))
        printf(
            "verified: %llu sends acknowledged, %llu entries received: none lost, repeated, out of order or changed\n",
            (unsigned long long)report->all.counts[LOAD_ACKNOWLEDGED],
            (unsigned long long)(report->all.counts[LOAD_DELIVERED] + report->all.counts[LOAD_REPLAYED]));
}

void load_report_print(const struct load_report *report)
{
    print_title(report);
    if (load_report_has_figures(report)) {
        print_rates(report);
        print_latencies(report);
        print_server(report);
        print_own(report);
    }
    print_judgement(report);
}
