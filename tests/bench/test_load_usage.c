/* What a report prints of CPU and memory, whatever the machine has: `./dev bench --check` measures the same. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/usage.h"

#define MIB UINT64_C(1048576)

/* A run of 2 s on a server that took 1 MiB for its connections. */
static struct load_report *make_report(struct load_options *options, uint32_t connections)
{
    struct load_report *report = calloc(1, sizeof *report);
    options->connections = connections;
    report->options = options;
    report->seconds = 2;
    report->own_cpu_s = 1;
    report->busiest_share = 0.25;
    report->idle = (struct load_proc){.rss_bytes = 4 * MIB, .own_bytes = MIB, .threads = 4, .tcp_bytes = MIB};
    report->logged_in = (struct load_proc){.rss_bytes = 5 * MIB, .threads = 4, .tcp_bytes = 2 * MIB};
    report->before = report->after = report->logged_in;
    return report;
}

/* What is printed; frees the report. */
static char *print(struct load_report *report)
{
    static char text[4096];
    cr_redirect_stdout();
    load_usage_print(report);
    fflush(stdout);
    free(report);
    FILE *file = cr_get_redirected_stdout();
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    return text;
}

#define EXPECT(text, what) cr_assert_not_null(strstr(text, what), "%s", text)
#define EXPECT_NOT(text, what) cr_assert_null(strstr(text, what), "%s", text)

Test(load_usage, a_generator_that_had_its_core_is_not_saturated)
{
    struct load_options options = {0};
    struct load_report *report = make_report(&options, 100);
    cr_assert_not(load_usage_is_saturated(report));
    const char *text = print(report);
    EXPECT(text, "generator: 0.50 cores of CPU, its busiest loop 25 % of one\n");
    EXPECT_NOT(text, "SATURATED");
}

Test(load_usage, a_generator_that_waits_for_its_core_is_reported_as_saturated)
{
    struct load_options options = {0};
    struct load_report *report = make_report(&options, 100);
    report->busiest_waited_share = 0.66;
    cr_assert(load_usage_is_saturated(report));
    EXPECT(print(report), "its busiest loop 25 % of one, and it waited 66 % for a core: SATURATED");
}

Test(load_usage, a_wait_that_leaves_enough_of_the_core_is_reported_and_no_more)
{
    struct load_options options = {0};
    struct load_report *report = make_report(&options, 100);
    report->busiest_waited_share = 0.64;
    cr_assert_not(load_usage_is_saturated(report));
    EXPECT(print(report), "and it waited 64 % for a core\n");
}

Test(load_usage, memory_of_one_connection_is_reported_from_1000_on)
{
    struct load_options options = {.scenario = LOAD_IDLE};
    char *text = print(make_report(&options, 1024));
    EXPECT(text, "  RSS 4.0 MiB before, 5.0 MiB with all logged in, 5.0 MiB at the end: 1024 bytes a connection\n");
    EXPECT(text, "kernel, whole system: TCP buffers 1.0 MiB before, 2.0 with all logged in, 2.0 at the end; slab ");
    EXPECT(text, "  1024 bytes a connection for both of its ends\n");
    EXPECT_NOT(text, "USED");
}

Test(load_usage, few_connections_have_memory_of_the_whole_only)
{
    struct load_options options = {0};
    char *text = print(make_report(&options, 999));
    EXPECT(text, "5.0 MiB at the end; with 1000 or more connections, also what one takes\n");
    EXPECT_NOT(text, "bytes a connection");
}

Test(load_usage, a_server_that_has_served_before_is_reported_as_used)
{
    struct load_options options = {0};
    struct load_report *report = make_report(&options, 1000);
    cr_assert_not(load_usage_was_used(report));
    report->idle.own_bytes = 5 * MIB;
    cr_assert(load_usage_was_used(report));
    EXPECT(print(report), "  USED: before the first connection the server had 5.0 MiB of its own");
}

Test(load_usage, a_server_whose_memory_does_not_grow_is_reported_as_such)
{
    struct load_options options = {0};
    struct load_report *report = make_report(&options, 1000);
    report->idle.rss_bytes = report->logged_in.rss_bytes;
    EXPECT(print(report), "; memory of earlier connections was used again: restart the server to see what one takes\n");
}
