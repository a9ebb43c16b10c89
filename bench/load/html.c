#include "load/html.h"

#include <stdio.h>

#include "load/curves.h"
#include "load/plot.h"
#include "load/tables.h"
#include "load/usage.h"

static void write_tile(FILE *file, const char *value, const char *what)
{
    fprintf(file, "<div><b>%s</b><span>%s</span></div>\n", value, what);
}

static void write_rate_tiles(FILE *file, const struct load_report *report)
{
    static const enum load_count rates[] = {LOAD_ACKNOWLEDGED, LOAD_DELIVERED, LOAD_REPLAYED, LOAD_PAGES,
                                            LOAD_PEERS_PAGES,  LOAD_MARKS,     LOAD_TYPED};
    char text[64], what[64];
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (report->measured.counts[rates[i]] == 0)
            continue;
        load_plot_number(text, sizeof text, (double)report->measured.counts[rates[i]] / report->seconds);
        snprintf(what, sizeof what, "%s a second", load_stats_count_text(rates[i]));
        write_tile(file, text, what);
    }
}

/* What idle connections cost. */
static void write_idle_tiles(FILE *file, const struct load_report *report)
{
    char text[64];
    bool is_known = load_usage_knows_server(report);
    double rss = is_known ? load_usage_rss_each(report) : 0, kernel = load_usage_kernel_each(report);
    if (rss > 0) {
        snprintf(text, sizeof text, "%.0f bytes", rss);
        write_tile(file, text, "RSS of the server a connection");
    }
    if (kernel > 0) {
        snprintf(text, sizeof text, "%.0f bytes", kernel);
        write_tile(file, text, "kernel memory a connection, both ends");
    }
    if (!is_known)
        return;
    snprintf(text, sizeof text, "%.1f us", load_usage_login_us(report));
    write_tile(file, text, "CPU of the server a connect, upgrade and login");
    snprintf(text, sizeof text, "%.3f %%", 100 * (report->after.cpu_s - report->before.cpu_s) / report->seconds);
    write_tile(file, text, "of a core, the server while all are idle");
}

static void write_latency_tiles(FILE *file, const struct load_report *report)
{
    static const double fractions[] = {0.5, 0.99, 1};
    static const char *const names[] = {"p50", "p99", "max"};
    enum load_latency main = load_report_main_latency(report);
    const struct load_histogram *latency = load_report_latency(report, main);
    char text[64], what[64];
    for (size_t i = 0; i < 3 && latency->count > 0; i++) {
        load_plot_time(text, sizeof text, (double)load_histogram_quantile(latency, fractions[i]) / 1000);
        snprintf(what, sizeof what, "%s, %s", load_stats_latency_text(main), names[i]);
        write_tile(file, text, what);
    }
}

/* What a reader looks for first. */
static void write_tiles(FILE *file, const struct load_report *report)
{
    char text[64];
    fputs("<div class=t>\n", file);
    write_rate_tiles(file, report);
    if (report->options->scenario == LOAD_IDLE)
        write_idle_tiles(file, report);
    write_latency_tiles(file, report);
    for (uint32_t i = 0; i < report->storm_count && i < 3; i++) {
        load_plot_time(text, sizeof text, report->storm_s[i] * 1000);
        write_tile(file, text, "until all were back after a storm");
    }
    if (report->failover_count > 0) {
        load_plot_time(text, sizeof text, report->failover_s[0] * 1000);
        write_tile(file, text, "until the other node answered after a kill");
    }
    if (report->kill_count > 0) {
        snprintf(text, sizeof text, "%u", report->kill_count);
        write_tile(file, text, report->kill_count == 1 ? "kill of the server" : "kills of the server");
    }
    fputs("</div>\n", file);
}

static void write_failure(FILE *file, const struct load_report *report)
{
    fprintf(file, "✗ %llu promises broken, %llu entries missing, %llu sends and %llu pages unanswered. ",
            (unsigned long long)load_stats_broken(&report->all), (unsigned long long)report->entries_missing,
            (unsigned long long)report->sends_unanswered, (unsigned long long)report->pages_unanswered);
    load_tables_escape(file, report->broken_text);
    if (!report->is_complete)
        fprintf(file, "%sThe run did not come to its end%s", report->broken_text[0] != '\0' ? ". " : "",
                report->end_text[0] != '\0' ? ": " : ".");
    load_tables_escape(file, report->end_text);
    fputs(report->stuck_text[0] != '\0' ? ": " : "", file);
    load_tables_escape(file, report->stuck_text);
}

