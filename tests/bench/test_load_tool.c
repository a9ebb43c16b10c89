/* chitchat-load as a tool: figures under names, --fail-if, --compare, --csv, the histogram on the terminal. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/baseline.h"
#include "load/csv.h"
#include "load/histogram.h"
#include "load/json.h"
#include "load/metrics.h"
#include "load/report.h"
#include "load/threshold.h"
#include "said.h"

/* A run of 2 s with 200 sends of 4 ms and 10 refusals. */
static struct load_report *make_report(struct load_options *options)
{
    struct load_report *report = calloc(1, sizeof *report);
    *options = (struct load_options){.connections = 10, .users = 10, .recipients = 10, .window = 1, .text_bytes = 64};
    options->threads = 1;
    report->options = options;
    report->seconds = 2;
    report->is_complete = true;
    for (uint32_t i = 0; i < 200; i++)
        load_histogram_add(&report->measured.latencies[LOAD_SEND_TO_OK], 4000);
    report->measured.counts[LOAD_ACKNOWLEDGED] = report->all.counts[LOAD_ACKNOWLEDGED] = 200;
    report->all.counts[LOAD_BUSY] = 10;
    return report;
}

static void free_report(struct load_report *report)
{
    free(report->points);
    free(report);
}

/* What this condition, which must be a good one, says of the report. */
static bool passes(const struct load_report *report, const char *text, char *said, size_t room)
{
    struct load_threshold threshold;
    cr_assert(load_threshold_parse(&threshold, text), "%s", text);
    return load_threshold_passes(&threshold, report, NULL, said, room);
}

Test(load_metrics, each_figure_has_a_name_of_its_own_and_is_found_by_it)
{
    for (uint32_t i = 0; i < load_metrics_count(); i++) {
        struct load_metric metric = load_metrics_get(NULL, i);
        cr_expect_eq(load_metrics_find(metric.name, (uint32_t)strlen(metric.name)), i, "%s", metric.name);
        cr_expect_not(metric.is_known);
    }
    cr_expect_eq(load_metrics_find("ok_p99", 6), UINT32_MAX);
}

Test(load_threshold, a_condition_that_holds_fails_the_run_and_says_the_value)
{
    struct load_options options;
    struct load_report *report = make_report(&options);
    char said[160];
    cr_expect_not(passes(report, "ok_p99_ms>3.5", said, sizeof said));
    cr_expect_str_eq(said, "ok_p99_ms>3.5: it is 4");
    cr_expect(passes(report, "ok_p99_ms>4", said, sizeof said));
    cr_expect_not(passes(report, "ok_p99_ms>=4", said, sizeof said));
    cr_expect_not(passes(report, "acknowledged_per_s < 101", said, sizeof said));
    cr_expect(passes(report, "acknowledged_per_s<=99.9", said, sizeof said));
    cr_expect_not(passes(report, "busy>0", said, sizeof said));
    cr_expect(passes(report, "unavailable>0", said, sizeof said), "it is known that there were none");
    free_report(report);
}

Test(load_threshold, a_figure_that_the_run_does_not_have_fails)
{
    struct load_options options;
    struct load_report *report = make_report(&options);
    char said[160];
    cr_expect_not(passes(report, "page_p99_ms>5", said, sizeof said));
    cr_expect_str_eq(said, "page_p99_ms>5: this run has no such figure");
    cr_expect_not(passes(report, "server_cores>1", said, sizeof said), "without --server-pid");
    report->seconds = 0;
    cr_expect_not(passes(report, "ok_p99_ms>5", said, sizeof said), "nothing was measured");
    free_report(report);
}

/* Parses a condition that is none; what stderr says, in `out`. */
static const char *complaint_of(const char *text, char *out, size_t room)
{
    struct load_threshold threshold;
    struct said said = said_begin();
    cr_assert_not(load_threshold_parse(&threshold, text));
    return said_end(said, out, room);
}

Test(load_threshold, what_is_no_condition_is_refused_with_what_one_is)
{
    char said[4000];
    cr_expect_not_null(strstr(complaint_of("ok_p99_ms", said, sizeof said), "must be a name, then <, <=, > or >="));
    cr_expect_not_null(strstr(complaint_of("ok_p99_ms>fast", said, sizeof said), "the limit must be a number"));
    cr_expect_not_null(strstr(complaint_of("ok_p99_ms>5ms", said, sizeof said), "the limit must be a number"));
    complaint_of("ok_p98_ms>5", said, sizeof said);
    cr_expect_eq(strncmp(said, "chitchat-load: --fail-if ok_p98_ms>5: there is no figure `ok_p98_ms`. The names are:\n",
                         strlen("chitchat-load: --fail-if ok_p98_ms>5: there is no figure `ok_p98_ms`. The names "
                                "are:\n")),
                 0, "%s", said);
    cr_expect_not_null(strstr(said, " ok_p99_ms "));
    cr_expect_not_null(strstr(said, " acknowledged_per_s"));
}

