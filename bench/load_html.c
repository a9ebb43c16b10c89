/* load_html.c: the report as one page that needs nothing else: figures, and plots as SVG. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "load_report.h"

#define WIDTH 860.0
#define HEIGHT 240.0
#define LEFT 70.0
#define BOTTOM 30.0
#define TOP 12.0
#define RIGHT 12.0
#define TICKS 5

/* A field of coordinates; y may be logarithmic, then from `y_min` on. */
struct plot {
    FILE *file;
    double x_max, y_min, y_max;
    bool is_log;
};

static double x_of(const struct plot *plot, double x)
{
    return LEFT + (plot->x_max > 0 ? x / plot->x_max : 0) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct plot *plot, double y)
{
    double share = y / plot->y_max;
    if (plot->is_log)
        share = y <= plot->y_min ? 0 : log(y / plot->y_min) / log(plot->y_max / plot->y_min);
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
}

/* 1, 2 or 5 times a power of ten, at least `value`. */
static double round_up(double value)
{
    double power = pow(10, floor(log10(value > 0 ? value : 1)));
    double first = value / power;
    return power * (first <= 1 ? 1 : first <= 2 ? 2 : first <= 5 ? 5 : 10);
}

static void write_number(char *out, size_t room, double value)
{
    if (value >= 1e6)
        snprintf(out, room, "%.3g M", value / 1e6);
    else if (value >= 1e3)
        snprintf(out, room, "%.3g k", value / 1e3);
    else
        snprintf(out, room, "%.3g", value);
}

static void y_line(const struct plot *plot, double value, const char *unit)
{
    char label[32];
    write_number(label, sizeof label, value);
    fprintf(plot->file, "<path class=g d='M%.1f %.1fH%.1f'/><text x='%.1f' y='%.1f' text-anchor=end>%s%s</text>\n",
            LEFT, y_of(plot, value), WIDTH - RIGHT, LEFT - 6, y_of(plot, value) + 4, label, unit);
}

static void begin_plot(const struct plot *plot, const char *title, const char *unit)
{
    fprintf(plot->file, "<h2>%s</h2>\n<svg viewBox='0 0 %.0f %.0f'>\n", title, WIDTH, HEIGHT);
    if (plot->is_log)
        for (double y = plot->y_min; y <= plot->y_max * 1.001; y *= 10)
            y_line(plot, y, unit);
    else
        for (int i = 0; i <= TICKS; i++)
            y_line(plot, plot->y_max * i / TICKS, unit);
}

static void x_label(const struct plot *plot, double x, const char *text)
{
    fprintf(plot->file, "<path class=g d='M%.1f %.1fV%.1f'/><text x='%.1f' y='%.1f' text-anchor=middle>%s</text>\n",
            x_of(plot, x), TOP, HEIGHT - BOTTOM, x_of(plot, x), HEIGHT - BOTTOM + 16, text);
}

static void end_plot(const struct plot *plot, const char *legend)
{
    fprintf(plot->file, "</svg><p class=l>%s</p>\n", legend);
}

static void label_seconds(const struct plot *plot)
{
    for (int i = 0; i <= TICKS; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.3g s", plot->x_max * i / TICKS);
        x_label(plot, plot->x_max * i / TICKS, text);
    }
}

enum series { ACKNOWLEDGED, DELIVERED, PAGES, P50, P99, MAX };

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

static void draw_series(const struct plot *plot, const struct load_report *report, enum series series, int colour)
{
    fprintf(plot->file, "<polyline class='s c%d' points='", colour);
    for (uint32_t i = 0; i < report->point_count; i++)
        fprintf(plot->file, "%.1f,%.1f ", x_of(plot, report->points[i].at_s),
                y_of(plot, value_of(&report->points[i], series)));
    fputs("'/>\n", plot->file);
}

static double most_of(const struct load_report *report, enum series first, enum series last)
{
    double most = 0;
    for (uint32_t i = 0; i < report->point_count; i++)
        for (enum series series = first; series <= last; series++)
            most = fmax(most, value_of(&report->points[i], series));
    return most;
}

