/* The page of chitchat-load: what it says about which run, and its lines over time. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/html.h"
#include "load/report.h"

static char *const words[] = {(char *)(uintptr_t) "chitchat-load", (char *)(uintptr_t) "--kill-server",
                              (char *)(uintptr_t) "it's <here>", (char *)(uintptr_t) "127.0.0.1:80"};

/* A run of 2 s on a server whose process is known. */
static struct load_report *make_report(struct load_options *options)
{
    struct load_report *report = calloc(1, sizeof *report);
    options->connections = options->users = options->recipients = 2000;
    options->text_bytes = 64;
    options->threads = 1;
    options->server_pid = 1;
    options->words = words;
    options->word_count = 4;
    report->options = options;
    report->seconds = 2;
    report->is_complete = true;
    report->idle = (struct load_proc){.cpu_s = 1, .rss_bytes = 1000000, .tcp_bytes = 1000000, .slab_bytes = 4000000};
    report->logged_in =
        (struct load_proc){.cpu_s = 1.2, .rss_bytes = 1600000, .tcp_bytes = 11000000, .slab_bytes = 14000000};
    report->before = report->after = report->logged_in;
    return report;
}

static void add_point(struct load_report *report, double at_s, uint64_t us)
{
    struct load_point point = {.at_s = at_s, .p50_us = us, .p99_us = us, .max_us = us};
    point.acknowledged_per_s = us > 0 ? 100 : 0;
    load_report_add_point(report, &point);
    for (uint32_t i = 0; i < point.acknowledged_per_s; i++)
        load_histogram_add(&report->measured.latencies[LOAD_SEND_TO_OK], us);
    report->measured.counts[LOAD_ACKNOWLEDGED] += (uint64_t)point.acknowledged_per_s;
}

/* The page; frees the report. */
static char *page_of(struct load_report *report)
{
    char path[] = "/tmp/test-load-page-XXXXXX", *page = calloc(1, 1 << 20);
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && page != NULL && load_html_write(report, path));
    cr_assert(read(fd, page, (1 << 20) - 1) > 0);
    close(fd);
    unlink(path);
    free(report->points);
    free(report);
    return page;
}

