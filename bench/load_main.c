/* load_main.c: the phases of a run, told to the workers and watched. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "load_report.h"
#include "load_run.h"
#include "load_server.h"

#define TICK_US 50000u
#define POINT_US 250000u
#define PATIENCE_US 30000000u /* without any progress */
#define SPARE_FILES 64u

struct director {
    struct load_run *run;
    struct load_report report;
    struct load_stats stats[2]; /* not measured, measured */
    struct load_stats point;    /* the measured of the interval that is under way */
    struct load_gauges gauges;
    uint64_t begun_us; /* of the phase */
    uint64_t point_us;
    uint64_t progress_us, progress_mark;
    uint64_t storm_us, next_kill_us;
    uint32_t storms_begun;
    double cpu_before[LOAD_THREADS_MAX], cpu_after[LOAD_THREADS_MAX];
};

static void sleep_us(uint64_t us)
{
    nanosleep(&(struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000}, NULL);
}

static void show(struct director *director, const char *phase, double done)
{
    struct load_progress progress = {.phase = phase, .done = done, .live = director->gauges.live};
    progress.broken = load_stats_broken(&director->stats[0]) + load_stats_broken(&director->stats[1]);
    if (director->report.point_count > 0) {
        const struct load_point *point = &director->report.points[director->report.point_count - 1];
        progress.sends_per_s = point->acknowledged_per_s;
        progress.deliveries_per_s = point->delivered_per_s;
        progress.p99_us = point->p99_us;
    }
    load_progress_show(&progress);
}

static void end_point(struct director *director, uint64_t now_us)
{
    const struct load_stats *stats = &director->point;
    const struct load_histogram *latency = &stats->latencies[load_report_main_latency(&director->report)];
    double seconds = (double)(now_us - director->point_us) / 1e6;
    struct load_point point = {
        .at_s = (double)(now_us - director->begun_us) / 1e6,
        .acknowledged_per_s = (double)stats->counts[LOAD_ACKNOWLEDGED] / seconds,
        .delivered_per_s = (double)(stats->counts[LOAD_DELIVERED] + stats->counts[LOAD_REPLAYED]) / seconds,
        .pages_per_s = (double)stats->counts[LOAD_PAGES] / seconds,
        .p50_us = load_histogram_quantile(latency, 0.5),
        .p99_us = load_histogram_quantile(latency, 0.99),
        .max_us = latency->max_us,
    };
    load_report_add_point(&director->report, &point);
    load_stats_clear(&director->point);
    director->point_us = now_us;
}

/* Takes in what the workers have published. */
static void take(struct director *director, bool is_measured)
{
    struct load_stats *fresh = calloc(2, sizeof *fresh);
    if (fresh == NULL)
        return;
    load_run_take(director->run, fresh, &director->gauges);
    for (uint32_t i = 0; i < 2; i++)
        load_stats_merge(&director->stats[i], &fresh[i]);
    load_stats_merge(&director->point, &fresh[1]);
    free(fresh);
    if (director->gauges.behind_us > director->report.behind_us)
        director->report.behind_us = director->gauges.behind_us;
    uint64_t now_us = load_run_now_us(director->run);
    if (is_measured && now_us - director->point_us >= POINT_US)
        end_point(director, now_us);
}

static void set_phase(struct director *director, enum load_phase phase)
{
    atomic_store_explicit(&director->run->phase, phase, memory_order_release);
    director->begun_us = director->point_us = director->progress_us = load_run_now_us(director->run);
}

/* False when nothing has moved for too long. */
static bool is_moving(struct director *director)
{
    const struct load_gauges *gauges = &director->gauges;
    uint64_t mark = gauges->live + gauges->owed + gauges->got, now_us = load_run_now_us(director->run);
    if (mark != director->progress_mark) {
        director->progress_mark = mark;
        director->progress_us = now_us;
    }
    return now_us - director->progress_us < PATIENCE_US;
}

static bool is_filled(const struct director *director)
{
    uint64_t wanted = (uint64_t)director->run->options.fill * director->run->options.connections;
    return director->stats[0].counts[LOAD_ACKNOWLEDGED] >= wanted && director->gauges.owed == director->gauges.got;
}

