/* load_html.c: the report as one page that needs nothing else: figures at a glance, plots, tables. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "load_plot.h"
#include "load_report.h"

#define BARS_MAX 160u
#define LEGEND_ROOM 512u

enum series { ACKNOWLEDGED, DELIVERED, PAGES, P50, P99, MAX, SERIES };

static const char *const series_texts[SERIES] = {
    "sends acknowledged", "entries delivered or replayed", "pages of history", "p50", "p99", "max"};

static double value_of(const struct load_point *point, enum series series)
{
    switch (series) {
    case ACKNOWLEDGED: return point->acknowledged_per_s;
    case DELIVERED: return point->delivered_per_s;
    case PAGES: return point->pages_per_s;
    case P50: return (double)point->p50_us / 1000;
    case P99: return (double)point->p99_us / 1000;
    default: return (double)point->max_us / 1000;
    }
}

/* The least that is above 0, and the most; 0 if there is none. */
static double most_of(const struct load_report *report, enum series series, double *least)
{
    double most = 0;
    for (uint32_t i = 0; i < report->point_count; i++) {
        double value = value_of(&report->points[i], series);
        most = fmax(most, value);
        if (value > 0 && (*least == 0 || value < *least))
            *least = value;
    }
    return most;
}

static void add_legend(char *legend, uint32_t colour, const char *text)
{
    size_t used = strlen(legend);
    snprintf(legend + used, LEGEND_ROOM - used, "<b class=c%u>%s</b> ", colour, text);
}

/* An interval without any answer leaves no point in a plot of latencies. */
static void draw_series(const struct load_plot *plot, const struct load_report *report, enum series series,
                        uint32_t colour)
{
    load_plot_line_begin(plot, colour);
    for (uint32_t i = 0; i < report->point_count; i++)
        if (!plot->is_ms || report->points[i].max_us > 0)
            load_plot_line_point(plot, report->points[i].at_s, value_of(&report->points[i], series));
    load_plot_line_end(plot);
}

/* Series `first` to `last`, those that have anything, over time. */
static void plot_over_time(struct load_plot *plot, const struct load_report *report, const char *title,
                           enum series first, enum series last)
{
    double least = 0, most = 0;
    char legend[LEGEND_ROOM] = "";
    for (enum series series = first; series <= last; series++)
        most = fmax(most, most_of(report, series, &least));
    if (most == 0 || report->point_count < 2)
        return;
    plot->x_max = report->points[report->point_count - 1].at_s;
    load_plot_fit(plot, least, most);
    load_plot_begin(plot, title);
    load_plot_x_seconds(plot);
    for (enum series series = first; series <= last; series++) {
        if (most_of(report, series, &least) == 0)
            continue;
        draw_series(plot, report, series, series - first);
        add_legend(legend, series - first, series_texts[series]);
    }
    load_plot_end(plot, legend);
}

static void plot_rates(FILE *file, const struct load_report *report)
{
    struct load_plot plot = {.file = file};
    plot_over_time(&plot, report, "Throughput, a second", ACKNOWLEDGED, PAGES);
}

static void plot_latencies(FILE *file, const struct load_report *report)
{
    struct load_plot plot = {.file = file, .is_log = true, .is_ms = true};
    char title[80];
    snprintf(title, sizeof title, "Latency over time: %s", load_stats_latency_text(load_report_main_latency(report)));
    plot_over_time(&plot, report, title, P50, MAX);
}

/* x: how many nines. */
static void draw_quantiles(const struct load_plot *plot, const struct load_histogram *histogram, uint32_t colour)
{
    load_plot_line_begin(plot, colour);
    for (double nines = 0; nines <= plot->x_max; nines += 0.05) {
        double fraction = 1 - pow(10, -nines);
        if (fraction > 1 - 1 / (double)histogram->count && nines > 0)
            break;
        load_plot_line_point(plot, nines, (double)load_histogram_quantile(histogram, fraction) / 1000);
    }
    load_plot_line_end(plot);
}

static void plot_quantiles(FILE *file, const struct load_report *report)
{
    static const char *const labels[] = {"fastest", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"};
    struct load_plot plot = {.file = file, .x_max = 5, .is_log = true, .is_ms = true};
    char legend[LEGEND_ROOM] = "";
    double least = 0, most = 0;
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++) {
        const struct load_histogram *histogram = &report->measured.latencies[i];
        double first = (double)load_histogram_quantile(histogram, 0) / 1000;
        most = fmax(most, (double)histogram->max_us / 1000);
        if (first > 0 && (least == 0 || first < least))
            least = first;
    }
    if (most == 0)
        return;
    load_plot_fit(&plot, least, most);
    load_plot_begin(&plot, "Latency that a share of all does not exceed");
    for (int i = 0; i <= 5; i++)
        load_plot_x_label(&plot, i, labels[i]);
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++) {
        if (report->measured.latencies[i].count == 0)
            continue;
        draw_quantiles(&plot, &report->measured.latencies[i], i);
        add_legend(legend, i, load_stats_latency_text((enum load_latency)i));
    }
    load_plot_end(&plot, legend);
}

