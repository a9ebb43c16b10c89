#include "load/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/baseline.h"
#include "load/usage.h"

#define OVERDUE_PER_S_MIN 20u /* more sends than those of 1/20 s: not just a late turn of the generator */

enum load_latency load_report_main_latency(const struct load_report *report)
{
    switch (report->options->scenario) {
    case LOAD_HISTORY: return LOAD_PAGE;
    case LOAD_REPLAY: return LOAD_CONNECT_TO_LIVE;
    case LOAD_PEERS: return LOAD_PEERS_PAGE;
    case LOAD_TYPING: return LOAD_TYPING_TO_OK;
    case LOAD_IDLE:
    case LOAD_LOGINS_AGAIN: return LOAD_CONNECT_TO_LOGIN;
    default: return LOAD_SEND_TO_OK;
    }
}

const struct load_histogram *load_report_latency(const struct load_report *report, enum load_latency latency)
{
    return &(latency == LOAD_CONNECT_TO_LOGIN ? &report->all : &report->measured)->latencies[latency];
}

const char *load_report_silence(const struct load_report *report)
{
    return report->options->scenario == LOAD_IDLE ? "each connection stayed, and none got anything"
                                                  : "each was answered, and none got anything";
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

bool load_report_is_behind(const struct load_report *report)
{
    return report->behind * OVERDUE_PER_S_MIN > report->options->rate;
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
    printf("\n  %-18s %10s %10s %10s %10s %10s %10s  %12s\n", "latency, ms", "p50", "p90", "p99", "p99.9", "p99.99",
           "max", "count");
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++)
        print_latency(load_stats_latency_text((enum load_latency)i), load_report_latency(report, (enum load_latency)i));
    const struct load_histogram *main = &report->measured.latencies[load_report_main_latency(report)];
    if (main->count > 0) {
        printf("\n%s, ms, by powers of two:\n", load_stats_latency_text(load_report_main_latency(report)));
        load_histogram_print(main, stdout);
    }
}

static void print_loop(const struct load_report *report)
{
    const struct load_options *options = report->options;
    if (options->rate > 0)
        printf("open loop: %u sends/s; latency counts from when each was due; the latest left %.3f ms late\n",
               options->rate, (double)report->behind_us / 1000);
    else if (options->scenario == LOAD_HISTORY || options->scenario == LOAD_PEERS)
        printf("closed loop: %u page%s in flight on a connection; a slow server is asked less, so the tail is a lower "
               "bound\n",
               options->window, options->window == 1 ? "" : "s");
    else if (options->scenario == LOAD_REPLAY)
        printf("closed loop: one replay in flight on a connection; a slow server is asked less, so the tail is a lower "
               "bound\n");
    else if (options->scenario == LOAD_LOGINS_AGAIN)
        printf("closed loop: each connection connects when its last one was closed; the CPU of a login is that of a "
               "connect%s, upgrade and login\n",
               options->has_tls ? ", TLS handshake" : "");
    else if (options->scenario != LOAD_IDLE)
        printf("closed loop: window %u; a slow server is asked less, so the tail is a lower bound\n", options->window);
}

static void print_title(const struct load_report *report)
{
    const struct load_options *options = report->options;
    printf("chitchat-load: %s, %u connections, %u users, %u bytes of text%s, %u thread%s",
           load_options_scenario(options), options->connections, load_options_connected_users(options),
           options->text_bytes, options->has_keys ? ", keys" : "", options->threads, options->threads == 1 ? "" : "s");
    if (load_report_has_figures(report))
        printf("; measured %.2f s\n", report->seconds);
    else
        printf("; the run ended before anything was measured: no figures\n");
    if (options->recipients > options->users && options->scenario != LOAD_FANOUT)
        printf("to %u users, of whom the others are not connected: what they got is not checked\n",
               options->recipients);
    if (options->protocol == LOAD_NATS)
        printf("a nats-server with JetStream: ok is the acknowledgement of the stream; delivery is by a plain "
               "subscription\n");
    if (options->protocol == LOAD_HTTP)
        printf("POST /api/v1/messages: ok is its answer; nothing is pushed to a program, so who received what is not "
               "checked\n");
    if (options->has_tls)
        printf("%s; %llu handshakes, of which %llu resumed a session; %s\n",
               report->tls_text[0] != '\0' ? report->tls_text : "TLS",
               (unsigned long long)report->all.counts[LOAD_HANDSHAKES],
               (unsigned long long)report->all.counts[LOAD_RESUMED],
               options->is_tls_insecure ? "the certificate was not checked" : "the certificate was checked");
    print_loop(report);
}

