#include "load/direct.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "cli/client_tls.h"
#include "load/interval.h"
#include "load/proc.h"
#include "load/progress.h"
#include "load/server.h"
#include "load/stats.h"
#include "load/talk.h"
#include "load/worker.h"
#include "times.h"

#define TICK_US 50000u
#define PATIENCE_US 30000000u       /* without any progress */
#define PATIENCE_US_BROKEN 3000000u /* the same once a promise is broken */
#define REFUSED_US 5000000u         /* without any answer but refusals */
#define WARNING_US 5000000u
#define GONE_US 5000000u       /* without any live connection; then the server counts as gone */
#define GONE_US_PAIR 60000000u /* the same of a pair of nodes, of which one takes over */

struct director {
    struct load_run *run;
    struct load_report *report;
    struct load_stats stats[2]; /* not measured, measured */
    struct load_interval interval;
    const char *phase_text; /* borrowed */
    struct load_gauges gauges;
    uint64_t begun_us; /* of the phase */
    uint64_t progress_us, progress_mark;
    uint64_t live_us; /* when a connection was last seen live */
    uint64_t storm_us, next_kill_us;
    struct load_mark *storm_mark; /* of the storm that goes on; NULL: there was no room for a mark */
    uint32_t storms_begun;
    uint32_t interrupts;
    bool is_drained;  /* at the end of the drain all requests were answered: so both users know the same marks */
    bool is_answered; /* a request other than a login was answered */
    bool is_lost;     /* the server is gone: there is nothing more to wait for */
    struct load_proc_time before[LOAD_THREADS_MAX], after[LOAD_THREADS_MAX]; /* of the workers */
};

/* Waits; takes a signal that comes meanwhile, or came before. */
static void sleep_us(struct director *director, uint64_t us)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    struct timespec wait = times_of_us(us);
    if (sigtimedwait(&signals, NULL, &wait) < 0)
        return;
    snprintf(director->report->end_text, sizeof director->report->end_text, "interrupted");
    director->interrupts++;
}

static void show(struct director *director, const char *phase, double done)
{
    load_interval_progress(&director->interval, director->stats, director->gauges.live, phase, done);
    load_interval_show(&director->interval, load_run_now_us(director->run));
}

/* Whether the server has answered anything. */
static bool is_any(const struct load_stats *stats)
{
    uint64_t count = 0;
    for (uint32_t i = LOAD_ACKNOWLEDGED; i <= LOAD_LOGINS; i++)
        count += stats->counts[i];
    return count > 0;
}

/* Takes what the workers have published. */
static void take(struct director *director)
{
    struct load_stats *fresh = calloc(2, sizeof *fresh);
    uint64_t now_us = load_run_now_us(director->run);
    ASSERT(fresh != NULL); /* a generator without memory has nothing to measure */
    load_run_take(director->run, fresh, &director->gauges);
    if (director->gauges.live > 0 || is_any(&fresh[0]) || is_any(&fresh[1]))
        director->live_us = now_us;
    for (uint32_t i = 0; i < 2; i++)
        load_stats_merge(&director->stats[i], &fresh[i]);
    load_interval_add(&director->interval, fresh, now_us);
    free(fresh);
    if (director->gauges.behind_us > director->report->behind_us)
        director->report->behind_us = director->gauges.behind_us;
}

static void set_phase(struct director *director, enum load_phase phase)
{
    uint64_t now_us = load_run_now_us(director->run);
    if (phase == LOAD_MEASURE)
        atomic_store(&director->run->measured_from_us, now_us);
    if (phase == LOAD_DRAIN)
        atomic_store(&director->run->measured_until_us, now_us);
    atomic_store_explicit(&director->run->phase, phase, memory_order_release);
    director->begun_us = director->progress_us = now_us;
    load_interval_begin(&director->interval, phase, now_us);
}

