/* main.c: chitchat-load: options, limits, the server with --kill-server, one run, its reports. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/address.h"
#include "load/baseline.h"
#include "load/csv.h"
#include "load/direct.h"
#include "load/html.h"
#include "load/json.h"
#include "load/options.h"
#include "load/proc.h"
#include "load/report.h"
#include "load/run.h"
#include "load/server.h"

#define SPARE_FILES 64u

enum { STATUS_BROKEN = 1, STATUS_IMPOSSIBLE = 2, STATUS_THRESHOLD = 3 };

/* Each connection is an open file, here and, with --kill-server, in the server, which inherits the limit. */
static bool raise_limits(const struct load_options *options)
{
    uint64_t files = load_proc_raise_files();
    signal(SIGPIPE, SIG_IGN);
    if (options->connections + SPARE_FILES <= files)
        return true;
    fprintf(stderr, "chitchat-load: %u connections need as many open files, and %llu are allowed: raise `ulimit -n`\n",
            options->connections, (unsigned long long)files);
    return false;
}

/* Whether something listens at an address; of a pair of nodes one may be down. */
static bool find_server(struct load_run *run)
{
    struct load_options *options = &run->options;
    int status = -ENOENT;
    for (uint32_t i = 0; i < options->node_count && status != 0; i++)
        status = load_address_probe(&options->addresses[i]);
    if (status != 0)
        fprintf(stderr, "chitchat-load: cannot connect to %s%s%s: %s; is the server running there?\n",
                options->addresses[0].text, load_options_has_pair(options) ? " or " : "",
                load_options_has_pair(options) ? options->addresses[1].text : "", strerror(-status));
    return status == 0;
}

/* Runs the command of --kill-server of this node. */
static bool start_node(struct load_run *run, uint32_t node)
{
    struct load_address *address = &run->options.addresses[node];
    if (load_address_probe(address) == 0) {
        fprintf(stderr,
                "chitchat-load: something listens at %s already; --kill-server starts a server of its own there\n",
                address->text);
        return false;
    }
    int status = load_server_start(&run->servers[node], run->options.kill_commands[node], address);
    if (status == -ECHILD)
        fprintf(stderr, "chitchat-load: the command of --kill-server ended before anything listened at %s\n",
                address->text);
    else if (status == -ETIMEDOUT)
        fprintf(stderr, "chitchat-load: nothing listens at %s %u s after the start of the command of --kill-server\n",
                address->text, LOAD_SERVER_START_S);
    else if (status != 0)
        fprintf(stderr, "chitchat-load: cannot run the command of --kill-server: %s\n", strerror(-status));
    return status == 0;
}

static void stop_servers(struct load_run *run)
{
    uint32_t owner = atomic_load(&run->owner);
    for (uint32_t i = 1; i <= run->options.kill_count; i++) /* the owner last, so that no other takes over */
        load_server_stop(&run->servers[(owner + i) % run->options.kill_count]);
}

/* With --kill-server starts the servers; else checks that one listens. */
static bool start_servers(struct load_run *run)
{
    struct load_options *options = &run->options;
    if (!load_options_kills(options))
        return find_server(run);
    for (uint32_t i = 0; i < options->node_count; i++)
        if (!start_node(run, i)) {
            stop_servers(run);
            return false;
        }
    options->server_pid = load_options_has_pair(options) ? 0 : run->servers[0].pid;
    return true;
}

/* Writes the files that were asked for; false, with a line on stderr, if one fails. */
static bool write_files(const struct load_report *report)
{
    const struct load_options *options = report->options;
    bool is_written = options->json_path == NULL || load_json_write(report, options->json_path);
    if (options->html_path != NULL && !load_html_write(report, options->html_path))
        is_written = false;
    if (options->csv_path != NULL && !load_csv_write(report, options->csv_path))
        is_written = false;
    return is_written;
}

static int run_all(struct load_run *run, struct load_report *report, const struct load_baseline *baseline)
{
    const struct load_options *options = &run->options;
    report->options = options;
    report->idle = load_proc_read(options->server_pid);
    int status = load_run_open(run);
    if (status == 0)
        status = load_run_start(run);
    if (status != 0) {
        fprintf(stderr, "chitchat-load: %s\n", strerror(-status));
        return STATUS_IMPOSSIBLE;
    }
    load_direct(run, report);
    if (report->obstacle[0] != '\0') {
        fprintf(stderr, "chitchat-load: %s\n", report->obstacle);
        return STATUS_IMPOSSIBLE;
    }
    load_report_check_thresholds(report, baseline);
    load_report_print(report, baseline);
    if (!write_files(report) || !load_report_is_good(report))
        return STATUS_BROKEN;
    return report->thresholds_failed > 0 ? STATUS_THRESHOLD : 0;
}

/* The main thread takes these signals where it waits (direct.c); the other threads inherit the mask. SIGHUP, if it is
 * ignored as under nohup, stays ignored: sigtimedwait would take it if it were blocked. */
static void block_signals(void)
{
    sigset_t signals;
    struct sigaction hangup;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* After the options have been parsed. Returns the status of the program. */
static int run_with_server(struct load_run *run, struct load_report *report)
{
    char why[LOAD_ADDRESS_TEXT_BYTES + 200];
    struct load_baseline *baseline = NULL;
    const char *compare_path = run->options.compare_path;
    block_signals();
    if (!load_run_read_files(run, why, sizeof why)
        || (compare_path != NULL && !load_baseline_read(&baseline, compare_path, why, sizeof why))) {
        fprintf(stderr, "chitchat-load: %s\n", why);
        return STATUS_IMPOSSIBLE;
    }
    int status = STATUS_IMPOSSIBLE;
    if (!raise_limits(&run->options) || !start_servers(run))
        goto close_baseline;
    status = run_all(run, report, baseline);
    stop_servers(run);
    load_run_close(run);
close_baseline:
    load_baseline_close(&baseline);
    return status;
}

int main(int argc, char **argv)
{
    struct load_run *run = calloc(1, sizeof *run);
    struct load_report *report = calloc(1, sizeof *report);
    ASSERT(run != NULL && report != NULL);
    int parsed = load_options_parse(&run->options, argc, argv);
    int status = parsed < 0 ? STATUS_IMPOSSIBLE : 0;
    if (parsed == 0)
        status = run_with_server(run, report);
    free(report->points);
    free(report);
    free(run);
    return status;
}