static void print_late(const struct load_report *report)
{
    static const struct {
        enum load_latency latency;
        const char *text;
    } shown[] = {{LOAD_SEND_TO_OK, "sends"}, {LOAD_PAGE, "pages"}, {LOAD_CONNECT_TO_LIVE, "replays"}};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        if (report->late[shown[i].latency] > 0)
            printf("  %llu %s of the measured time were answered after it: their latencies count, the rates leave them "
                   "out\n",
                   (unsigned long long)report->late[shown[i].latency], shown[i].text);
}

/* If a window holds sends back, the generator cannot know the cause. */
static void print_behind(const struct load_report *report)
{
    const struct load_options *options = report->options;
    printf("  BEHIND: when measuring ended, %llu sends were due and had not left: ",
           (unsigned long long)report->behind);
    if (!report->is_held)
        printf("connections had room,\n  so the generator is slower than --rate: see its CPU below\n");
    else if (options->window < LOAD_WINDOW_MAX)
        printf("no connection had room in its\n  --window of %u: the window is too small for --rate, or the server "
               "too slow; a larger window shows which\n",
               options->window);
    else
        printf("no connection had room for more than\n  the %u unanswered that the protocol allows: the server is "
               "slower than --rate\n",
               LOAD_WINDOW_MAX);
    if (report->overdue > 0)
        printf("  %llu of them never left: the latencies below do not contain them\n",
               (unsigned long long)report->overdue);
}

static void print_rates(const struct load_report *report)
{
    static const enum load_count rates[] = {LOAD_ACKNOWLEDGED,  LOAD_DELIVERED,     LOAD_REPLAYED, LOAD_PAGES,
                                            LOAD_PAGE_MESSAGES, LOAD_PEERS_PAGES,   LOAD_MARKS,    LOAD_RECEIPTS,
                                            LOAD_TYPED,         LOAD_TYPING_PUSHES, LOAD_LOGINS,   LOAD_HANDSHAKES,
                                            LOAD_RESUMED};
    printf("\n");
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (report->measured.counts[rates[i]] > 0)
            printf("  %-28s %12.0f /s\n", load_stats_count_text(rates[i]),
                   (double)report->measured.counts[rates[i]] / report->seconds);
    print_late(report);
    if (load_report_is_behind(report))
        print_behind(report);
    printf("  all connections live after   %12.3f s\n", report->connect_s);
    for (uint32_t i = 0; i < report->storm_count; i++)
        printf("  storm %u: all live again after %11.3f s\n", i + 1, report->storm_s[i]);
    for (uint32_t i = 0; i < report->failover_count; i++)
        printf("  failover %u: first ok after %15.3f s\n", i + 1, report->failover_s[i]);
    if (load_options_kills(report->options))
        printf("  %s %12u times\n",
               load_options_has_pair(report->options) ? "owner killed and started    " : "server killed and started   ",
               report->kill_count);
}

static void print_end(const struct load_report *report)
{
    if (!report->is_complete)
        printf("BROKEN: the run did not come to its end%s%s%s%s\n", report->end_text[0] != '\0' ? ": " : "",
               report->end_text, report->stuck_text[0] != '\0' ? ": " : "", report->stuck_text);
    else if (report->end_text[0] != '\0' && load_report_has_figures(report))
        printf("%s after %.1f s\n", report->end_text, report->seconds);
    else if (report->end_text[0] != '\0')
        printf("%s before measuring: no figures\n", report->end_text);
}