static bool is_seated(const struct director *director)
{
    return director->gauges.live == director->run->options.connections;
}

static bool is_drained(const struct director *director)
{
    return is_seated(director) && director->gauges.unanswered == 0 && director->gauges.owed == director->gauges.got;
}

/* Waits for what the phase is about. False: it does not come. */
static bool wait_until(struct director *director, bool (*is_done)(const struct director *), const char *phase)
{
    uint64_t ready = 0;
    for (;;) {
        sleep_us(TICK_US / 5);
        take(director, false);
        if (is_done(director) && ready++ > 0)
            return true;
        if (!is_moving(director))
            return false;
        show(director, phase, (double)director->gauges.live / director->run->options.connections);
    }
}

static void kill_server(struct director *director)
{
    struct load_run *run = director->run;
    atomic_store(&run->is_down, true);
    /* The next process begins at 0: what this one used stays in the difference. */
    director->report.before.cpu_s -= load_proc_read(run->options.server_pid).cpu_s;
    load_server_kill(run->options.server_pid);
    director->report.kill_count++;
    int status = load_server_start(run->options.kill_command, &run->options.address, &run->options.server_pid);
    if (status != 0) {
        fprintf(stderr, "chitchat-load: the server does not start again: %s\n", strerror(-status));
        exit(1);
    }
    atomic_store(&run->is_down, false);
}

/* Storms are spread over the measured time, none at its very beginning. */
static void direct_storms(struct director *director, uint64_t now_us)
{
    const struct load_options *options = &director->run->options;
    double share = (double)(director->storms_begun + 1) / (options->storms + 1);
    bool is_over = director->report.storm_count == director->storms_begun;
    if (!is_over && director->gauges.storm == director->storms_begun && director->gauges.back_us > director->storm_us) {
        director->report.storm_s[director->report.storm_count++] =
            (double)(director->gauges.back_us - director->storm_us) / 1e6;
        is_over = true;
    }
    if (!is_over || director->storms_begun == options->storms
        || (double)(now_us - director->begun_us) < share * options->duration_s * 1e6)
        return;
    director->storms_begun++;
    director->storm_us = now_us;
    atomic_store(&director->run->storm, director->storms_begun);
}

static void run_for(struct director *director, double seconds, const char *phase, bool is_measured)
{
    const struct load_options *options = &director->run->options;
    uint64_t length_us = (uint64_t)(seconds * 1e6), now_us;
    director->next_kill_us = director->begun_us + (uint64_t)(options->kill_every_s * 1e6);
    while ((now_us = load_run_now_us(director->run)) < director->begun_us + length_us) {
        uint64_t left_us = director->begun_us + length_us - now_us;
        sleep_us(left_us < TICK_US ? left_us : TICK_US);
        take(director, is_measured);
        if (is_measured && options->scenario == LOAD_STORM)
            direct_storms(director, load_run_now_us(director->run));
        if (is_measured && options->kill_command != NULL && now_us >= director->next_kill_us) {
            kill_server(director);
            director->next_kill_us = load_run_now_us(director->run) + (uint64_t)(options->kill_every_s * 1e6);
        }
        show(director, phase, (double)(now_us - director->begun_us) / (double)length_us);
    }
}

static void read_cpu(const struct director *director, double *cpu_r)
{
    for (uint32_t i = 0; i < director->run->options.threads; i++) {
        clockid_t clock;
        struct timespec used = {0};
        if (pthread_getcpuclockid(director->run->workers[i].thread, &clock) == 0)
            clock_gettime(clock, &used);
        cpu_r[i] = (double)used.tv_sec + (double)used.tv_nsec / 1e9;
    }
}

static void add_own_cpu(struct director *director)
{
    struct load_report *report = &director->report;
    for (uint32_t i = 0; i < director->run->options.threads; i++) {
        double used = director->cpu_after[i] - director->cpu_before[i];
        report->own_cpu_s += used;
        if (used / report->seconds > report->busiest_share)
            report->busiest_share = used / report->seconds;
    }
}