/* Writes a report of --json to a new file, whose name `path` becomes. */
static void write_json(const struct load_report *report, char *path)
{
    strcpy(path, "/tmp/test-load-tool-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && load_json_write(report, path));
    close(fd);
}

Test(load_baseline, the_table_has_figures_of_both_runs_their_ratio_and_what_differs)
{
    struct load_options options, other;
    struct load_report *report = make_report(&options), *now = make_report(&other);
    struct load_baseline *baseline = NULL;
    struct load_threshold threshold;
    char path[64], why[300], said[160], *table = NULL;
    size_t bytes = 0;
    write_json(report, path);
    cr_assert(load_baseline_read(&baseline, path, why, sizeof why), "%s", why);
    unlink(path);
    other.window = 4;
    now->measured.counts[LOAD_ACKNOWLEDGED] = 300;
    FILE *out = open_memstream(&table, &bytes);
    load_baseline_print(baseline, now, out);
    fclose(out);
    cr_expect_not_null(strstr(table, "the runs differ: window 1 -> 4\n"), "%s", table);
    cr_expect_not_null(strstr(table, "  acknowledged_per_s                      100            150    1.500\n"), "%s",
                       table);
    cr_expect_null(strstr(table, "page_p99_ms"), "neither run has it");
    cr_assert(load_threshold_parse(&threshold, "acknowledged_per_s<1.6x"));
    cr_expect_not(load_threshold_passes(&threshold, now, baseline, said, sizeof said));
    cr_expect_str_eq(said, "acknowledged_per_s<1.6x: it is 150, and was 100");
    cr_assert(load_threshold_parse(&threshold, "acknowledged_per_s<1.4x"));
    cr_expect(load_threshold_passes(&threshold, now, baseline, said, sizeof said));
    load_baseline_close(&baseline);
    free(table);
    free_report(report);
    free_report(now);
}

Test(load_baseline, a_file_that_is_no_report_is_refused)
{
    struct load_baseline *baseline = NULL;
    char path[] = "/tmp/test-load-tool-XXXXXX", why[300];
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, "{\"a\":1}", 7) == 7);
    cr_expect_not(load_baseline_read(&baseline, path, why, sizeof why));
    cr_expect_not_null(strstr(why, "it has no `metrics`"), "%s", why);
    cr_expect_eq(ftruncate(fd, 3), 0);
    cr_expect_not(load_baseline_read(&baseline, path, why, sizeof why));
    cr_expect_not_null(strstr(why, "give a report of --json"), "%s", why);
    close(fd);
    unlink(path);
    cr_expect_not(load_baseline_read(&baseline, path, why, sizeof why));
    cr_expect_null(baseline);
}

Test(load_csv, a_row_for_each_interval_without_latencies_where_nothing_was_answered)
{
    struct load_options options;
    struct load_report *report = make_report(&options);
    struct load_point busy = {.at_s = 0.25, .acknowledged_per_s = 400, .delivered_per_s = 300};
    busy.p50_us = 1000;
    busy.p99_us = 2500;
    busy.max_us = 3000;
    load_report_add_point(report, &busy);
    load_report_add_point(report, &(struct load_point){.at_s = 0.5});
    char path[] = "/tmp/test-load-tool-XXXXXX", text[1000];
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && load_csv_write(report, path));
    ssize_t bytes = read(fd, text, sizeof text - 1);
    cr_assert(bytes > 0);
    text[bytes] = '\0';
    cr_expect_str_eq(text, "at_s,acknowledged_per_s,delivered_per_s,pages_per_s,logins_per_s,marks_per_s,typed_per_s,"
                           "ok_p50_ms,ok_p99_ms,ok_max_ms\n"
                           "0.250,400,300,0,0,0,0,1.000,2.500,3.000\n0.500,0,0,0,0,0,0,,,\n");
    close(fd);
    unlink(path);
    free_report(report);
}

Test(load_histogram, it_is_printed_in_the_unit_of_the_table)
{
    struct load_histogram *histogram = calloc(1, sizeof *histogram);
    char *text = NULL;
    size_t bytes = 0;
    load_histogram_add(histogram, 700);
    load_histogram_add(histogram, 3000);
    FILE *out = open_memstream(&text, &bytes);
    load_histogram_print(histogram, out);
    fclose(out);
    cr_expect_not_null(strstr(text, "  <        1.024 ms  50.00 %"), "%s", text);
    cr_expect_not_null(strstr(text, "  <        4.096 ms  50.00 %"), "%s", text);
    free(text);
    free(histogram);
}
