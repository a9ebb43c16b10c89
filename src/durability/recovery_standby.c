#include "durability/recovery_standby.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/log_limit.h"
#include "cluster/election.h"
#include "durability/node_report.h"
#include "server/service_notify.h"
#include "server/starting.h"
#include "storage/log_tail.h"

#define TICK_US UINT64_C(1000000)
#define FOLLOW_MS 100u               /* how long to wait for news */
#define PAUSE_US UINT64_C(200000)    /* before the engine is asked again */
#define ANSWER_US UINT64_C(30000000) /* a start is refused if the engine has not answered for so long */
#define RUNS_AGE_TIMES 5u            /* of --checkpoint-s: a standby has no hurry */
#define CLOCK_BEHIND_US UINT64_C(1000000)
#define CLOCK_TEXT_BYTES 128u
#define COMPLAIN_US UINT64_C(60000000)

struct standby {
    struct recovery *recovery;
    struct clock *clock;
    struct old_wal meta; /* of the meta log: `remote` alone */
    struct log_session *follower;
    struct log_follow *follows; /* the slots, then the meta log */
    bool *owned;                /* by slot: reported to the election */
    uint64_t *written;          /* by slot: the batch in the file of storage/log_tail.h */
    uint64_t *in_runs;          /* by slot: the newest batch that the runs have */
    uint32_t slots;
    struct election election;
    bool is_taking;
    bool has_read;       /* all logs to their end, once */
    uint64_t failing_us; /* since when the engine has not answered; 0: it does */
    struct log_limit limit, clock_limit;
    uint64_t noted;        /* the generation of the newest owner whose address clients get */
    uint64_t begun_us;     /* when this node began to take over */
    uint64_t caught_up_us; /* when all logs were read to their end last */
    uint64_t ticked_us;
    uint64_t report_us;  /* when the next report is due */
    uint64_t runs_us;    /* when the runs were written last */
    uint64_t watched_us; /* since when the logs are watched: all were read to their end */
    bool has_noted_namesake;
};

static struct old_wal *log_at(struct standby *standby, uint32_t index)
{
    return index == standby->slots ? &standby->meta : &standby->recovery->old_wals[index];
}

static struct ownership *ownership_at(struct standby *standby, uint32_t index)
{
    return log_remote_ownership(log_at(standby, index)->remote);
}

static bool is_own_name(const struct standby *standby, const char *node)
{
    return strcmp(node, standby->recovery->server->cluster->node) == 0;
}

