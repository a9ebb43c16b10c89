/* recovery_private.h: what of recovery is of a log engine alone. */
#include <errno.h>
#include <stdio.h>

#include "durability/log_keeper.h"
#include "durability/recovery_private.h"

/* How long the log servers may not answer before the start is given up, and between two tries. */
#define ANSWER_US (30 * UINT64_C(1000000))
#define PAUSE_US UINT64_C(200000)

int recovery_log_seek(struct recovery *recovery, struct old_wal *old)
{
    const struct cluster *cluster = recovery->server->cluster;
    struct log_remote_error error;
    struct store_info info;
    struct log_remote_options options = {.engine = cluster->engine,
                                         .where = &cluster->where,
                                         .node = cluster->node,
                                         .clock = recovery->server->clock,
                                         .slot = old->core->index,
                                         .timeout_ms = CLUSTER_TIMEOUT_MS};
    (void)snprintf(old->survey.dir, sizeof old->survey.dir, "slot %u of the log", old->core->index);
    store_info(old->core->runs.store, &info);
    old->core->last_ts = info.last_ts > info.ts_max ? info.last_ts : info.ts_max;
    int status = log_remote_open(&old->remote, &options, &error);
    if (status == 0)
        status = log_remote_seek(old->remote, info.applied, &error);
    return status == 0 ? 0 : recovery_refuse(recovery, status, "%s", error.text);
}

/* One call of the engine. 1: it is made; 0: there is none to make; or -errno, when the engine has not answered for
 * long, or at once when it has refused. */
static int call(struct recovery *recovery, struct old_wal *old)
{
    struct clock *clock = recovery->server->clock;
    struct log_remote_error error;
    uint64_t begun_us = clock_monotonic_us(clock);
    for (;;) {
        int status = log_remote_call(old->remote, &error);
        if (status >= 0)
            return status;
        bool may_pass = status == -ETIMEDOUT || status == -ECONNABORTED;
        if (!may_pass || clock_monotonic_us(clock) - begun_us > ANSWER_US)
            return recovery_refuse(recovery, status, "%s", error.text);
        clock_sleep_us(clock, PAUSE_US);
    }
}

struct replay_context {
    struct recovery *recovery;
    struct old_wal *old;
};

static int replay_record(void *context, const struct record_fields *fields)
{
    const struct replay_context *replay = context;
    return recovery_replay_record(replay->recovery, replay->old, fields);
}

static void take(struct recovery *recovery, struct old_wal *old)
{
    struct clock *clock = recovery->server->clock;
    struct ownership *ownership = log_remote_ownership(old->remote);
    bool is_taken =
        ownership_take(ownership, ownership->seen.generation + 1, span_of(recovery->server->cluster->address),
                       clock_wall_us(clock), clock_monotonic_us(clock));
    ASSERT(is_taken);
}

int recovery_log_follow(struct recovery *recovery, struct old_wal *old)
{
    struct replay_context context = {recovery, old};
    struct ownership *ownership = log_remote_ownership(old->remote);
    int status = 1;
    recovery->error->text[0] = '\0';
    while (status > 0) {
        status = log_remote_apply(old->remote, replay_record, &context);
        if (status == 0 && ownership_may_take(ownership))
            take(recovery, old);
        if (status == 0)
            status = call(recovery, old);
    }
    if (status != 0 && recovery->error->text[0] == '\0')
        return recovery_refuse(recovery, status,
                               "%s has a batch that is no sequence of records, behind batch %llu: put the log back to "
                               "where it was, or start the version that wrote it",
                               old->survey.dir, (unsigned long long)ownership->applied.number);
    ASSERT(status != 0 || ownership_may_seal(ownership));
    return status;
}

int recovery_log_begin(struct recovery *recovery, struct old_wal *old)
{
    struct core *core = old->core;
    struct store_info info;
    struct log_engine_error error = {"no memory for the log"};
    int status = log_keeper_open(&core->log_keeper, core, &error);
    if (status != 0)
        return recovery_refuse(recovery, status, "%s: %s", old->survey.dir, error.text);
    store_info(core->runs.store, &info);
    core->runs.ts_max = info.ts_max;
    core->runs.count = info.run_count;
    core->wal_writer.log.remote = old->remote;
    old->remote = NULL;
    return 0;
}
