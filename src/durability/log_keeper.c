#include "durability/log_keeper.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "durability/node_report.h"
#include "server/core.h"
#include "storage/log_tail.h"

#define INTERVAL_US (60 * UINT64_C(1000000))
#define CLOCK_TEXT_BYTES 128u

struct log_keeper {
    struct core *core;
    struct log_session *session;
    struct worker *worker;
    bool is_out;
    bool has_failed;    /* the last job */
    uint64_t due_us;    /* when the next check is posted, monotonic */
    uint64_t report_us; /* of shard 0: when the next report is */
    char dir[PATH_MAX]; /* of the file of the tail */
    uint64_t written;   /* the number of the batch in it; 0: none by this keeper */
    bool is_unwritable; /* it could not be written, the last time */

    /* The job's while it is out. */
    struct worker_job job;
    bool is_check, is_report;
    struct ownership_mark tail;
    int tail_status; /* 0 or -errno */
    uint64_t below;  /* 0: nothing to purge yet */
    int status;      /* 0 or -errno */
    struct log_engine_report report;
    uint64_t wall_us; /* when it was made */
    struct log_engine_error error;
};

int log_keeper_open(struct log_keeper **keeper_r, struct core *core, struct log_engine_error *error_r)
{
    const struct cluster *cluster = core->server->cluster;
    struct log_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL)
        return -ENOMEM;
    keeper->core = core;
    int status = datadir_wal_path(core->server->datadir, core->index, keeper->dir, sizeof keeper->dir);
    if (status == 0)
        status = cluster->engine->open(&keeper->session, &cluster->where, error_r);
    if (status != 0) {
        free(keeper);
        return status;
    }
    *keeper_r = keeper;
    return 0;
}

void log_keeper_close(struct log_keeper **keeper_p)
{
    struct log_keeper *keeper = *keeper_p;
    *keeper_p = NULL;
    if (keeper == NULL)
        return;
    ASSERT(!keeper->is_out);
    keeper->core->server->cluster->engine->close(&keeper->session);
    free(keeper);
}

void log_keeper_start(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->log_keeper == NULL)
        return;
    core_open_worker(core, "log-keeper", SHARD_WORKER_BACKGROUND, &core->log_keeper->worker);
    core->log_keeper->due_us = shard_monotonic_us(core->shard); /* what an earlier start left is purged at once */
}

static void report_tail(struct log_keeper *keeper, int status)
{
    if (status != 0 && !keeper->is_unwritable)
        log_line(LOG_WARN, "log_tail_failed",
                 "dir=\"%s\" error=\"%s\" hint=\"a log that loses its end is noticed only below the last checkpoint: "
                 "look at the disk\"",
                 keeper->dir, strerror(-status));
    keeper->is_unwritable = status != 0;
}

void log_keeper_finish(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->log_keeper == NULL)
        return;
    struct log_keeper *keeper = core->log_keeper;
    const struct ownership_mark *newest = log_remote_newest(core->wal_writer.log.remote);
    ASSERT(!keeper->is_out);
    shard_worker_close(core->shard, &keeper->worker);
    if (newest->number != keeper->written)
        report_tail(keeper, log_tail_write(keeper->dir, core->index, newest));
}

bool log_keeper_is_busy(const struct core *core)
{
    return core->log_keeper != NULL && core->log_keeper->is_out;
}

static void on_forgotten(void *context, const char *name)
{
    const struct log_keeper *keeper = context;
    log_line(
        LOG_WARN, "node_forgotten",
        "node=%s away_s=%u hint=\"the log keeps nothing for it any more: start it on a copy of the data directory of "
        "another node, or remove it with chitchat cluster leave\"",
        name, keeper->core->server->config->log_keep_max_s);
}

