/* recovery_private.h: what of recovery is of a log engine alone. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "durability/log_maintenance.h"
#include "durability/recovery_private.h"
#include "storage/log_tail.h"

static int read_tail(struct recovery *recovery, struct old_wal *old)
{
    char dir[PATH_MAX];
    uint32_t slot = old->core->index;
    int status = datadir_wal_path(recovery->server->datadir, slot, dir, sizeof dir);
    if (status == 0)
        status = log_tail_read(dir, slot, &old->tail);
    return status == 0
               ? 0
               : recovery_refuse(recovery, status,
                                 "%s/" LOG_TAIL_NAME " cannot be read: %s: remove it to start without the check "
                                 "that the log has all that was acknowledged to this node",
                                 dir, strerror(-status));
}

int recovery_log_open(struct recovery *recovery, struct old_wal *old)
{
    const struct cluster *cluster = recovery->server->cluster;
    struct log_remote_error error;
    struct store_info info;
    struct log_remote_options options = {.engine = cluster->engine,
                                         .where = &cluster->where,
                                         .node = cluster->node,
                                         .clock = recovery->server->clock,
                                         .slot = old->core->index,
                                         .timeout_ms = CLUSTER_TIMEOUT_MS,
                                         .metrics = &old->core->slot_metrics.log};
    (void)snprintf(old->survey.dir, sizeof old->survey.dir, "slot %u of the log", old->core->index);
    store_info(old->core->runs.store, &info);
    old->core->last_ts = info.last_ts > info.ts_max ? info.last_ts : info.ts_max;
    int status = read_tail(recovery, old);
    if (status != 0)
        return status;
    status = log_remote_open(&old->remote, &options, &error);
    return status == 0 ? 0 : recovery_refuse(recovery, status, "%s", error.text);
}

int recovery_log_seek(struct old_wal *old, struct log_remote_error *error_r)
{
    struct store_info info;
    store_info(old->core->runs.store, &info);
    return log_remote_seek(old->remote, info.applied, &old->tail, error_r);
}

int recovery_log_begin(struct recovery *recovery, struct old_wal *old)
{
    struct core *core = old->core;
    struct store_info info;
    struct log_engine_error error = {"no memory for the log"};
    int status = log_maintenance_open(&core->log_maintenance, core, &error);
    if (status != 0)
        return recovery_refuse(recovery, status, "%s: %s", old->survey.dir, error.text);
    store_info(core->runs.store, &info);
    core->runs.ts_max = info.ts_max;
    core->runs.count = info.run_count;
    core->wal_writer.log.remote = old->remote;
    old->remote = NULL;
    return 0;
}