static bool is_stopping(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* -- what others see of the node -- */

static void count(struct standby *standby, uint64_t now_us)
{
    struct server *server = standby->recovery->server;
    bool is_at_end = standby->has_read && standby->failing_us == 0;
    for (uint32_t i = 0; i < standby->slots; i++) {
        const struct ownership *ownership = ownership_at(standby, i);
        struct slot_metrics *metrics = &server->cores[i]->slot_metrics;
        uint64_t seen = ownership->seen.number;
        uint64_t last = standby->follows[i].last > seen ? standby->follows[i].last : seen;
        metric_set(&metrics->log.connected, standby->failing_us == 0);
        metric_set(&metrics->last, last);
        metric_set(&metrics->applied, ownership->applied.number);
        metric_set(&metrics->lag, last - seen);
        metric_set(&metrics->in_runs, standby->in_runs[i]);
        is_at_end = is_at_end && ownership->is_at_end;
    }
    if (is_at_end)
        standby->caught_up_us = now_us;
    metric_set(&server->cluster_metrics.lag, now_us - standby->caught_up_us);
    metric_set(&server->cluster_metrics.generation, ownership_at(standby, standby->slots)->seen.generation);
}

/* What is applied is committed. A disk without room is reported by the checkpoints. */
static void write_tails(struct standby *standby)
{
    char dir[PATH_MAX];
    for (uint32_t i = 0; i < standby->slots; i++) {
        const struct ownership_mark *applied = &ownership_at(standby, i)->applied;
        if (applied->number > standby->written[i]
            && datadir_wal_path(standby->recovery->server->datadir, i, dir, sizeof dir) == 0
            && log_tail_write(dir, i, applied) == 0)
            standby->written[i] = applied->number;
    }
}

/* Also while it reads the log for the first time, which purges must not overtake. An error is of the log servers: the
 * calls that follow find it too. */
static void report(struct standby *standby)
{
    struct log_engine_error error;
    const struct server *server = standby->recovery->server;
    uint64_t now_us = clock_monotonic_us(standby->clock);
    if (now_us < standby->report_us || standby->failing_us != 0 || standby->is_taking)
        return;
    standby->report_us = now_us + NODE_REPORT_US;
    (void)node_report(server, standby->follower, &error);
}

/* Often: counts, and does once a second what main's thread of a server does. */
static void tick(struct standby *standby)
{
    struct server *server = standby->recovery->server;
    uint64_t now_us = clock_monotonic_us(standby->clock);
    count(standby, now_us);
    if (now_us - standby->ticked_us < TICK_US)
        return;
    standby->ticked_us = now_us;
    reload_poll(&server->reloads);
    write_tails(standby);
    report(standby);
    service_notify_alive(server);
}

/* -- the engine -- */

/* The engine has not answered, or refuses. 0: it is asked again later; or -errno. */
static int on_error(struct standby *standby, int status, const char *text)
{
    uint64_t now_us = clock_monotonic_us(standby->clock);
    uint32_t left_out;
    char line[LOG_REMOTE_ERROR_BYTES];
    if (standby->failing_us == 0)
        standby->failing_us = now_us;
    bool is_over =
        !standby->has_read && !standby->recovery->server->was_deposed && now_us - standby->failing_us > ANSWER_US;
    if (status == -EBADMSG || is_over)
        return recovery_refuse(standby->recovery, status, "%s", text);
    (void)snprintf(line, sizeof line, "%s", text);
    log_quotable(line);
    if (log_limit_take(&standby->limit, now_us, COMPLAIN_US, &left_out))
        log_line(LOG_WARN, "log_unreachable", "error=\"%s\" hint=\"it is tried again\" left_out=%u", line, left_out);
    election_on_news(&standby->election, now_us); /* who does not see the logs cannot say that they are silent */
    tick(standby);
    clock_sleep_us(standby->clock, PAUSE_US);
    return 0;
}

static int apply(struct standby *standby, struct old_wal *old)
{
    struct recovery *recovery = standby->recovery;
    struct recovery_replay context = {recovery, old};
    recovery->error->text[0] = '\0';
    int status = log_remote_apply(old->remote, recovery_replay_record, &context);
    if (status == 0 || recovery->error->text[0] != '\0')
        return status;
    return recovery_refuse(recovery, status,
                           "%s has a batch that is no sequence of records, behind batch %llu: start the version of "
                           "chitchat that wrote it (docs/CLUSTER.md, \"A slot that is damaged\")",
                           old->survey.dir, (unsigned long long)log_remote_ownership(old->remote)->applied.number);
}

/* Another process of this node's name owns the slots. */
static void note_namesake(struct standby *standby)
{
    const struct ownership *meta = ownership_at(standby, standby->slots);
    standby->has_noted_namesake = true;
    service_notify_standby(standby->recovery->server, meta->owner, meta->address);
    log_line(
        LOG_WARN, "node_name_in_use",
        "node=%s address=\"%s\" hint=\"another node of this name owns the slots: give each node a name of its own\"",
        meta->owner, meta->address);
}

/* News of the owner, who has this node's name: what its former process had in flight has landed long before. */
static bool is_of_namesake(struct standby *standby, uint64_t now_us)
{
    const struct ownership *meta = ownership_at(standby, standby->slots);
    return standby->has_read && now_us - standby->watched_us >= ELECTION_SILENCE_US
           && standby->election.state == ELECTION_STANDBY && meta->state == OWNERSHIP_FOLLOWS
           && is_own_name(standby, meta->owner);
}

static void on_news(struct standby *standby, const struct ownership *ownership)
{
    uint64_t now_us = clock_monotonic_us(standby->clock);
    election_on_news(&standby->election, now_us);
    if (!standby->has_noted_namesake && is_own_name(standby, ownership->owner) && is_of_namesake(standby, now_us))
        note_namesake(standby);
}

/* Makes the calls of one log that are due, and applies. 0 or -errno. */
static int advance(struct standby *standby, uint32_t index)
{
    struct old_wal *old = log_at(standby, index);
    struct ownership *ownership = log_remote_ownership(old->remote);
    struct log_remote_error error;
    uint64_t seen = ownership->seen.number;
    int status = 1;
    while (status > 0) {
        status = apply(standby, old);
        if (status == 0)
            status = log_remote_call(old->remote, &error);
        else
            return status;
        if (status > 0) {
            standby->failing_us = 0;
            tick(standby);
        }
    }
    if (ownership->seen.number > seen)
        on_news(standby, ownership);
    return status == 0 ? 0 : on_error(standby, status, error.text);
}

/* Waits for news of any log. */
static int wait(struct standby *standby, uint32_t wait_ms)
{
    struct log_engine_error error = {""};
    const struct log_engine *engine = standby->recovery->server->cluster->engine;
    for (uint32_t i = 0; i <= standby->slots; i++)
        standby->follows[i].last = ownership_at(standby, i)->seen.number;
    int status = engine->follow(standby->follower, standby->follows, standby->slots + 1, wait_ms, &error);
    if (status < 0)
        return on_error(standby, status, error.text);
    standby->failing_us = 0;
    for (uint32_t i = 0; i <= standby->slots && status > 0; i++)
        if (standby->follows[i].last != ownership_at(standby, i)->seen.number)
            ownership_on_news(ownership_at(standby, i));
    return 0;
}

/* -- taking over -- */

static bool take(struct standby *standby, uint32_t index)
{
    return ownership_take(ownership_at(standby, index), standby->election.generation,
                          span_of(standby->recovery->server->cluster->address), clock_wall_us(standby->clock));
}

static void take_slot(struct standby *standby, uint32_t slot)
{
    struct ownership *ownership = ownership_at(standby, slot);
    if (ownership->state == OWNERSHIP_DEPOSED || (ownership_may_take(ownership) && !take(standby, slot)))
        election_on_slot(&standby->election, ELECTION_SLOT_LOST);
    else if (ownership_may_seal(ownership) && !standby->owned[slot]) {
        standby->owned[slot] = true;
        election_on_slot(&standby->election, ELECTION_SLOT_OWNED);
    }
}

static uint64_t newest_ts(const struct standby *standby)
{
    uint64_t newest = 0;
    for (uint32_t i = 0; i < standby->slots; i++)
        if (standby->recovery->server->cores[i]->last_ts > newest)
            newest = standby->recovery->server->cores[i]->last_ts;
    return newest;
}

/* No ts goes backwards, whatever the clock: a new one is above the last of its slot. Where a former owner's clock was
 * ahead of a right one, another node could do no better: so this one has taken over, and says so. */
static void warn_of_ts(const struct standby *standby)
{
    uint64_t newest = newest_ts(standby), wall_us = clock_wall_us(standby->clock);
    if (newest > wall_us + CLOCK_BEHIND_US)
        log_line(LOG_WARN, "clock_behind_log",
                 "behind_s=%llu hint=\"the newest message of the log is of a later time than this clock shows: new ts "
                 "follow it until the clock has caught up\"",
                 (unsigned long long)((newest - wall_us) / 1000000));
}

/* Before a take-over: compares the clock. 1: it is right; 0: not, or the engine does not answer: later; or -errno. */
static int check_clock(struct standby *standby)
{
    struct log_engine_report report;
    struct log_engine_error error = {""};
    char text[CLOCK_TEXT_BYTES];
    uint32_t left_out;
    struct server *server = standby->recovery->server;
    int status = server->cluster->engine->check(standby->follower, CLUSTER_TIMEOUT_MS, &report, &error);
    if (status != 0)
        return on_error(standby, status, error.text);
    uint64_t now_us = clock_monotonic_us(standby->clock), wall_us = clock_wall_us(standby->clock);
    if (cluster_clock_is_right(&report, wall_us, &server->cluster_metrics, text, sizeof text))
        return 1;
    election_on_news(&standby->election, now_us);
    if (log_limit_take(&standby->clock_limit, now_us, COMPLAIN_US, &left_out))
        log_line(LOG_WARN, "clock_off", "reason=\"%s\" hint=\"this node does not take over: set the clock\"", text);
    return 0;
}

/* Before a take-over. 1: the clock is right, and no log has news; 0: not now; or -errno. */
static int look(struct standby *standby)
{
    int status = check_clock(standby);
    if (status <= 0)
        return status;
    status = wait(standby, 1);
    for (uint32_t i = 0; i <= standby->slots && status == 0; i++)
        if (!ownership_at(standby, i)->is_at_end)
            return 0;
    return status == 0 ? standby->failing_us == 0 : status;
}

/* 1: this node owns all slots; 0: not yet; or -errno. */
static int elect(struct standby *standby)
{
    uint64_t now_us = clock_monotonic_us(standby->clock);
    enum election_action action = election_step(&standby->election, ownership_at(standby, standby->slots), now_us);
    if (action == ELECTION_LOOK) {
        int status = look(standby);
        if (status <= 0)
            return status;
        now_us = clock_monotonic_us(standby->clock);
        election_on_look(&standby->election, now_us);
        action = election_step(&standby->election, ownership_at(standby, standby->slots), now_us);
    }
    switch (action) {
    case ELECTION_TAKE_META:
        standby->begun_us = now_us;
        (void)take(standby, standby->slots);
        break;
    case ELECTION_TAKE_SLOTS: standby->is_taking = true; break;
    case ELECTION_STEP_DOWN: return -ERESTART;
    case ELECTION_SERVE: return 1;
    case ELECTION_LOOK:
    case ELECTION_NOTHING: break;
    }
    for (uint32_t i = 0; i < standby->slots && standby->is_taking; i++)
        take_slot(standby, i);
    return 0;
}

/* -- the loop -- */

static void note_owner(struct standby *standby)
{
    const struct ownership *meta = ownership_at(standby, standby->slots);
    /* The first batch is of `chitchat cluster init`. Behind its own TAKE the node is about to serve. */
    bool has_owner = meta->seen.number > 1 && meta->state == OWNERSHIP_FOLLOWS;
    if (!has_owner || standby->noted == meta->seen.generation || standby->is_taking)
        return;
    struct server *server = standby->recovery->server;
    standby->noted = meta->seen.generation;
    starting_say_owner(server->starting, meta->address);
    starting_say_owner(server->starting_admin, meta->address);
    if (!is_own_name(standby, meta->owner) || server->was_deposed) /* else this node serves soon */
        service_notify_standby(server, meta->owner, meta->address);
    log_line(LOG_INFO, "standby", "node=%s owner=%s address=\"%s\" generation=%llu", server->cluster->node, meta->owner,
             meta->address, (unsigned long long)meta->seen.generation);
}

/* All logs were read to their end for the first time. The owner that comes back need not wait for its own silence, but
 * who was deposed does: whoever has its name then is another process, and both would take the slots in turns. */
static void begin_to_watch(struct standby *standby)
{
    const struct server *server = standby->recovery->server;
    const struct ownership *meta = ownership_at(standby, standby->slots);
    bool was_owner = is_own_name(standby, meta->owner);
    bool at_once = (was_owner && !server->was_deposed) || meta->seen.number <= 1;
    if (was_owner && server->was_deposed)
        note_namesake(standby);
    standby->has_read = true;
    standby->watched_us = clock_monotonic_us(standby->clock);
    election_init(&standby->election, standby->slots, 0, at_once, standby->watched_us);
}

static void note_runs(struct standby *standby)
{
    struct store_info info;
    standby->runs_us = clock_monotonic_us(standby->clock);
    for (uint32_t i = 0; i < standby->slots; i++) {
        store_info(standby->recovery->server->cores[i]->runs.store, &info);
        standby->in_runs[i] = info.applied.generation;
    }
}

static bool has_entries(const struct standby *standby)
{
    for (uint32_t i = 0; i < standby->slots; i++)
        if (memtable_entry_count(standby->recovery->server->cores[i]->generations.filling) > 0)
            return true;
    return false;
}

/* The runs are written when memory fills; and now and then, so that the log need not keep what this node lacks. */
static int keep_runs(struct standby *standby)
{
    const struct config *config = standby->recovery->server->config;
    uint64_t age_us = clock_monotonic_us(standby->clock) - standby->runs_us;
    bool is_old = age_us >= RUNS_AGE_TIMES * seconds_us(config->checkpoint_s);
    bool is_due = recovery_is_filling(standby->recovery) || (is_old && has_entries(standby));
    if (!is_due || standby->is_taking)
        return 0;
    int status = recovery_write_all_runs(standby->recovery);
    note_runs(standby);
    return status;
}

static int follow(struct standby *standby)
{
    int status = 0;
    while (status == 0) {
        for (uint32_t i = 0; i <= standby->slots && status == 0; i++)
            status = advance(standby, i);
        if (status == 0)
            status = keep_runs(standby);
        if (status != 0)
            break;
        note_owner(standby);
        tick(standby);
        if (is_stopping())
            return -EINTR;
        if (!standby->has_read && standby->failing_us == 0)
            begin_to_watch(standby);
        if (standby->has_read)
            status = elect(standby);
        if (status == 0 && !standby->is_taking && standby->election.state == ELECTION_STANDBY)
            status = wait(standby, FOLLOW_MS);
    }
    return status;
}

static int open_meta(struct standby *standby)
{
    const struct cluster *cluster = standby->recovery->server->cluster;
    struct log_remote_error error;
    struct log_remote_options options = {.engine = cluster->engine,
                                         .where = &cluster->where,
                                         .node = cluster->node,
                                         .clock = standby->clock,
                                         .slot = standby->slots,
                                         .timeout_ms = CLUSTER_TIMEOUT_MS};
    (void)snprintf(standby->meta.survey.dir, sizeof standby->meta.survey.dir, "the meta log");
    int status = log_remote_open(&standby->meta.remote, &options, &error);
    if (status == 0)
        status = log_remote_seek(standby->meta.remote, (struct store_position){0}, NULL, &error);
    return status == 0 ? 0 : recovery_refuse(standby->recovery, status, "%s", error.text);
}

/* A call that comes before the logs are followed has failed. 1: it is made again; or -errno. */
static int on_early_error(struct standby *standby, int status, const char *text)
{
    if (!standby->recovery->server->was_deposed)
        return recovery_refuse(standby->recovery, status, "%s", text);
    status = on_error(standby, status, text);
    if (status == 0)
        return is_stopping() ? -EINTR : 1;
    return status;
}

/* Other nodes have asked the log what the cluster is before they opened the data directory. */
static int ask_what_it_is(struct standby *standby)
{
    struct datadir_meta meta;
    struct log_engine_report report;
    struct log_engine_error error = {""};
    struct datadir_error why;
    const struct server *server = standby->recovery->server;
    int status;
    do {
        status = cluster_ask(server->cluster, &report, &meta, &error);
        if (status != 0)
            status = on_early_error(standby, status, error.text);
    } while (status == 1);
    if (status == 0 && datadir_check_cluster(server->datadir, &meta, &why) != 0)
        return recovery_refuse(standby->recovery, -EINVAL, "%s", why.text);
    return status;
}

static int seek(struct standby *standby, struct old_wal *old)
{
    struct log_remote_error error;
    int status;
    do {
        status = recovery_log_seek(old, &error);
        if (status != 0)
            status = on_early_error(standby, status, error.text);
    } while (status == 1);
    return status;
}

static int seek_all(struct standby *standby)
{
    int status = standby->recovery->server->was_deposed ? ask_what_it_is(standby) : 0;
    for (uint32_t i = 0; i < standby->slots && status == 0; i++)
        status = seek(standby, &standby->recovery->old_wals[i]);
    standby->failing_us = 0;
    return status;
}

static int open_follower(struct standby *standby)
{
    const struct cluster *cluster = standby->recovery->server->cluster;
    struct log_engine_error error;
    standby->follows = calloc(standby->slots + 1, sizeof *standby->follows);
    standby->owned = calloc(standby->slots, sizeof *standby->owned);
    standby->written = calloc(standby->slots, sizeof *standby->written);
    standby->in_runs = calloc(standby->slots, sizeof *standby->in_runs);
    if (standby->follows == NULL || standby->owned == NULL || standby->written == NULL || standby->in_runs == NULL)
        return recovery_refuse(standby->recovery, -ENOMEM, "no memory to follow the log");
    for (uint32_t i = 0; i <= standby->slots; i++)
        standby->follows[i].slot = i;
    int status = cluster->engine->open(&standby->follower, &cluster->where, &error);
    return status == 0 ? 0 : recovery_refuse(standby->recovery, status, "%s", error.text);
}

static void note_takeover(const struct standby *standby)
{
    struct server *server = standby->recovery->server;
    struct cluster_metrics *metrics = &server->cluster_metrics;
    metric_set(&metrics->owner, 1);
    metric_set(&metrics->generation, standby->election.generation);
    metric_set(&metrics->lag, 0);
    metric_add(&metrics->takeovers, 1);
    log_line(LOG_INFO, "took_over", "node=%s generation=%llu after_ms=%llu", server->cluster->node,
             (unsigned long long)standby->election.generation,
             (unsigned long long)(clock_monotonic_us(standby->clock) - standby->begun_us) / 1000);
    warn_of_ts(standby);
}

/* Until the log says who the owner is. */
static void say_deposed(struct server *server)
{
    starting_say_owner(server->starting, "");
    starting_say_owner(server->starting_admin, "");
    service_notify_follows(server);
}

int recovery_standby(struct recovery *recovery)
{
    struct server *server = recovery->server;
    struct standby standby = {.recovery = recovery, .clock = server->clock, .slots = server->core_count};
    standby.caught_up_us = clock_monotonic_us(standby.clock);
    standby.report_us = standby.caught_up_us + TICK_US; /* a log that it cannot read is refused sooner */
    election_init(&standby.election, standby.slots, 0, false, clock_monotonic_us(standby.clock));
    int status = open_meta(&standby);
    if (status == 0)
        status = open_follower(&standby);
    if (status == 0) {
        note_runs(&standby);
        count(&standby, clock_monotonic_us(standby.clock));
        starting_show_metrics(server->starting_admin, server);
        if (server->was_deposed)
            say_deposed(server);
        status = seek_all(&standby);
    }
    if (status == 0)
        status = follow(&standby);
    if (status == 1)
        note_takeover(&standby);
    log_remote_close(&standby.meta.remote);
    if (standby.follower != NULL)
        server->cluster->engine->close(&standby.follower);
    free(standby.follows);
    free(standby.owned);
    free(standby.written);
    free(standby.in_runs);
    return status == 1 ? 0 : status;
}