/* False if there was no progress for too long. */
static bool is_moving(struct director *director)
{
    const struct load_gauges *gauges = &director->gauges;
    uint64_t mark = gauges->live + gauges->owed + gauges->got - gauges->pages - gauges->marks + gauges->shown,
             now_us = load_run_now_us(director->run);
    if (mark != director->progress_mark) {
        director->progress_mark = mark;
        director->progress_us = now_us;
    }
    uint64_t broken = load_stats_broken(&director->stats[0]) + load_stats_broken(&director->stats[1]);
    return now_us - director->progress_us < (broken > 0 ? PATIENCE_US_BROKEN : PATIENCE_US);
}

/* Whether each mark was answered, and both users know of it. */
static bool is_marked(const struct director *director)
{
    return director->gauges.marks == 0 && director->gauges.marked == director->gauges.shown;
}

static bool is_filled(const struct director *director)
{
    const struct load_gauges *gauges = &director->gauges;
    uint64_t wanted = (uint64_t)director->run->options.fill * director->run->options.connections;
    return gauges->filled == wanted && gauges->unanswered == 0 && gauges->owed == gauges->got && is_marked(director);
}

/* The phase LOAD_FILLED is over when no worker has passed it by: it may get no CPU for long. */
static bool are_all_full(const struct director *director)
{
    return director->gauges.full == director->run->options.threads;
}

static bool are_all_live(const struct director *director)
{
    return director->gauges.live == director->run->options.connections && director->gauges.looking == 0;
}

static bool is_drained(const struct director *director)
{
    const struct load_gauges *gauges = &director->gauges;
    return are_all_live(director) && gauges->draining == director->run->options.threads && gauges->due == 0
           && gauges->unanswered == 0 && gauges->pages == 0 && gauges->owed == gauges->got && is_marked(director);
}

static bool is_checked(const struct director *director)
{
    return director->gauges.in_check == director->run->options.threads && director->gauges.checking == 0;
}

static void lose(struct director *director, const char *what, const char *why)
{
    snprintf(director->report->end_text, sizeof director->report->end_text, "%s: %s", what, why);
    director->is_lost = true;
}

/* The run is not possible. */
static void give_up(struct director *director, const char *why)
{
    char *out = director->report->obstacle;
    uint32_t connections = director->run->options.connections;
    if (director->gauges.live < connections)
        snprintf(out, LOAD_OBSTACLE_BYTES, "%s (%llu of %u connections are open)", why,
                 (unsigned long long)director->gauges.live, connections);
    else
        snprintf(out, LOAD_OBSTACLE_BYTES, "%s", why);
    director->is_lost = true;
}

static void take_obstacle(struct director *director)
{
    char why[LOAD_OBSTACLE_BYTES - 64];
    load_run_obstacle(director->run, why, sizeof why);
    give_up(director, why);
}

/* Whether the server has refused every request of this phase for so long that the run can show nothing. */
static bool is_refused(struct director *director)
{
    char frame[LOAD_OBSTACLE_BYTES - 128], why[LOAD_OBSTACLE_BYTES - 64];
    const struct load_stats *stats = director->stats;
    if (director->interval.phase < LOAD_FILL || director->is_answered)
        return false;
    for (uint32_t i = 0; i < 2; i++)
        director->is_answered |=
            stats[i].counts[LOAD_ACKNOWLEDGED] + stats[i].counts[LOAD_PAGES] + stats[i].counts[LOAD_TYPED] > 0;
    load_run_first_refusal(director->run, frame, sizeof frame);
    if (director->is_answered || frame[0] == '\0' || load_run_now_us(director->run) - director->begun_us < REFUSED_US)
        return false;
    snprintf(why, sizeof why, "the server refuses all requests: %s", frame);
    give_up(director, why);
    return true;
}