static void plot_rates(FILE *file, const struct load_report *report)
{
    struct plot plot = {
        .file = file, .x_max = report->seconds, .y_max = round_up(most_of(report, ACKNOWLEDGED, PAGES))};
    begin_plot(&plot, "Throughput", "");
    label_seconds(&plot);
    draw_series(&plot, report, ACKNOWLEDGED, 0);
    draw_series(&plot, report, DELIVERED, 1);
    draw_series(&plot, report, PAGES, 2);
    end_plot(&plot, "a second: <b class=c0>sends acknowledged</b>, <b class=c1>entries delivered or replayed</b>, <b "
                    "class=c2>pages</b>");
}

static double y_min_of(double y_max)
{
    return y_max > 1 ? 0.01 : 0.001;
}

static void plot_latencies(FILE *file, const struct load_report *report)
{
    struct plot plot = {.file = file, .x_max = report->seconds, .is_log = true};
    char title[80];
    plot.y_max = pow(10, ceil(log10(fmax(most_of(report, P50, MAX), 0.01))));
    plot.y_min = y_min_of(plot.y_max);
    snprintf(title, sizeof title, "Latency over time: %s", load_stats_latency_text(load_report_main_latency(report)));
    begin_plot(&plot, title, " ms");
    label_seconds(&plot);
    draw_series(&plot, report, P50, 0);
    draw_series(&plot, report, P99, 1);
    draw_series(&plot, report, MAX, 2);
    end_plot(&plot, "<b class=c0>p50</b>, <b class=c1>p99</b>, <b class=c2>max</b> of each interval");
}

/* x: how many nines. */
static void draw_quantiles(const struct plot *plot, const struct load_histogram *histogram, int colour)
{
    fprintf(plot->file, "<polyline class='s c%d' points='", colour);
    for (double nines = 0; nines <= plot->x_max && histogram->count > 0; nines += 0.05) {
        double fraction = 1 - pow(10, -nines);
        if (fraction > 1 - 1 / (double)histogram->count && nines > 0)
            break;
        double ms = (double)load_histogram_quantile(histogram, fraction) / 1000;
        fprintf(plot->file, "%.1f,%.1f ", x_of(plot, nines), y_of(plot, ms));
    }
    fputs("'/>\n", plot->file);
}

static void plot_quantiles(FILE *file, const struct load_report *report)
{
    static const char *const labels[] = {"0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"};
    struct plot plot = {.file = file, .x_max = 5, .is_log = true};
    uint64_t max_us = 10;
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++)
        max_us = report->measured.latencies[i].max_us > max_us ? report->measured.latencies[i].max_us : max_us;
    plot.y_max = pow(10, ceil(log10((double)max_us / 1000)));
    plot.y_min = y_min_of(plot.y_max);
    begin_plot(&plot, "Latency by share of all", " ms");
    for (int i = 0; i <= 5; i++)
        x_label(&plot, i, labels[i]);
    for (int i = 0; i < LOAD_LATENCIES; i++)
        draw_quantiles(&plot, &report->measured.latencies[i], i);
    end_plot(&plot, "<b class=c0>send to ok</b>, <b class=c1>send to delivery</b>, <b class=c2>connect to login</b>, "
                    "<b class=c3>connect to live</b>, <b class=c4>page of history</b>");
}