/* Bars of a quarter of a power of two of microseconds. */
static void plot_distribution(FILE *file, const struct load_report *report)
{
    const struct load_histogram *histogram = &report->measured.latencies[load_report_main_latency(report)];
    double bars[BARS_MAX] = {0}, most = 0;
    uint32_t first = BARS_MAX, last = 0;
    char title[80];
    for (uint32_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        uint32_t bar = (uint32_t)(4 * log2((double)load_histogram_bucket_end(i) + 1));
        bars[bar] += 100 * (double)histogram->buckets[i] / (double)histogram->count;
        most = fmax(most, bars[bar]);
        first = bar < first ? bar : first;
        last = bar;
    }
    if (histogram->count == 0)
        return;
    struct load_plot plot = {.file = file, .x_max = last - first + 1};
    load_plot_fit(&plot, 0, most);
    snprintf(title, sizeof title, "Distribution: %s, %% of all",
             load_stats_latency_text(load_report_main_latency(report)));
    load_plot_begin(&plot, title);
    uint32_t step = last - first < 10 ? 1 : last - first < 24 ? 2 : 4;
    for (uint32_t bar = first; bar <= last + 1; bar++) {
        char text[32];
        load_plot_time(text, sizeof text, round(pow(2, bar / 4.0) * 10) / 10000);
        if ((bar - first) % step == 0)
            load_plot_x_label(&plot, bar - first, text);
        if (bar <= last)
            load_plot_bar(&plot, bar - first, bar - first + 1, bars[bar]);
    }
    load_plot_end(&plot, "");
}

static void write_escaped(FILE *file, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<': fputs("&lt;", file); break;
        case '>': fputs("&gt;", file); break;
        case '&': fputs("&amp;", file); break;
        default: fputc(*text, file); break;
        }
}

static void write_latencies(FILE *file, const struct load_report *report)
{
    static const double fractions[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    fputs("<div class=w><table><tr><th>latency<th>p50<th>p90<th>p99<th>p99.9<th>p99.99<th>max<th>count\n", file);
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++) {
        const struct load_histogram *histogram =
            &(i == LOAD_CONNECT_TO_LOGIN ? &report->all : &report->measured)->latencies[i];
        if (histogram->count == 0)
            continue;
        fprintf(file, "<tr><td>%s", load_stats_latency_text((enum load_latency)i));
        for (size_t k = 0; k < sizeof fractions / sizeof fractions[0]; k++) {
            char text[32];
            load_plot_time(text, sizeof text, (double)load_histogram_quantile(histogram, fractions[k]) / 1000);
            fprintf(file, "<td>%s", text);
        }
        fprintf(file, "<td>%llu\n", (unsigned long long)histogram->count);
    }
    fputs("</table></div>\n", file);
}

static void write_counts(FILE *file, const struct load_report *report)
{
    fputs("<div class=w><table><tr><th>counted<th>while measuring<th>a second<th>in all\n", file);
    for (uint32_t i = 0; i < LOAD_COUNTS; i++)
        if (report->all.counts[i] > 0)
            fprintf(file, "<tr><td>%s<td>%llu<td>%.0f<td>%llu\n", load_stats_count_text((enum load_count)i),
                    (unsigned long long)report->measured.counts[i],
                    (double)report->measured.counts[i] / report->seconds, (unsigned long long)report->all.counts[i]);
    fputs("</table></div>\n", file);
}

static void write_tile(FILE *file, const char *value, const char *what)
{
    fprintf(file, "<div><b>%s</b><span>%s</span></div>\n", value, what);
}

/* What a reader looks for first. */
static void write_tiles(FILE *file, const struct load_report *report)
{
    static const enum load_count rates[] = {LOAD_ACKNOWLEDGED, LOAD_DELIVERED, LOAD_REPLAYED, LOAD_PAGES};
    enum load_latency main = load_report_main_latency(report);
    const struct load_histogram *latency =
        &(main == LOAD_CONNECT_TO_LOGIN ? &report->all : &report->measured)->latencies[main];
    const double fractions[] = {0.5, 0.99, 1};
    static const char *const names[] = {"p50", "p99", "max"};
    char text[64], what[64];
    fputs("<div class=t>\n", file);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (report->measured.counts[rates[i]] == 0)
            continue;
        load_plot_number(text, sizeof text, (double)report->measured.counts[rates[i]] / report->seconds);
        snprintf(what, sizeof what, "%s a second", load_stats_count_text(rates[i]));
        write_tile(file, text, what);
    }
    for (size_t i = 0; i < 3 && latency->count > 0; i++) {
        load_plot_time(text, sizeof text, (double)load_histogram_quantile(latency, fractions[i]) / 1000);
        snprintf(what, sizeof what, "%s, %s", load_stats_latency_text(main), names[i]);
        write_tile(file, text, what);
    }
    for (uint32_t i = 0; i < report->storm_count && i < 3; i++) {
        load_plot_time(text, sizeof text, report->storm_s[i] * 1000);
        write_tile(file, text, "until all were back after a storm");
    }
    fputs("</div>\n", file);
}