/* While nobody has logged in, the run has not begun. */
static void lose_server(struct director *director)
{
    char end[LOAD_END_TEXT_BYTES - 64], why[LOAD_OBSTACLE_BYTES - 64];
    load_run_last_end(director->run, end, sizeof end);
    if (director->stats[0].counts[LOAD_LOGINS] > 0) {
        lose(director, "the server is gone, no connection can log in", end);
        return;
    }
    snprintf(why, sizeof why, "no connection can log in at %s: %s; is it a chitchat server?",
             director->run->options.addresses[0].text, end);
    give_up(director, why);
}

/* A part of the connections cannot log in. */
static void lose_some(struct director *director)
{
    char why[LOAD_OBSTACLE_BYTES - 64];
    load_run_last_end(director->run, why, sizeof why);
    give_up(director, why);
}

static bool has_ended(struct load_run *run, char *why, size_t room)
{
    for (uint32_t i = 0; i < run->options.kill_count; i++)
        if (load_server_has_ended(&run->servers[i], why, room))
            return true;
    return false;
}

/* Whether the server is gone, though the director has not killed it. */
static bool is_lost(struct director *director)
{
    struct load_run *run = director->run;
    char why[100];
    if (director->is_lost)
        return true;
    if (atomic_load(&run->is_hopeless)) {
        take_obstacle(director);
        return true;
    }
    uint64_t gone_us = load_options_has_pair(&run->options) ? GONE_US_PAIR : GONE_US;
    if (has_ended(run, why, sizeof why)) {
        run->options.server_pid = 0;
        lose(director, "the server ended by itself", why);
    } else if (director->gauges.live == 0 && load_run_now_us(run) - director->live_us > gone_us) {
        lose_server(director);
    } else if (is_refused(director)) {
        return true;
    }
    return director->is_lost;
}

/* Whether all that dropped in a storm are back. */
static bool is_storm_over(struct director *director)
{
    const struct load_gauges *gauges = &director->gauges;
    struct load_report *report = director->report;
    if (report->storm_count == director->storms_begun)
        return true;
    if (gauges->storm != director->storms_begun || gauges->back_us <= director->storm_us)
        return false;
    double took_s = (double)(gauges->back_us - director->storm_us) / 1e6;
    report->storm_s[report->storm_count++] = took_s;
    if (director->storm_mark != NULL)
        director->storm_mark->until_s += took_s;
    return true;
}

/* Waits until the phase is done. False: it will not be. */
static bool wait_until(struct director *director, bool (*is_done)(const struct director *), const char *phase)
{
    uint32_t interrupts = director->interrupts;
    uint64_t ready = 0;
    director->phase_text = phase;
    for (;;) {
        sleep_us(director, TICK_US / 5);
        take(director);
        if (is_storm_over(director) && is_done(director) && ready++ > 0)
            return true;
        if (is_lost(director) || director->interrupts > interrupts)
            return false;
        if (!is_moving(director)) {
            if (director->gauges.unanswered == 0 && !is_marked(director))
                lose(director, "marks", "not each was answered, and known to both users");
            return false;
        }
        show(director, phase, (double)director->gauges.live / director->run->options.connections);
    }
}

/* Marks an event at `now_us`, for the plots; NULL: there are too many already. */
static struct load_mark *mark(struct director *director, enum load_mark_kind kind, uint64_t now_us)
{
    struct load_report *report = director->report;
    double at_s = (double)(now_us - director->begun_us) / 1e6;
    if (report->mark_count == LOAD_MARKS_MAX)
        return NULL;
    report->marks[report->mark_count] = (struct load_mark){kind, at_s, at_s};
    return &report->marks[report->mark_count++];
}

