#include "durability/log_maintenance.h"

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

struct log_maintenance {
    struct core *core;
    struct log_session *session;
    struct worker *worker;
    bool is_out;
    bool has_failed;    /* the last job */
    uint64_t due_us;    /* when the next check is posted, monotonic */
    uint64_t report_us; /* of shard 0: when the next report is */
    char dir[PATH_MAX]; /* of the file of the tail */
    uint64_t written;   /* the number of the batch in it; 0: none by this process */
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

int log_maintenance_open(struct log_maintenance **maintenance_r, struct core *core, struct log_engine_error *error_r)
{
    const struct cluster *cluster = core->server->cluster;
    struct log_maintenance *maintenance = calloc(1, sizeof *maintenance);
    if (maintenance == NULL)
        return -ENOMEM;
    maintenance->core = core;
    int status = datadir_wal_path(core->server->datadir, core->index, maintenance->dir, sizeof maintenance->dir);
    if (status == 0)
        status = cluster->engine->open(&maintenance->session, &cluster->where, error_r);
    if (status != 0) {
        free(maintenance);
        return status;
    }
    *maintenance_r = maintenance;
    return 0;
}

void log_maintenance_close(struct log_maintenance **maintenance_p)
{
    struct log_maintenance *maintenance = *maintenance_p;
    *maintenance_p = NULL;
    if (maintenance == NULL)
        return;
    ASSERT(!maintenance->is_out);
    maintenance->core->server->cluster->engine->close(&maintenance->session);
    free(maintenance);
}

void log_maintenance_start(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->log_maintenance == NULL)
        return;
    core_open_worker(core, "log-upkeep", SHARD_WORKER_BACKGROUND, &core->log_maintenance->worker);
    core->log_maintenance->due_us = shard_monotonic_us(core->shard); /* what an earlier start left is purged at once */
}

static void report_tail(struct log_maintenance *maintenance, int status)
{
    if (status != 0 && !maintenance->is_unwritable)
        log_line(LOG_WARN, "log_tail_failed",
                 "dir=\"%s\" error=\"%s\" hint=\"a log that loses its end is noticed only below the last checkpoint: "
                 "look at the disk\"",
                 maintenance->dir, strerror(-status));
    maintenance->is_unwritable = status != 0;
}

void log_maintenance_finish(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->log_maintenance == NULL)
        return;
    struct log_maintenance *maintenance = core->log_maintenance;
    const struct ownership_mark *newest = log_remote_newest(core->wal_writer.log.remote);
    ASSERT(!maintenance->is_out);
    shard_worker_close(core->shard, &maintenance->worker);
    if (newest->number != maintenance->written)
        report_tail(maintenance, log_tail_write(maintenance->dir, core->index, newest));
}

bool log_maintenance_is_busy(const struct core *core)
{
    return core->log_maintenance != NULL && core->log_maintenance->is_out;
}

static void on_forgotten(void *context, const char *name)
{
    const struct log_maintenance *maintenance = context;
    log_line(
        LOG_WARN, "node_forgotten",
        "node=%s away_s=%u hint=\"the log keeps nothing for it any more: start it on a copy of the data directory of "
        "another node, or remove it with chitchat cluster leave\"",
        name, maintenance->core->server->config->log_keep_max_s);
}

static void check(struct log_maintenance *maintenance)
{
    const struct log_engine *engine = maintenance->core->server->cluster->engine;
    if (maintenance->core->index == 0)
        maintenance->status =
            engine->check(maintenance->session, CLUSTER_TIMEOUT_MS, &maintenance->report, &maintenance->error);
    maintenance->wall_us = clock_wall_us(maintenance->core->server->clock);
    if (maintenance->status == 0 && maintenance->core->index == 0)
        maintenance->status = engine->forget(maintenance->session, maintenance->core->server->config->log_keep_max_s,
                                             CLUSTER_TIMEOUT_MS, on_forgotten, maintenance, &maintenance->error);
    if (maintenance->status == 0 && maintenance->below > 0)
        maintenance->status = engine->purge(maintenance->session, maintenance->core->index, maintenance->below,
                                            CLUSTER_TIMEOUT_MS, &maintenance->error);
}