/* Counts by quarters of powers of two. */
static void plot_distribution(FILE *file, const struct load_report *report)
{
    const struct load_histogram *histogram = &report->measured.latencies[load_report_main_latency(report)];
    double bars[160] = {0}, most = 0;
    uint32_t first = 160, last = 0;
    for (uint32_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        uint32_t bar = (uint32_t)(4 * log2((double)load_histogram_bucket_end(i) + 1));
        bars[bar] += (double)histogram->buckets[i];
        most = fmax(most, bars[bar]);
        first = bar < first ? bar : first;
        last = bar;
    }
    if (histogram->count == 0)
        return;
    struct plot plot = {.file = file, .x_max = last - first + 1, .y_max = round_up(most)};
    begin_plot(&plot, "Distribution", "");
    for (uint32_t bar = first; bar <= last; bar++) {
        char text[32];
        double x = x_of(&plot, bar - first), y = y_of(&plot, bars[bar]);
        snprintf(text, sizeof text, "%.3g ms", pow(2, bar / 4.0) / 1000);
        if ((last - first < 16 && bar % 2 == 0) || bar % 8 == 0)
            x_label(&plot, bar - first, text);
        fprintf(file, "<rect class=b x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>\n", x, y,
                x_of(&plot, bar - first + 1) - x - 1, HEIGHT - BOTTOM - y);
    }
    end_plot(&plot, load_stats_latency_text(load_report_main_latency(report)));
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

static void write_figures(FILE *file, const struct load_report *report)
{
    static const double fractions[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    fputs("<table><tr><th>latency, ms<th>p50<th>p90<th>p99<th>p99.9<th>p99.99<th>max<th>count\n", file);
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++) {
        const struct load_histogram *histogram = &report->measured.latencies[i];
        if (histogram->count == 0)
            continue;
        fprintf(file, "<tr><td>%s", load_stats_latency_text((enum load_latency)i));
        for (size_t k = 0; k < sizeof fractions / sizeof fractions[0]; k++)
            fprintf(file, "<td>%.3f", (double)load_histogram_quantile(histogram, fractions[k]) / 1000);
        fprintf(file, "<td>%llu\n", (unsigned long long)histogram->count);
    }
    fputs("</table><table><tr><th>measured<th>all<th>a second\n", file);
    for (uint32_t i = 0; i < LOAD_BROKEN_FIRST; i++)
        if (report->measured.counts[i] > 0)
            fprintf(file, "<tr><td>%s<td>%llu<td>%.0f\n", load_stats_count_text((enum load_count)i),
                    (unsigned long long)report->measured.counts[i],
                    (double)report->measured.counts[i] / report->seconds);
    fputs("</table>\n", file);
}

static void write_summary(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    fprintf(file, "<h1>chitchat-load: %s</h1>\n<p>%u connections, %u bytes of text, %u threads, %.2f s measured. ",
            load_options_scenario(options), options->connections, options->text_bytes, options->threads,
            report->seconds);
    if (options->rate > 0)
        fprintf(file, "Open loop: %u sends/s; latency counts from when each was meant to leave.", options->rate);
    else
        fprintf(file, "Closed loop: window %u.", options->window);
    if (options->server_pid != 0)
        fprintf(file, " Server: %.2f cores, RSS %.1f MiB.",
                (report->after.cpu_s - report->before.cpu_s) / report->seconds,
                (double)report->after.rss_bytes / (1 << 20));
    fprintf(file, " Generator: busiest loop %.0f %% of a core%s.</p>\n<p class=%s>", report->busiest_share * 100,
            load_report_is_saturated(report) ? ", <b>saturated</b>" : "", load_report_is_good(report) ? "good" : "bad");
    if (load_report_is_good(report))
        fputs("Verified: nothing lost, repeated, out of order or changed.", file);
    else
        fprintf(file, "%llu promises broken, %llu entries missing, %llu sends unanswered. ",
                (unsigned long long)load_stats_broken(&report->all), (unsigned long long)report->entries_missing,
                (unsigned long long)report->sends_unanswered);
    write_escaped(file, report->broken_text);
    fputs("</p>\n", file);
}

static void write_page(FILE *file, const struct load_report *report)
{
    fputs("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
          "<title>chitchat-load</title><style>"
          ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em "
          "auto;padding:0 1em}"
          "h2{font-size:1.1em;margin:1.5em 0 "
          ".3em}svg{width:100%;height:auto}text{font-size:11px;fill:currentColor;opacity:.75}"
          ".g{stroke:currentColor;opacity:.15}.s{fill:none;stroke-width:1.6;stroke:currentColor}.b{fill:#2a78c2}"
          ".c0{color:#2a78c2}.c1{color:#d9822b}.c2{color:#c23b5a}.c3{color:#3a9a5c}.c4{color:#8456c9}.l{margin:0}"
          "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right;border-bottom:1px "
          "solid #8884}"
          "td:first-child,th:first-child{text-align:left}.good{color:#3a9a5c}.bad{color:#c23b5a;font-weight:bold}</"
          "style>\n",
          file);
    write_summary(file, report);
    plot_rates(file, report);
    plot_latencies(file, report);
    plot_quantiles(file, report);
    plot_distribution(file, report);
    write_figures(file, report);
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
