#include "load/curves.h"

#include <math.h>
#include <string.h>

#include "load/plot.h"

#define BARS_MAX 160u
#define LEGEND_ROOM 512u
#define MARKS_ROOM 256u

enum series { ACKNOWLEDGED, DELIVERED, PAGES, MARKS, TYPED, P50, P99, MAX, SERIES };

static const char *const series_texts[SERIES] = {"sends acknowledged",
                                                 "entries delivered or replayed",
                                                 "pages",
                                                 "marks (seen)",
                                                 "typing, answered",
                                                 "p50",
                                                 "p99",
                                                 "max"};

/* Idle connections had logged in before the measured time. */
static const struct load_histogram *latency_of(const struct load_report *report, enum load_latency latency)
{
    bool is_before = report->options->scenario == LOAD_IDLE && latency == LOAD_CONNECT_TO_LOGIN;
    return &(is_before ? &report->all : &report->measured)->latencies[latency];
}

static double value_of(const struct load_point *point, enum series series)
{
    switch (series) {
    case ACKNOWLEDGED: return point->acknowledged_per_s;
    case DELIVERED: return point->delivered_per_s;
    case PAGES: return point->pages_per_s;
    case MARKS: return point->marks_per_s;
    case TYPED: return point->typed_per_s;
    case P50: return (double)point->p50_us / 1000;
    case P99: return (double)point->p99_us / 1000;
    default: return (double)point->max_us / 1000;
    }
}

/* Returns the largest value, 0 if there is none; lowers *least (0: none yet) to the smallest above 0. */
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

/* An interval without an answer has no latency: the line ends there, and a new one begins behind it. */
static void draw_series(const struct load_plot *plot, const struct load_report *report, enum series series,
                        uint32_t colour)
{
    bool is_drawn = false;
    double from_s = 0;
    for (uint32_t i = 0; i < report->point_count; i++) {
        const struct load_point *point = &report->points[i];
        bool is_gap = plot->is_ms && point->max_us == 0;
        if (is_drawn && is_gap)
            load_plot_line_end(plot);
        if (!is_drawn && !is_gap)
            load_plot_line_begin(plot, colour);
        is_drawn = !is_gap;
        if (is_drawn) {
            load_plot_line_point(plot, from_s, value_of(point, series));
            load_plot_line_point(plot, point->at_s, value_of(point, series));
        }
        from_s = point->at_s;
    }
    if (is_drawn)
        load_plot_line_end(plot);
}

static void draw_marks(const struct load_plot *plot, const struct load_report *report, char *legend)
{
    static const char *const texts[] = {[LOAD_MARK_KILL] = "server killed, until it, or the other node, answers",
                                        [LOAD_MARK_STORM] = "storm, until all are back"};
    uint32_t counts[] = {[LOAD_MARK_KILL] = 0, [LOAD_MARK_STORM] = 0};
    for (uint32_t i = 0; i < report->mark_count; i++) {
        const struct load_mark *mark = &report->marks[i];
        load_plot_mark(plot, mark->kind, mark->at_s, mark->until_s);
        counts[mark->kind]++;
    }
    for (uint32_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t used = strlen(legend);
        if (counts[i] > 0)
            snprintf(legend + used, MARKS_ROOM - used, "<span class=m%u>%s (%u)</span> ", i, texts[i], counts[i]);
    }
}

/* The series `first` to `last` over time, without those that are 0 everywhere. */
static void plot_over_time(struct load_plot *plot, const struct load_report *report, const char *title,
                           enum series first, enum series last)
{
    double least = 0, most = 0;
    char legend[LEGEND_ROOM] = "", marks[MARKS_ROOM] = "";
    for (enum series series = first; series <= last; series++)
        most = fmax(most, most_of(report, series, &least));
    if (most == 0)
        return;
    plot->x_max = report->points[report->point_count - 1].at_s;
    load_plot_fit(plot, least, most);
    load_plot_begin(plot, title);
    load_plot_x_seconds(plot);
    draw_marks(plot, report, marks);
    for (enum series series = first; series <= last; series++) {
        if (most_of(report, series, &least) == 0)
            continue;
        draw_series(plot, report, series, series - first);
        add_legend(legend, series - first, series_texts[series]);
    }
    strncat(legend, marks, LEGEND_ROOM - strlen(legend) - 1);
    load_plot_end(plot, legend);
}

void load_curves_rates(FILE *file, const struct load_report *report)
{
    struct load_plot plot = {.file = file};
    plot_over_time(&plot, report, "Throughput, a second", ACKNOWLEDGED, TYPED);
}

void load_curves_latencies(FILE *file, const struct load_report *report)
{
    struct load_plot plot = {.file = file, .is_log = true, .is_ms = true};
    char title[80];
    snprintf(title, sizeof title, "Latency over time: %s", load_stats_latency_text(load_report_main_latency(report)));
    plot_over_time(&plot, report, title, P50, MAX);
}

/* x is a number of nines: 2 is 99 %. */
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

void load_curves_quantiles(FILE *file, const struct load_report *report)
{
    static const char *const labels[] = {"fastest", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"};
    struct load_plot plot = {.file = file, .x_max = 5, .is_log = true, .is_ms = true};
    char legend[LEGEND_ROOM] = "";
    double least = 0, most = 0;
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++) {
        const struct load_histogram *histogram = latency_of(report, (enum load_latency)i);
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
        if (latency_of(report, (enum load_latency)i)->count == 0)
            continue;
        draw_quantiles(&plot, latency_of(report, (enum load_latency)i), i);
        add_legend(legend, i, load_stats_latency_text((enum load_latency)i));
    }
    load_plot_end(&plot, legend);
}

/* Four bars for each power of two of microseconds. */
void load_curves_distribution(FILE *file, const struct load_report *report)
{
    const struct load_histogram *histogram = latency_of(report, load_report_main_latency(report));
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
    uint32_t step = 1;
    while ((last + 1 - first) / step >= 7)
        step *= 2;
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