static void write_verdict(FILE *file, const struct load_report *report)
{
    bool is_good = load_report_is_good(report);
    fprintf(file, "<p class=%s>", is_good ? "good" : "bad");
    if (is_good)
        fprintf(file, "✓ verified: %s",
                load_options_is_silent(report->options) ? load_report_silence(report)
                                                        : "nothing lost, repeated, out of order or changed");
    else
        write_failure(file, report);
    fputs("</p>\n", file);
    for (uint32_t i = 0; i < report->thresholds_failed; i++) {
        fputs("<p class=bad>✗ --fail-if ", file);
        load_tables_escape(file, report->threshold_texts[i]);
        fputs("</p>\n", file);
    }
    if (report->options->threshold_count > 0 && report->thresholds_failed == 0)
        fprintf(file, "<p class=good>✓ passed: %u of --fail-if</p>\n", report->options->threshold_count);
    if (is_good && report->end_text[0] != '\0' && load_report_has_figures(report))
        fprintf(file, "<p>Cut short (%s) after %.1f s.</p>\n", report->end_text, report->seconds);
}

static void write_size(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    uint32_t users = load_options_connected_users(options);
    fprintf(file, "%u connections of %u user%s, ", options->connections, users, users == 1 ? "" : "s");
    if (load_options_fills(options))
        fprintf(file, "%u sends each before that, ", options->fill);
    if (!load_options_is_silent(options))
        fprintf(file, "%u bytes of text%s, ", options->text_bytes, options->has_keys ? " and a key" : "");
    fprintf(file, "%u thread%s. ", options->threads, options->threads == 1 ? "" : "s");
}

static void write_loop(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    if (options->rate > 0)
        fprintf(file,
                "Open loop: %u sends a second; latency counts from when each was due; the latest left %.3f ms late. ",
                options->rate, (double)report->behind_us / 1000);
    else if (options->scenario == LOAD_HISTORY || options->scenario == LOAD_PEERS)
        fprintf(file, "Closed loop, %u page%s in flight on a connection. ", options->window,
                options->window == 1 ? "" : "s");
    else if (report->measured.counts[LOAD_ACKNOWLEDGED] > 0)
        fprintf(file, "Closed loop, window %u: a slow server is asked less, so the tail is a lower bound. ",
                options->window);
    fprintf(file, "All connections were live after %.3g s; then %.2f s were measured. ", report->connect_s,
            report->seconds);
    if (options->recipients > options->users && options->scenario != LOAD_FANOUT)
        fprintf(file, "Sent to %u users, of whom the others are not connected: what they got is not checked. ",
                options->recipients);
}

/* Open loop: sends that were due and had not left. If a window held them back, the generator cannot know the cause. */
static void write_behind(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    const char *why = "no connection had room for more unanswered ones than the protocol allows: the server is slower "
                      "than --rate";
    if (!report->is_held)
        why = "connections had room, so the generator is slower than --rate";
    else if (options->window < LOAD_WINDOW_MAX)
        why = "no connection had room in its --window: that is too small for --rate, or the server too slow";
    fprintf(file, "<p class=bad>Behind: when measuring ended, %llu sends were due and had not left: %s.",
            (unsigned long long)report->behind, why);
    if (report->overdue > 0)
        fprintf(file, " %llu of them never left: the latencies below do not contain them.",
                (unsigned long long)report->overdue);
    fputs("</p>\n", file);
}

/* What a reader must know before believing a figure. */
static void write_warnings(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    if (options->protocol == LOAD_NATS)
        fputs("<p>A nats-server with JetStream: ok is the acknowledgement of the stream; delivery is by a plain "
              "subscription.</p>\n",
              file);
    if (options->protocol == LOAD_HTTP)
        fputs("<p>POST /api/v1/messages: ok is its answer. Nothing is pushed to a program, so who received what is not "
              "checked.</p>\n",
              file);
    if (load_options_kills(options))
        fprintf(file, "<p>The %s was killed with SIGKILL %u time%s under load and started again.</p>\n",
                load_options_has_pair(options) ? "node that served" : "server", report->kill_count,
                report->kill_count == 1 ? "" : "s");
    if (load_report_is_behind(report))
        write_behind(file, report);
    if (load_usage_is_saturated(report))
        fprintf(file,
                "<p class=bad>The generator's busiest loop took %.0f %% of a core and waited %.0f %% for one: it was "
                "saturated, so these figures may be its limit, not the server's.</p>\n",
                report->busiest_share * 100, report->busiest_waited_share * 100);
}