/* An owner whose clock has gone wrong since it took over: a standby would not take over with that. */
static void check_clock(struct log_maintenance *maintenance)
{
    char text[CLOCK_TEXT_BYTES];
    struct core *core = maintenance->core;
    if (core->index == 0
        && !cluster_clock_is_right(&maintenance->report, maintenance->wall_us, &core->server->cluster_metrics, text,
                                   sizeof text))
        log_line(LOG_WARN, "clock_off", "reason=\"%s\" hint=\"set the clock: ts of messages follow it\"", text);
}

static void report_check(struct log_maintenance *maintenance)
{
    uint32_t shard = maintenance->core->index;
    if (maintenance->status != 0 && maintenance->has_failed && !maintenance->is_check)
        return;
    if (maintenance->status != 0) {
        log_quotable(maintenance->error.text);
        log_line(LOG_WARN, "log_check_failed",
                 "shard=%u error=\"%s\" hint=\"while the log servers do not promise the durability that was asked for, "
                 "nothing is acknowledged\"",
                 shard, maintenance->error.text);
    } else if (maintenance->has_failed) {
        log_line(LOG_INFO, "log_check_recovered", "shard=%u", shard);
    }
    maintenance->has_failed = maintenance->status != 0;
    if (!maintenance->has_failed && maintenance->is_check)
        check_clock(maintenance);
}

/* On the maintenance's thread. */
static void keep_work(struct worker_job *job)
{
    struct log_maintenance *maintenance = container_of(job, struct log_maintenance, job);
    maintenance->tail_status = 0;
    if (maintenance->tail.number != maintenance->written)
        maintenance->tail_status = log_tail_write(maintenance->dir, maintenance->core->index, &maintenance->tail);
    maintenance->status = 0;
    if (maintenance->is_report)
        maintenance->status = node_report(maintenance->core->server, maintenance->session, &maintenance->error);
    if (maintenance->is_check && maintenance->status == 0)
        check(maintenance);
}

static void keep_done(struct worker_job *job)
{
    struct log_maintenance *maintenance = container_of(job, struct log_maintenance, job);
    ASSERT_ON_SHARD(maintenance->core->shard);
    maintenance->is_out = false;
    report_tail(maintenance, maintenance->tail_status);
    if (maintenance->tail_status == 0)
        maintenance->written = maintenance->tail.number;
    if (maintenance->is_check || maintenance->status != 0)
        report_check(maintenance);
}

void log_maintenance_tick(struct core *core)
{
    struct log_maintenance *maintenance = core->log_maintenance;
    struct store_info info;
    ASSERT_ON_SHARD(core->shard);
    if (maintenance == NULL || maintenance->is_out || core->stop.step != STOP_NOT)
        return;
    uint64_t now_us = shard_monotonic_us(core->shard);
    maintenance->tail = *log_remote_newest(core->wal_writer.log.remote);
    maintenance->is_check = now_us >= maintenance->due_us;
    maintenance->is_report = core->index == 0 && now_us >= maintenance->report_us;
    if (maintenance->is_report)
        maintenance->report_us = now_us + NODE_REPORT_US;
    if (!maintenance->is_check && !maintenance->is_report && maintenance->tail.number == maintenance->written)
        return;
    if (maintenance->is_check) {
        maintenance->due_us = now_us + INTERVAL_US;
        store_info(core->runs.store, &info);
        maintenance->below = info.applied.generation; /* it stays: the next start compares it with what the runs have */
    }
    maintenance->is_out = true;
    maintenance->job = (struct worker_job){keep_work, keep_done};
    worker_post(maintenance->worker, 0, &maintenance->job);
}