static void measure(struct director *director)
{
    const struct load_options *options = &director->run->options;
    struct load_report *report = &director->report;
    set_phase(director, LOAD_WARMUP);
    run_for(director, options->warmup_s, "warm-up", false);
    read_cpu(director, director->cpu_before);
    report->before = load_proc_read(options->server_pid);
    set_phase(director, LOAD_MEASURE);
    uint64_t begun_us = director->begun_us;
    report->behind_us = 0;
    run_for(director, options->duration_s, "measure", true);
    report->after = load_proc_read(options->server_pid);
    read_cpu(director, director->cpu_after);
    report->seconds = (double)(load_run_now_us(director->run) - begun_us) / 1e6;
    set_phase(director, LOAD_DRAIN);
    add_own_cpu(director);
}

static bool direct(struct director *director)
{
    const struct load_options *options = &director->run->options;
    bool is_filling = options->scenario == LOAD_HISTORY || options->scenario == LOAD_REPLAY;
    if (!wait_until(director, is_seated, "connect")) {
        fprintf(stderr, "chitchat-load: only %llu of %u connections are logged in\n",
                (unsigned long long)director->gauges.live, options->connections);
        return false;
    }
    director->report.connect_s = (double)load_run_now_us(director->run) / 1e6;
    director->report.seated = load_proc_read(options->server_pid);
    if (is_filling) {
        set_phase(director, LOAD_FILL);
        if (!wait_until(director, is_filled, "fill"))
            return false;
        set_phase(director, LOAD_FILLED);
        sleep_us(TICK_US);
    }
    measure(director);
    bool is_good = wait_until(director, is_drained, "drain");
    director->report.sends_unanswered = director->gauges.unanswered;
    if (director->gauges.owed > director->gauges.got)
        director->report.entries_missing = director->gauges.owed - director->gauges.got;
    return is_good;
}

static void judge(struct director *director)
{
    struct load_report *report = &director->report;
    struct load_run *run = director->run;
    char text[200] = "";
    load_run_join(run);
    take(director, false);
    director->stats[0].counts[LOAD_BROKEN_COUNT] += load_run_judge(run, text, sizeof text);
    report->measured = director->stats[1];
    report->all = director->stats[0];
    load_stats_merge(&report->all, &director->stats[1]);
    for (uint32_t i = 0; i < run->options.threads && report->broken_text[0] == '\0'; i++)
        snprintf(report->broken_text, sizeof report->broken_text, "%s", run->workers[i].first_broken);
    if (report->broken_text[0] == '\0')
        snprintf(report->broken_text, sizeof report->broken_text, "%s", text);
}

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

static bool start_server(struct load_options *options)
{
    int status = 0;
    if (options->kill_command != NULL)
        status = load_server_start(options->kill_command, &options->address, &options->server_pid);
    if (status != 0)
        fprintf(stderr, "chitchat-load: the server does not start: %s\n", strerror(-status));
    return status == 0;
}

static int run_all(struct director *director)
{
    struct load_run *run = director->run;
    struct load_report *report = &director->report;
    report->options = &run->options;
    report->idle = load_proc_read(run->options.server_pid);
    int status = load_run_open(run);
    if (status != 0) {
        fprintf(stderr, "chitchat-load: %s\n", strerror(-status));
        return 2;
    }
    report->is_complete = direct(director);
    set_phase(director, LOAD_END);
    judge(director);
    load_progress_end();
    load_report_print(report);
    bool is_written = run->options.json_path == NULL || load_report_write_json(report, run->options.json_path);
    if (run->options.html_path != NULL && !load_report_write_html(report, run->options.html_path))
        is_written = false;
    return load_report_is_good(report) && is_written ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct load_run *run = calloc(1, sizeof *run);
    struct director *director = calloc(1, sizeof *director);
    if (run == NULL || director == NULL)
        return 2;
    int status = load_options_parse(&run->options, argc, argv);
    if (status != 0)
        return status > 0 ? 0 : 2;
    if (!raise_limits(&run->options) || !start_server(&run->options))
        return 2;
    director->run = run;
    status = run_all(director);
    if (run->options.kill_command != NULL)
        load_server_stop(run->options.server_pid);
    load_run_close(run);
    free(director->report.points);
    free(director);
    free(run);
    return status;
}