static void check(struct log_keeper *keeper)
{
    const struct log_engine *engine = keeper->core->server->cluster->engine;
    if (keeper->core->index == 0)
        keeper->status = engine->check(keeper->session, CLUSTER_TIMEOUT_MS, &keeper->report, &keeper->error);
    keeper->wall_us = clock_wall_us(keeper->core->server->clock);
    if (keeper->status == 0 && keeper->core->index == 0)
        keeper->status = engine->forget(keeper->session, keeper->core->server->config->log_keep_max_s,
                                        CLUSTER_TIMEOUT_MS, on_forgotten, keeper, &keeper->error);
    if (keeper->status == 0 && keeper->below > 0)
        keeper->status =
            engine->purge(keeper->session, keeper->core->index, keeper->below, CLUSTER_TIMEOUT_MS, &keeper->error);
}

/* An owner whose clock has gone wrong since it took over: a standby would not take over with that. */
static void check_clock(struct log_keeper *keeper)
{
    char text[CLOCK_TEXT_BYTES];
    struct core *core = keeper->core;
    if (core->index == 0
        && !cluster_clock_is_right(&keeper->report, keeper->wall_us, &core->server->cluster_metrics, text, sizeof text))
        log_line(LOG_WARN, "clock_off", "reason=\"%s\" hint=\"set the clock: ts of messages follow it\"", text);
}

static void report_check(struct log_keeper *keeper)
{
    uint32_t shard = keeper->core->index;
    if (keeper->status != 0 && keeper->has_failed && !keeper->is_check)
        return;
    if (keeper->status != 0) {
        log_quotable(keeper->error.text);
        log_line(LOG_WARN, "log_check_failed",
                 "shard=%u error=\"%s\" hint=\"while the log servers do not promise the durability that was asked for, "
                 "nothing is acknowledged\"",
                 shard, keeper->error.text);
    } else if (keeper->has_failed) {
        log_line(LOG_INFO, "log_check_recovered", "shard=%u", shard);
    }
    keeper->has_failed = keeper->status != 0;
    if (!keeper->has_failed && keeper->is_check)
        check_clock(keeper);
}

/* On the keeper's thread. */
static void keep_work(struct worker_job *job)
{
    struct log_keeper *keeper = container_of(job, struct log_keeper, job);
    keeper->tail_status = 0;
    if (keeper->tail.number != keeper->written)
        keeper->tail_status = log_tail_write(keeper->dir, keeper->core->index, &keeper->tail);
    keeper->status = 0;
    if (keeper->is_report)
        keeper->status = node_report(keeper->core->server, keeper->session, &keeper->error);
    if (keeper->is_check && keeper->status == 0)
        check(keeper);
}

static void keep_done(struct worker_job *job)
{
    struct log_keeper *keeper = container_of(job, struct log_keeper, job);
    ASSERT_ON_SHARD(keeper->core->shard);
    keeper->is_out = false;
    report_tail(keeper, keeper->tail_status);
    if (keeper->tail_status == 0)
        keeper->written = keeper->tail.number;
    if (keeper->is_check || keeper->status != 0)
        report_check(keeper);
}

void log_keeper_tick(struct core *core)
{
    struct log_keeper *keeper = core->log_keeper;
    struct store_info info;
    ASSERT_ON_SHARD(core->shard);
    if (keeper == NULL || keeper->is_out || core->stop.step != STOP_NOT)
        return;
    uint64_t now_us = shard_monotonic_us(core->shard);
    keeper->tail = *log_remote_newest(core->wal_writer.log.remote);
    keeper->is_check = now_us >= keeper->due_us;
    keeper->is_report = core->index == 0 && now_us >= keeper->report_us;
    if (keeper->is_report)
        keeper->report_us = now_us + NODE_REPORT_US;
    if (!keeper->is_check && !keeper->is_report && keeper->tail.number == keeper->written)
        return;
    if (keeper->is_check) {
        keeper->due_us = now_us + INTERVAL_US;
        store_info(core->runs.store, &info);
        keeper->below = info.applied.generation; /* it stays: the next start compares it with what the runs have */
    }
    keeper->is_out = true;
    keeper->job = (struct worker_job){keep_work, keep_done};
    worker_post(keeper->worker, 0, &keeper->job);
}