/* What was checked. Of idle connections only that they logged in, stayed, and got nothing. */
static void print_verified(const struct load_report *report)
{
    static const struct {
        enum load_count count;
        const char *text;
    } shown[] = {{LOAD_LOGINS, "logins"},
                 {LOAD_ACKNOWLEDGED, "sends acknowledged"},
                 {LOAD_DELIVERED, "entries delivered"},
                 {LOAD_REPLAYED, "entries replayed"},
                 {LOAD_PAGES, "pages of history"},
                 {LOAD_PAGE_MESSAGES, "messages in them"},
                 {LOAD_PEERS_PAGES, "pages of conversations"},
                 {LOAD_MARKS, "marks"},
                 {LOAD_RECEIPTS, "receipts"},
                 {LOAD_TYPED, "typing answered"},
                 {LOAD_TYPING_PUSHES, "typing pushed"}};
    const char *separator = "verified: ";
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        if (report->all.counts[shown[i].count] == 0)
            continue;
        printf("%s%llu %s", separator, (unsigned long long)report->all.counts[shown[i].count], shown[i].text);
        separator = ", ";
    }
    printf(": %s\n", load_options_is_silent(report->options) ? load_report_silence(report)
                     : report->options->protocol == LOAD_HTTP
                         ? "each with a mid and a ts above that of the one before it"
                         : "none lost, repeated, out of order or changed");
}

static void print_verdict(const struct load_report *report)
{
    static const enum load_count shown[] = {LOAD_DUPLICATE_OKS, LOAD_BUSY,           LOAD_RATE_LIMITED,
                                            LOAD_UNAVAILABLE,   LOAD_CONNECT_FAILED, LOAD_CUT_OFF};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        if (report->all.counts[shown[i]] > 0)
            printf("%s: %llu\n", load_stats_count_text(shown[i]), (unsigned long long)report->all.counts[shown[i]]);
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
        printf("BROKEN: %llu pages without an answer\n", (unsigned long long)report->pages_unanswered);
    print_end(report);
    if (load_report_is_good(report))
        print_verified(report);
}

bool load_report_save(const struct load_report *report, const char *path,
                      void (*write)(FILE *file, const struct load_report *report))
{
    FILE *file = fopen(path, "w");
    if (file != NULL)
        write(file, report);
    if (file != NULL && fclose(file) == 0)
        return true;
    fprintf(stderr, "chitchat-load: cannot write %s: %s\n", path, strerror(errno));
    return false;
}

void load_report_check_thresholds(struct load_report *report, const struct load_baseline *baseline)
{
    const struct load_options *options = report->options;
    for (uint32_t i = 0; i < options->threshold_count; i++) {
        char *said = report->threshold_texts[report->thresholds_failed];
        if (!load_threshold_passes(&options->thresholds[i], report, baseline, said, LOAD_THRESHOLD_TEXT_BYTES))
            report->thresholds_failed++;
    }
}

static void print_thresholds(const struct load_report *report)
{
    uint32_t count = report->options->threshold_count;
    for (uint32_t i = 0; i < report->thresholds_failed; i++)
        printf("FAILED: --fail-if %s\n", report->threshold_texts[i]);
    if (count > 0 && report->thresholds_failed == 0)
        printf("passed: %u condition%s of --fail-if\n", count, count == 1 ? "" : "s");
}

void load_report_print(const struct load_report *report, const struct load_baseline *baseline)
{
    print_title(report);
    if (load_report_has_figures(report)) {
        print_rates(report);
        print_latencies(report);
        load_usage_print(report);
        if (baseline != NULL)
            load_baseline_print(baseline, report, stdout);
    }
    print_verdict(report);
    print_thresholds(report);
}