static void write_body(FILE *file, const struct load_report *report)
{
    fprintf(file, "<h1>chitchat-load: %s</h1>\n<p>", load_options_scenario(report->options));
    write_size(file, report);
    if (load_report_has_figures(report))
        write_loop(file, report);
    fputs("</p>\n", file);
    if (load_report_has_figures(report)) {
        write_warnings(file, report);
        write_verdict(file, report);
        write_tiles(file, report);
        load_curves_rates(file, report);
        load_curves_latencies(file, report);
        load_curves_quantiles(file, report);
        load_curves_distribution(file, report);
        load_tables_latencies(file, report);
        load_tables_counts(file, report);
        load_tables_cpu(file, report);
        load_tables_memory(file, report);
    } else {
        write_verdict(file, report);
        fprintf(file, "<p>The run ended before anything was measured%s%s.</p>\n",
                report->is_complete && report->end_text[0] != '\0' ? ": " : "",
                report->is_complete ? report->end_text : "");
        load_tables_counts(file, report);
    }
    load_tables_options(file, report);
}

static const char head[] =
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\n"
    "<title>chitchat-load</title><style>\n"
    ":root{color-scheme:light "
    "dark;--c0:#1f6fb8;--c1:#c76a10;--c2:#b3263c;--c3:#22773f;--c4:#7446c0;--c5:#0a7c86;--c6:#8a5a2b;--c7:#9a2f8a;--k:#"
    "555}\n"
    "@media(prefers-color-scheme:dark){:root{--c0:#6cb4f5;--c1:#f3a64e;--c2:#ff8091}}\n"
    "@media(prefers-color-scheme:dark){:root{--c3:#66cf8a;--c4:#bb9aff;--c5:#5fd0da;--c6:#d9a878;--c7:#f08fe0;--k:#bbb}"
    "}\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em}\n"
    "h1{font-size:1.5em;margin:0}h2{font-size:1.05em;margin:1.8em 0 .3em}p{margin:.4em 0}\n"
    ".w{overflow-x:auto}.d{opacity:.75;font-size:.9em}\n"
    ".good{color:var(--c3);font-weight:600}.bad{color:var(--c2);font-weight:600}\n"
    /* plots: axes, lines, bars, marks, the legend */
    "svg{width:100%;display:block}text{font-size:12px;fill:currentColor;opacity:.75}\n"
    ".g{stroke:currentColor;opacity:.15}.b{fill:var(--c0)}\n"
    ".s{fill:none;stroke-width:2;stroke:currentColor;stroke-linejoin:round}\n"
    ".c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}\n"
    ".c5{color:var(--c5)}.c6{color:var(--c6)}.c7{color:var(--c7)}\n"
    ".m0{color:var(--k)}.m1{color:var(--c4)}\n"
    "g rect{fill:currentColor;opacity:.22}g path{stroke:currentColor;stroke-width:1.5}\n"
    ".l b,.l span{margin-right:1em;display:inline-block}\n"
    ".l span:before{content:'';border-left:3px solid;margin-right:.5em}\n"
    /* tiles, tables, the command line */
    ".t{display:flex;flex-wrap:wrap;gap:.6em;margin:1em 0}\n"
    ".t div,pre{border:1px solid #8885;border-radius:6px;padding:.5em .8em}.t div{flex:1 1 8em}\n"
    ".t b{display:block;font-size:1.35em}.t span{opacity:.75;font-size:.85em}\n"
    "table{border-collapse:collapse;margin:1.5em 0 .6em;font-variant-numeric:tabular-nums}\n"
    "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #8885;white-space:nowrap}\n"
    "td:first-child,th:first-child{text-align:left;padding-left:0;white-space:normal;min-width:7.5em}\n"
    ".o td{text-align:left;white-space:normal}.o td:last-child{overflow-wrap:anywhere;min-width:11em}\n"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere}\n"
    /* a phone: larger labels in the plots; of a wide table each row becomes a name and lines of four or three values */
    "@media(max-width:600px){body{margin:1em auto}text{font-size:24px}.s{stroke-width:4}\n"
    "td,th{padding:.15em .3em}.f table,.f tbody{display:block}\n"
    ".f tr{display:grid;grid-template-columns:repeat(4,1fr);border-bottom:1px solid #8885}.f.n "
    "tr{grid-template-columns:"
    "repeat(3,1fr)}\n"
    ".f td,.f th{border:0}.f td:first-child,.f th:first-child{grid-column:1/-1}.f td:first-child{font-weight:600}}\n"
    "</style>\n";

static void write_page(FILE *file, const struct load_report *report)
{
    fputs(head, file);
    write_body(file, report);
    fputs("</html>\n", file);
}

bool load_html_write(const struct load_report *report, const char *path)
{
    return load_report_save(report, path, write_page);
}