static void kill_server(struct director *director)
{
    struct load_run *run = director->run;
    uint64_t killed_us = load_run_now_us(run);
    struct load_mark *outage = mark(director, LOAD_MARK_KILL, killed_us);
    atomic_store(&run->is_down, true);
    /* The next process begins at 0: so the difference keeps what this one used. */
    director->report->before.cpu_s -= load_proc_read(run->options.server_pid).cpu_s;
    load_server_kill(&run->servers[0]);
    director->report->kill_count++;
    int status = load_server_start(&run->servers[0], run->options.kill_commands[0], &run->options.addresses[0]);
    run->options.server_pid = run->servers[0].pid;
    director->live_us = load_run_now_us(run);
    /* What was published meanwhile was answered before the kill; the time without a server is its own interval. */
    take(director);
    load_interval_end(&director->interval, killed_us);
    load_interval_end(&director->interval, director->live_us);
    if (outage != NULL)
        outage->until_s = (double)(director->live_us - director->begun_us) / 1e6;
    if (status == 0)
        atomic_store(&run->is_down, false);
    else
        lose(director, "the killed server does not start again", strerror(-status));
}

/* Waits until the node answers. False: it does not, or the run ends. */
static bool wait_for_ok(struct director *director, uint32_t node, const char *phase)
{
    struct load_run *run = director->run;
    uint64_t until_us = load_run_now_us(run) + GONE_US_PAIR;
    uint32_t interrupts = director->interrupts;
    while (atomic_load(&run->ok_us[node]) == 0) {
        sleep_us(director, TICK_US / 5);
        take(director);
        show(director, phase, 0);
        if (is_lost(director) || director->interrupts > interrupts)
            return false;
        if (load_run_now_us(run) > until_us) {
            lose(director, "the other node does not take over", "no answer");
            return false;
        }
    }
    return true;
}

/* Of a pair: kills the node that answers, waits until the other one does, and starts the killed one as its standby. */
static void kill_owner(struct director *director, const char *phase)
{
    struct load_run *run = director->run;
    struct load_report *report = director->report;
    uint32_t owner = atomic_load(&run->owner), other = 1 - owner;
    uint64_t killed_us = load_run_now_us(run);
    struct load_mark *outage = mark(director, LOAD_MARK_KILL, killed_us);
    atomic_store(&run->ok_us[other], 0);
    load_server_kill(&run->servers[owner]);
    report->kill_count++;
    if (!wait_for_ok(director, other, phase))
        return;
    uint64_t ok_us = atomic_load(&run->ok_us[other]);
    if (report->failover_count < LOAD_STORMS_MAX)
        report->failover_s[report->failover_count++] = (double)(ok_us - killed_us) / 1e6;
    if (outage != NULL)
        outage->until_s += (double)(ok_us - killed_us) / 1e6;
    load_interval_end(&director->interval, killed_us);
    load_interval_end(&director->interval, ok_us);
    int status =
        load_server_start(&run->servers[owner], run->options.kill_commands[owner], &run->options.addresses[owner]);
    director->live_us = load_run_now_us(run);
    if (status != 0)
        lose(director, "the killed node does not start again", strerror(-status));
}

/* Of a pair the next kill comes when all are back: else a run might only ever see nodes that take over. */
static bool may_kill(const struct director *director)
{
    return !load_options_has_pair(&director->run->options) || are_all_live(director);
}

/* Spreads the storms over the measured time, none at its very beginning. */
static void direct_storms(struct director *director, uint64_t now_us)
{
    const struct load_options *options = &director->run->options;
    double share = (double)(director->storms_begun + 1) / (options->storms + 1);
    if (!is_storm_over(director) || director->storms_begun == options->storms
        || (double)(now_us - director->begun_us) < share * options->duration_s * 1e6)
        return;
    director->storms_begun++;
    director->storm_us = now_us;
    director->storm_mark = mark(director, LOAD_MARK_STORM, now_us);
    atomic_store(&director->run->storm, director->storms_begun);
}

/* Announces what will end an interval next, a kill or `end_us`, so that it cuts none short. */
static void watch(struct director *director, uint64_t end_us)
{
    bool is_killed = director->interval.phase == LOAD_MEASURE && load_options_kills(&director->run->options);
    load_interval_watch(&director->interval,
                        is_killed && director->next_kill_us < end_us ? director->next_kill_us : end_us);
}

