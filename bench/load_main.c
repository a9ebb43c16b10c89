/* load_main.c: chitchat-load: options, limits, the server if it is ours, one run, its reports. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "load_direct.h"
#include "load_server.h"

#define SPARE_FILES 64u

/* Each connection is an open file, here and, if we start it, in the server. */
static bool raise_limits(const struct load_options *options)
{
    struct rlimit limit;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (options->connections + SPARE_FILES <= limit.rlim_max)
        return true;
    fprintf(stderr, "chitchat-load: %u connections need as many open files, and %llu are allowed: raise `ulimit -n`\n",
            options->connections, (unsigned long long)limit.rlim_max);
    return false;
}

/* Starts the server, if it is ours; else looks whether it is there. */
static bool start_server(struct load_options *options)
{
    int status;
    if (options->kill_command == NULL) {
        status = load_server_probe(&options->address);
        if (status != 0)
            fprintf(stderr, "chitchat-load: cannot connect to %s: %s; is the server running there?\n",
                    options->address_text, strerror(-status));
        return status == 0;
    }
    status = load_server_start(options->kill_command, &options->address, &options->server_pid);
    if (status == -ECHILD)
        fprintf(stderr, "chitchat-load: the command of --kill-server ended before anything listened at %s\n",
                options->address_text);
    else if (status != 0)
        fprintf(stderr, "chitchat-load: the command of --kill-server: %s\n", strerror(-status));
    return status == 0;
}

static int run_all(struct load_run *run, struct load_report *report)
{
    const struct load_options *options = &run->options;
    report->options = options;
    report->idle = load_proc_read(options->server_pid);
    int status = load_run_open(run);
    if (status == 0)
        status = load_run_start(run);
    if (status != 0) {
        fprintf(stderr, "chitchat-load: %s\n", strerror(-status));
        return 2;
    }
    load_direct(run, report);
    load_report_print(report);
    bool is_written = options->json_path == NULL || load_report_write_json(report, options->json_path);
    if (options->html_path != NULL && !load_report_write_html(report, options->html_path))
        is_written = false;
    return load_report_is_good(report) && is_written ? 0 : 1;
}

/* They are heard where the director waits; threads inherit that. */
static void block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* The options have been read. Returns the status of the program. */
static int run_with_server(struct load_run *run, struct load_report *report)
{
    block_signals();
    if (!raise_limits(&run->options) || !start_server(&run->options))
        return 2;
    int status = run_all(run, report);
    if (run->options.kill_command != NULL && run->options.server_pid != 0)
        load_server_stop(run->options.server_pid);
    load_run_close(run);
    return status;
}

int main(int argc, char **argv)
{
    struct load_run *run = calloc(1, sizeof *run);
    struct load_report *report = calloc(1, sizeof *report);
    ASSERT(run != NULL && report != NULL);
    int parsed = load_options_parse(&run->options, argc, argv);
    int status = parsed < 0 ? 2 : 0;
    if (parsed == 0)
        status = run_with_server(run, report);
    free(report->points);
    free(report);
    free(run);
    return status;
}