static void write_judgement(FILE *file, const struct load_report *report)
{
    bool is_good = load_report_is_good(report);
    fprintf(file, "<p class=%s>", is_good ? "good" : "bad");
    if (is_good)
        fputs("✓ verified: nothing lost, repeated, out of order or changed", file);
    else
        fprintf(file, "✗ %llu promises broken, %llu entries missing, %llu sends unanswered. ",
                (unsigned long long)load_stats_broken(&report->all), (unsigned long long)report->entries_missing,
                (unsigned long long)report->sends_unanswered);
    write_escaped(file, report->broken_text);
    write_escaped(file, report->end_text);
    fputs("</p>\n", file);
}

static void write_summary(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    double cpu_s = report->after.cpu_s - report->before.cpu_s;
    fprintf(file, "<h1>chitchat-load: %s</h1>\n<p>%u connections, %u bytes of text, %.2f s measured. ",
            load_options_scenario(options), options->connections, options->text_bytes, report->seconds);
    if (options->rate > 0)
        fprintf(file, "Open loop: %u sends a second; latency counts from when each was meant to leave.", options->rate);
    else if (report->measured.counts[LOAD_ACKNOWLEDGED] > 0)
        fprintf(file, "Closed loop, window %u: a slow server is asked less, so the tail is a lower bound.",
                options->window);
    fputs("</p>\n<p>", file);
    if (options->server_pid != 0)
        fprintf(file, "Server: %.*f cores of CPU, RSS %.1f MiB. ", cpu_s / report->seconds < 0.1 ? 5 : 2,
                cpu_s / report->seconds, (double)report->after.rss_bytes / (1 << 20));
    if (options->server_pid != 0 && report->measured.counts[LOAD_ACKNOWLEDGED] > 0)
        fprintf(file, "%.2f us of CPU a send. ", cpu_s * 1e6 / (double)report->measured.counts[LOAD_ACKNOWLEDGED]);
    fprintf(file, "Generator: its busiest loop %.0f %% of a core%s.</p>\n", report->busiest_share * 100,
            load_report_is_saturated(report) ? ", <b class=bad>saturated: these figures may be its own</b>" : "");
    write_judgement(file, report);
    write_tiles(file, report);
}

static void write_page(FILE *file, const struct load_report *report)
{
    fputs("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
          "<title>chitchat-load</title><style>"
          ":root{color-scheme:light dark;--c0:#1f6fb8;--c1:#c76a10;--c2:#b3263c;--c3:#22773f;--c4:#7446c0}"
          "@media(prefers-color-scheme:dark){:root{--c0:#6cb4f5;--c1:#f3a64e;--c2:#ff8091;--c3:#66cf8a;--c4:#bb9aff}}"
          "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 "
          "1em}h1{font-size:1.5em;margin:0}"
          "h2{font-size:1.05em;margin:1.8em 0 .3em}p{margin:.4em "
          "0}.w{overflow-x:auto}svg{width:100%;min-width:36em;display:block}"
          "text{font-size:12px;fill:currentColor;opacity:.75}.g{stroke:currentColor;opacity:.15}"
          ".s{fill:none;stroke-width:2;stroke:currentColor;stroke-linejoin:round}.b{fill:var(--c0)}"
          ".c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}"
          ".l b{margin-right:1em}.t{display:flex;flex-wrap:wrap;gap:.6em;margin:1em 0}"
          ".t div{flex:1 1 8em;border:1px solid #8885;border-radius:6px;padding:.5em .8em}.t "
          "b{display:block;font-size:1.35em}"
          ".t span{opacity:.75;font-size:.85em}table{border-collapse:collapse;margin:1.5em "
          "0;font-variant-numeric:tabular-nums}"
          "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #8885;white-space:nowrap}"
          "td:first-child,th:first-child{text-align:left;padding-left:0}.good{color:var(--c3);font-weight:600}"
          ".bad{color:var(--c2);font-weight:600}</style>\n",
          file);
    write_summary(file, report);
    plot_rates(file, report);
    plot_latencies(file, report);
    plot_quantiles(file, report);
    plot_distribution(file, report);
    write_latencies(file, report);
    write_counts(file, report);
    fputs("</html>\n", file);
}

bool load_report_write_html(const struct load_report *report, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file != NULL)
        write_page(file, report);
    if (file != NULL && fclose(file) == 0)
        return true;
    fprintf(stderr, "chitchat-load: %s: %s\n", path, strerror(errno));
    return false;
}