static uint32_t count_of(const char *page, const char *what)
{
    uint32_t count = 0;
    for (const char *at = page; (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

static bool has(const char *page, const char *what)
{
    return strstr(page, what) != NULL;
}

Test(load_page, an_interval_without_an_answer_breaks_the_lines_of_latency_and_leaves_throughput_at_zero)
{
    const uint64_t us[] = {1000, 1000, 0, 1000};
    struct load_options options = {.scenario = LOAD_PAIRS};
    struct load_report *report = make_report(&options);
    for (uint32_t i = 0; i < 4; i++)
        add_point(report, 0.5 * (i + 1), us[i]);
    char *page = page_of(report);
    /* Throughput: one line. Latency: three series of two pieces. Shares of all: one. */
    cr_expect_eq(count_of(page, "<polyline"), 1 + 3 * 2 + 1, "%u", count_of(page, "<polyline"));
    /* The first line is throughput: its third interval, 1 s to 1.5 s, is a level at the bottom. */
    cr_expect(has(page, " 444.0,262.0 620.0,262.0 "));
    free(page);
}

Test(load_page, a_run_of_one_interval_has_its_plots)
{
    struct load_options options = {.scenario = LOAD_PAIRS};
    struct load_report *report = make_report(&options);
    add_point(report, 0.1, 1000);
    char *page = page_of(report);
    cr_expect(has(page, "Throughput") && has(page, "Latency over time"));
    free(page);
}

Test(load_page, kills_and_storms_are_in_the_plots_and_in_the_text)
{
    struct load_options options = {
        .scenario = LOAD_STORM, .kill_commands = {"serve"}, .kill_count = 1, .kill_every_s = 1};
    struct load_report *report = make_report(&options);
    add_point(report, 1, 1000);
    add_point(report, 2, 1000);
    report->kill_count = 2;
    report->marks[report->mark_count++] = (struct load_mark){LOAD_MARK_KILL, 0.5, 0.6};
    report->marks[report->mark_count++] = (struct load_mark){LOAD_MARK_STORM, 1, 5};
    report->marks[report->mark_count++] = (struct load_mark){LOAD_MARK_KILL, 1.5, 1.6};
    char *page = page_of(report);
    cr_expect_eq(count_of(page, "<g class=m0>"), 2 * 2, "in both plots over time");
    cr_expect_eq(count_of(page, "<g class=m1><rect x='444.0' y='14.0' width='352.0'"), 2,
                 "a storm that outlasts the plot ends with it");
    cr_expect(has(page, "server killed, until it, or the other node, answers (2)")
              && has(page, "storm, until all are back (1)"));
    cr_expect(has(page, "killed with SIGKILL 2 times"));
    cr_expect(has(page, "<td>300 bytes") && has(page, "of the process that was started last"));
    free(page);
}

Test(load_page, idle_connections_show_what_one_takes)
{
    struct load_options options = {.scenario = LOAD_IDLE};
    struct load_report *report = make_report(&options);
    load_histogram_add(&report->all.latencies[LOAD_CONNECT_TO_LOGIN], 1000);
    char *page = page_of(report);
    cr_expect(has(page, "<b>300 bytes</b><span>RSS of the server a connection"));
    cr_expect(has(page, "<b>10000 bytes</b><span>kernel memory a connection"));
    cr_expect(has(page, "<b>100.0 us</b><span>CPU of the server a connect, upgrade and login"));
    cr_expect(has(page, "Distribution: connect to login"));
    cr_expect_not(has(page, "of text"), "nothing is sent");
    free(page);
}

Test(load_page, memory_of_a_connection_is_shown_only_if_it_is_known)
{
    struct load_options options = {.scenario = LOAD_IDLE};
    struct load_report *report = make_report(&options);
    options.connections = 999;
    char *page = page_of(report);
    cr_expect(has(page, "With 1000 or more connections, also what one takes"));
    cr_expect_not(has(page, "<span>RSS of the server a connection"));
    free(page);
    report = make_report(&options);
    report->after.rss_bytes = report->idle.rss_bytes;
    page = page_of(report);
    cr_expect(has(page, "restart the server"));
    free(page);
    report = make_report(&options);
    report->after.rss_bytes = 0;
    page = page_of(report);
    cr_expect(has(page, "The server has ended") && !has(page, "RSS of the server"));
    free(page);
}

Test(load_page, a_run_that_was_not_measured_has_no_figures_but_its_verdict)
{
    struct load_options options = {.scenario = LOAD_PAIRS, .rate = 5};
    struct load_report *report = make_report(&options);
    report->seconds = 0;
    report->is_complete = false;
    report->all.counts[LOAD_CONNECT_FAILED] = 7;
    snprintf(report->end_text, sizeof report->end_text, "the server is <gone>");
    char *page = page_of(report);
    cr_expect(has(page, "The run did not come to its end: the server is &lt;gone&gt;"));
    cr_expect(has(page, "<tr><td>connects refused<td>7"));
    cr_expect_not(has(page, "<svg") || has(page, "CPU") || has(page, " nan") || has(page, ">nan") || has(page, "inf"));
    free(page);
}

Test(load_page, sends_that_were_due_and_had_not_left_are_reported_first)
{
    struct load_options options = {.scenario = LOAD_PAIRS, .rate = 1000, .window = 1};
    struct load_report *report = make_report(&options);
    report->behind = 1000;
    report->overdue = 300;
    report->is_held = true;
    report->late[LOAD_SEND_TO_OK] = 700;
    char *page = page_of(report);
    cr_expect(has(page, "Behind: when measuring ended, 1000 sends were due and had not left: no connection had room"));
    cr_expect(has(page, "300 of them never left") && has(page, "send to ok: 700 of the measured time came after it"));
    free(page);
    report = make_report(&options);
    report->behind = 50;
    page = page_of(report);
    cr_expect_not(has(page, "Behind"), "a twentieth of a second is a late turn");
    free(page);
}

Test(load_page, the_command_line_is_one_for_a_shell_and_for_a_page)
{
    struct load_options options = {
        .scenario = LOAD_PAIRS, .seed = 42, .to = LOAD_TO_ZIPF, .zipf = 1.25, .has_keys = true};
    char *page = page_of(make_report(&options));
    cr_expect(has(page, "<pre>chitchat-load --kill-server 'it'\\''s &lt;here&gt;' 127.0.0.1:80</pre>"));
    cr_expect(has(page, "<td>seed<td>42") && has(page, "<td>zipf:1.25") && has(page, "<td>keys<td>yes"));
    cr_expect(has(page, "<td>users<td>2000") && has(page, "<td>threads<td>1"));
    free(page);
}