static void run_for(struct director *director, double seconds, const char *phase, bool is_measured)
{
    const struct load_options *options = &director->run->options;
    uint64_t length_us = (uint64_t)(seconds * 1e6), now_us;
    director->next_kill_us = director->begun_us + (uint64_t)(options->kill_every_s * 1e6);
    watch(director, director->begun_us + length_us);
    while ((now_us = load_run_now_us(director->run)) < director->begun_us + length_us && director->interrupts == 0
           && !is_lost(director)) {
        uint64_t left_us = director->begun_us + length_us - now_us;
        sleep_us(director, left_us < TICK_US ? left_us : TICK_US);
        take(director);
        if (is_measured && options->scenario == LOAD_STORM)
            direct_storms(director, load_run_now_us(director->run));
        if (is_measured && load_options_kills(options) && now_us >= director->next_kill_us && may_kill(director)) {
            if (load_options_has_pair(options))
                kill_owner(director, phase);
            else
                kill_server(director);
            director->next_kill_us = load_run_now_us(director->run) + (uint64_t)(options->kill_every_s * 1e6);
            watch(director, director->begun_us + length_us);
        }
        show(director, phase, (double)(now_us - director->begun_us) / (double)length_us);
    }
}

/* Before the run writes: whether the store belongs to others. A person gets time to interrupt. False: they did. */
static bool warn_of_strangers(struct director *director)
{
    const struct load_gauges *gauges = &director->gauges;
    const struct load_options *options = &director->run->options;
    bool has_person = load_progress_has_terminal();
    if (gauges->strangers == 0)
        return true;
    load_progress_end();
    fprintf(stderr,
            "chitchat-load: warning: this server has users of its own: %s%llu has messages that chitchat-load has not "
            "written, and so have %llu more. The run writes into their timelines; choose other names by --prefix%s\n",
            options->prefix, (unsigned long long)gauges->stranger, (unsigned long long)gauges->strangers - 1,
            has_person ? ". Interrupt it within 5 s to write nothing" : "");
    for (uint32_t i = 0; has_person && i < WARNING_US / TICK_US && director->interrupts == 0; i++)
        sleep_us(director, TICK_US);
    if (director->interrupts > 0)
        give_up(director, "interrupted before it wrote anything");
    return director->interrupts == 0;
}

static void read_times(const struct director *director, struct load_proc_time *times_r)
{
    for (uint32_t i = 0; i < director->run->options.threads; i++)
        times_r[i] = load_proc_thread(atomic_load(&director->run->workers[i].tid));
}

/* The busiest loop is the one with the least time left; while a loop waits for a core, it cannot work either. */
static void report_loops(struct director *director)
{
    struct load_report *report = director->report;
    for (uint32_t i = 0; i < director->run->options.threads; i++) {
        double run = (director->after[i].run_s - director->before[i].run_s) / report->seconds;
        double waited = (director->after[i].waited_s - director->before[i].waited_s) / report->seconds;
        if (run + waited <= report->busiest_share + report->busiest_waited_share)
            continue;
        report->busiest_share = run;
        report->busiest_waited_share = waited;
    }
}

static void measure(struct director *director)
{
    const struct load_options *options = &director->run->options;
    struct load_report *report = director->report;
    set_phase(director, LOAD_WARMUP);
    run_for(director, options->warmup_s, "warm-up", false);
    if (director->interrupts > 0 || is_lost(director)) {
        set_phase(director, LOAD_DRAIN);
        return;
    }
    read_times(director, director->before);
    double own_cpu_s = load_proc_own_cpu_s();
    report->before = load_proc_read(options->server_pid);
    set_phase(director, LOAD_MEASURE);
    uint64_t begun_us = director->begun_us;
    report->behind_us = 0;
    run_for(director, options->duration_s, "measure", true);
    load_interval_end(&director->interval, load_run_now_us(director->run));
    report->after = load_proc_read(options->server_pid);
    read_times(director, director->after);
    report->own_cpu_s = load_proc_own_cpu_s() - own_cpu_s;
    set_phase(director, LOAD_DRAIN);
    report->seconds = (double)(director->begun_us - begun_us) / 1e6;
    report_loops(director);
}

static bool direct(struct director *director)
{
    const struct load_options *options = &director->run->options;
    if (!wait_until(director, are_all_live, "connect")) {
        if (!is_lost(director) && director->interrupts == 0 && load_stats_broken(&director->stats[0]) == 0)
            lose_some(director);
        return false;
    }
    director->report->connect_s = (double)load_run_now_us(director->run) / 1e6;
    if (!warn_of_strangers(director))
        return false;
    director->report->logged_in = load_proc_read(options->server_pid);
    if (load_options_fills(options)) {
        set_phase(director, LOAD_FILL);
        if (!wait_until(director, is_filled, "fill"))
            return false;
        set_phase(director, LOAD_FILLED);
        if (!wait_until(director, are_all_full, "fill"))
            return false;
    }
    measure(director);
    bool is_good = wait_until(director, is_drained, "drain");
    if (is_good && load_options_marks(options)) {
        set_phase(director, LOAD_CHECK);
        is_good = wait_until(director, is_checked, "check");
    }
    director->is_drained = are_all_live(director) && director->gauges.unanswered == 0 && director->gauges.marks == 0;
    director->report->behind = director->gauges.behind;
    director->report->is_held = director->gauges.held > 0;
    director->report->overdue = director->gauges.due + director->gauges.overdue;
    director->report->sends_unanswered = director->gauges.unanswered;
    director->report->pages_unanswered = director->gauges.pages;
    if (director->gauges.owed > director->gauges.got)
        director->report->entries_missing = director->gauges.owed - director->gauges.got;
    return is_good;
}

static void report_stuck(struct director *director)
{
    char text[LOAD_STUCK_TEXT_BYTES - 32] = "";
    load_run_stuck(director->run, text, sizeof text);
    if (text[0] != '\0')
        snprintf(director->report->stuck_text, sizeof director->report->stuck_text, "in the phase `%s` %s",
                 director->phase_text, text);
}

static void check(struct director *director)
{
    struct load_report *report = director->report;
    struct load_run *run = director->run;
    char text[200] = "";
    load_run_join(run);
    take(director);
    if (run->tls != NULL)
        client_tls_context_describe(run->tls, report->tls_text, sizeof report->tls_text);
    if (!report->is_complete)
        report_stuck(director);
    director->stats[0].counts[LOAD_BROKEN_COUNT] += load_run_check(run, text, sizeof text);
    if (director->is_drained)
        director->stats[0].counts[LOAD_BROKEN_TALKS] += load_talks_check(run, text, text[0] == '\0' ? sizeof text : 0);
    memcpy(report->late, director->gauges.late, sizeof report->late);
    report->measured = director->stats[1];
    report->all = director->stats[0];
    load_stats_merge(&report->all, &director->stats[1]);
    for (uint32_t i = 0; i < run->options.threads && report->broken_text[0] == '\0'; i++)
        snprintf(report->broken_text, sizeof report->broken_text, "%s", run->workers[i].first_broken);
    if (report->broken_text[0] == '\0')
        snprintf(report->broken_text, sizeof report->broken_text, "%s", text);
}

void load_direct(struct load_run *run, struct load_report *report)
{
    struct director *director = calloc(1, sizeof *director);
    ASSERT(director != NULL);
    director->run = run;
    director->report = director->interval.report = report;
    director->phase_text = "connect";
    director->live_us = load_run_now_us(run);
    load_interval_begin(&director->interval, LOAD_CONNECT, director->live_us);
    report->is_complete = direct(director);
    set_phase(director, LOAD_END);
    check(director);
    load_progress_end();
    free(director);
}
