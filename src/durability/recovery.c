#include "durability/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "durability/recovery_private.h"
#include "durability/recovery_standby.h"
#include "server/core.h"
#include "storage/datadir/backup_lock.h"
#include "storage/file.h"

/* With so many old segments, recovery writes everything to runs before the start, so that they can be removed. */
#define SEALED_CHECKPOINT 64u

int recovery_refuse(struct recovery *recovery, int code, const char *format, ...)
{
    va_list arguments;
    ASSERT(code < 0);
    va_start(arguments, format);
    vsnprintf(recovery->error->text, sizeof recovery->error->text, format, arguments);
    va_end(arguments);
    return code;
}

/* -- opening runs -- */

static int open_storage(struct recovery *recovery, struct core *core)
{
    struct store_options options = {
        .runs_max = CORE_RUNS_MAX, .fan_out = CORE_RUNS_FAN_OUT, .data_dir = datadir_path(recovery->server->datadir)};
    struct store_error error;
    char dir[PATH_MAX];
    int status = datadir_runs_path(recovery->server->datadir, core->index, dir, sizeof dir);
    if (status == 0)
        status = record_heap_open(&core->generations.heap, core->budget.heap_bytes);
    if (status == 0)
        status = core_open_memtable(core, &core->generations.filling);
    if (status != 0)
        return recovery_refuse(recovery, status,
                               "shard %u: no memory for recent messages: %s: set a smaller --memtable-bytes",
                               core->index, strerror(-status));
    status = store_open(&core->runs.store, dir, &options, &error);
    if (status != 0)
        return recovery_refuse(recovery, status, "%s", error.text);
    status = store_reader_open(&core->reads.store_reader, core->runs.store);
    if (status != 0)
        return recovery_refuse(recovery, status, "shard %u: the runs cannot be read: %s", core->index,
                               strerror(-status));
    return 0;
}

/* -- replay -- */

static int refuse_memory(struct recovery *recovery, const struct core *core)
{
    return recovery_refuse(
        recovery, -ENOMEM, "shard %u: no memory for the messages of the WAL: give the server more memory%s",
        core->index, recovery->has_no_room ? ", or make room on the disk, so that they can go to runs" : "");
}

/* Writes the generation that was filled as a run and begins a new one. `applied`: up to where the runs have the WAL
 * then. 1: there is no room, the generation stays as it is. 0 or -errno. */
static int write_run(struct recovery *recovery, struct core *core, struct store_position applied)
{
    struct run_source *source;
    struct store_error error = {""};
    int status = 0;
    while (store_is_at_cap(core->runs.store) && status == 0)
        status = store_merge_run(core->runs.store, NULL, NULL, &error);
    memtable_freeze(core->generations.filling);
    if (status == 0)
        status = memtable_source_open(&source, core->generations.filling);
    if (status == 0) {
        status = store_add_run(core->runs.store, source, applied, core->last_ts, &error);
        run_source_close(&source);
    }
    if (file_has_no_room(status, datadir_path(recovery->server->datadir))) {
        memtable_thaw(core->generations.filling);
        recovery->has_no_room = true;
        return 1;
    }
    if (status != 0)
        return recovery_refuse(
            recovery, status,
            "shard %u: the records of the WAL cannot be written to a run: %s (%s): make room and start again",
            core->index, error.text, strerror(-status));
    memtable_close(&core->generations.filling);
    status = core_open_memtable(core, &core->generations.filling);
    return status == 0 ? 0
                       : recovery_refuse(recovery, status,
                                         "shard %u: no memory for recent messages: set a smaller --memtable-bytes",
                                         core->index);
}

/* 0 or -errno. */
static int write_run_if_full(struct recovery *recovery, struct core *core)
{
    struct store_info info;
    if (recovery->has_no_room || memtable_bytes(core->generations.filling) < recovery->server->config->memtable_bytes)
        return 0;
    store_info(core->runs.store, &info);
    int status = write_run(recovery, core, info.applied);
    return status < 0 ? status : 0;
}

static int insert_record(struct recovery *recovery, struct core *core, struct record *record, enum role role,
                         uint64_t ts)
{
    ASSERT(ts > 0 && ts <= LIMIT_TS_MAX);
    if (ts > core->last_ts)
        core->last_ts = ts;
    if (memtable_insert(core->generations.filling, record, role) != 0)
        return refuse_memory(recovery, core);
    return write_run_if_full(recovery, core);
}

static int insert_copy(struct recovery *recovery, struct core *core, const struct record_fields *fields, enum role role)
{
    struct record *record =
        record_heap_take(core->generations.heap, fields->from, fields->to, fields->key, fields->text);
    if (record == NULL)
        return refuse_memory(recovery, core);
    record->ts_from = fields->ts_from;
    record->ts_to = fields->ts_to;
    memcpy(record->mid, fields->mid, sizeof record->mid);
    int status = insert_record(recovery, core, record, role, role == ROLE_RECEIVED ? fields->ts_to : fields->ts_from);
    record_heap_unref(core->generations.heap, &record);
    return status;
}

static int replay_cut(struct recovery *recovery, struct old_wal *old, const struct record_fields *fields)
{
    struct core *core = old->core;
    if (fields->to.bytes > 0 && core_shard_of(core, fields->to) != core->index)
        return recovery_refuse(recovery, -EBADMSG, "%s has a record of another shard: " WAL_SURVEY_ADVICE,
                               old->survey.dir);
    if (fields->ts_to > core->last_ts)
        core->last_ts = fields->ts_to;
    int status = FAULT(CUT_LOST_IN_RECOVERY) ? 0 : store_cut(core->runs.store, fields->to, fields->ts_to);
    return status == 0 ? 0 : refuse_memory(recovery, core);
}

/* The user's shard is the WAL's, the peer's may be another. The order of marks does not matter: the highest counts. */
static int replay_mark(struct recovery *recovery, struct old_wal *old, const struct record_fields *fields)
{
    struct core *users = old->core;
    struct core *peers = recovery->server->cores[core_shard_of(users, fields->key)];
    if (core_shard_of(users, fields->to) != users->index)
        return recovery_refuse(recovery, -EBADMSG, "%s has a record of another shard: " WAL_SURVEY_ADVICE,
                               old->survey.dir);
    if (FAULT(SEEN_LOST_IN_RECOVERY))
        return 0;
    struct seen_marks seen = {.seen = fields->ts_to}, seen_by = {.seen_by = fields->ts_from};
    if (memtable_mark(users->generations.filling, fields->to, fields->key, seen) != 0)
        return refuse_memory(recovery, users);
    if (memtable_mark(peers->generations.filling, fields->key, fields->to, seen_by) != 0)
        return refuse_memory(recovery, peers);
    int status = write_run_if_full(recovery, users);
    return status == 0 && peers != users ? write_run_if_full(recovery, peers) : status;
}

/* Puts the record into both timelines: the recipient's shard is the WAL's, the sender's may be another. */
int recovery_replay_record(void *context, const struct record_fields *fields)
{
    const struct recovery_replay *replay = context;
    struct recovery *recovery = replay->recovery;
    struct old_wal *old = replay->old;
    struct core *recipients = old->core;
    struct core *senders = recovery->server->cores[core_shard_of(recipients, fields->from)];
    recovery->report->records++;
    if (fields->is_cut)
        return replay_cut(recovery, old, fields);
    if (fields->is_mark)
        return replay_mark(recovery, old, fields);
    if (core_shard_of(recipients, fields->to) != recipients->index || fields->ts_from == 0 || fields->ts_to == 0
        || fields->ts_from > LIMIT_TS_MAX || fields->ts_to > LIMIT_TS_MAX)
        return recovery_refuse(recovery, -EBADMSG,
                               "%s has a record of another shard or without a valid ts: " WAL_SURVEY_ADVICE,
                               old->survey.dir);
    if (span_equal(fields->from, fields->to))
        return insert_copy(recovery, recipients, fields, ROLE_SELF);
    int status = insert_copy(recovery, recipients, fields, ROLE_RECEIVED);
    return status == 0 ? insert_copy(recovery, senders, fields, ROLE_SENT) : status;
}

/* -- the steps -- */

/* Behind all that was replayed. */
static struct store_position replayed_position(const struct old_wal *old)
{
    return old->remote != NULL ? log_remote_position(old->remote)
                               : (struct store_position){old->survey.generation_given + 1, 0};
}

bool recovery_is_filling(const struct recovery *recovery)
{
    for (uint32_t i = 0; i < recovery->server->core_count && !recovery->has_no_room; i++)
        if (memtable_bytes(recovery->server->cores[i]->generations.filling)
            >= recovery->server->config->memtable_bytes / 2)
            return true;
    return false;
}

/* `applied` moves past a log only when the runs of all shards are committed, since the log has records of users of
 * other shards too. */
int recovery_write_all_runs(struct recovery *recovery)
{
    struct store_info info;
    int status = 0;
    for (uint32_t i = 0; i < recovery->server->core_count && status == 0; i++) {
        store_info(recovery->server->cores[i]->runs.store, &info);
        status = write_run(recovery, recovery->server->cores[i], info.applied);
    }
    for (uint32_t i = 0; i < recovery->server->core_count && status == 0; i++)
        status = write_run(recovery, recovery->server->cores[i], replayed_position(&recovery->old_wals[i]));
    for (uint32_t i = 0; i < recovery->server->core_count && status == 0; i++)
        recovery_wal_drop(&recovery->old_wals[i]);
    return status < 0 ? status : 0;
}

/* A start removes segments and runs at once. A backup that has locked them, of the server that ran before, is
 * overtaken. */
static int overtake_backup(struct recovery *recovery)
{
    const char *dir = datadir_path(recovery->server->datadir);
    int lock_fd = backup_lock_share(dir);
    int status = lock_fd < 0 ? backup_lock_overtake(dir) : 0;
    backup_lock_give(lock_fd);
    /* Where the lock's file cannot be made there is no backup. */
    if (lock_fd != -EBUSY && file_has_no_room(status, dir))
        return 0;
    return status == 0
               ? 0
               : recovery_refuse(recovery, status, "%s/" BACKUP_LOCK_NAME " cannot be written: %s: look at the disk",
                                 dir, strerror(-status));
}

/* -- the log: segment files, or that of a cluster -- */

static int find_log(struct recovery *recovery, struct old_wal *old)
{
    return recovery->server->cluster != NULL ? recovery_log_open(recovery, old) : recovery_wal_survey(recovery, old);
}

static int replay_logs(struct recovery *recovery)
{
    int status = 0;
    if (recovery->server->cluster != NULL)
        return recovery_standby(recovery);
    for (uint32_t i = 0; i < recovery->server->core_count && status == 0; i++)
        status = recovery_wal_replay(recovery, &recovery->old_wals[i]);
    return status;
}

static int begin_log(struct recovery *recovery, struct old_wal *old)
{
    return recovery->server->cluster != NULL ? recovery_log_begin(recovery, old) : recovery_wal_begin(recovery, old);
}

static int recover(struct recovery *recovery)
{
    uint32_t count = recovery->server->core_count;
    int status = overtake_backup(recovery);
    uint32_t sealed_max = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        recovery->old_wals[i].core = recovery->server->cores[i];
        status = open_storage(recovery, recovery->old_wals[i].core);
        if (status == 0)
            status = find_log(recovery, &recovery->old_wals[i]);
    }
    if (status == 0)
        status = replay_logs(recovery);
    for (uint32_t i = 0; i < count && status == 0; i++)
        if (recovery_wal_sealed_count(&recovery->old_wals[i]) > sealed_max)
            sealed_max = recovery_wal_sealed_count(&recovery->old_wals[i]);
    if (status == 0 && sealed_max >= SEALED_CHECKPOINT)
        status = recovery_write_all_runs(recovery);
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = begin_log(recovery, &recovery->old_wals[i]);
    return status;
}

static int check_clock(struct recovery *recovery)
{
    uint64_t wall_us = clock_wall_us(recovery->server->clock);
    if (wall_us <= LIMIT_TS_MAX)
        return 0;
    return recovery_refuse(recovery, -ERANGE,
                           "the system's clock says %" PRIu64 " s since 1970, and no ts can be above %" PRIu64
                           " s (the year 2255): set the clock and start again",
                           wall_us / 1000000, LIMIT_TS_MAX / 1000000);
}

/* What is older than --retention is gone before anybody can ask. Without room for that the first tick tries again. */
static int start_retention(struct recovery *recovery, const struct old_wal *old)
{
    struct store_error error = {""};
    int status = retention_start(old->core, &error);
    if (status == 0 || file_has_no_room(status, datadir_path(recovery->server->datadir)))
        return 0;
    return recovery_refuse(recovery, status, "%.900s: look at the disk", error.text);
}

int recovery_run(struct server *server, struct recovery_report *report_r, struct recovery_error *error_r)
{
    ASSERT(server->core_count > 0);
    struct recovery recovery = {.server = server, .report = report_r, .error = error_r};
    *report_r = (struct recovery_report){.records = 0};
    recovery.old_wals = calloc(server->core_count, sizeof *recovery.old_wals);
    if (recovery.old_wals == NULL)
        return recovery_refuse(&recovery, -ENOMEM, "no memory to begin the recovery");
    int status = check_clock(&recovery);
    if (status == 0)
        status = recover(&recovery);
    for (uint32_t i = 0; i < server->core_count && status == 0; i++)
        core_start_clock(server->cores[i]);
    for (uint32_t i = 0; i < server->core_count && status == 0; i++)
        status = start_retention(&recovery, &recovery.old_wals[i]);
    for (uint32_t i = 0; i < server->core_count; i++) {
        wal_survey_fini(&recovery.old_wals[i].survey);
        log_remote_close(&recovery.old_wals[i].remote);
    }
    free(recovery.old_wals);
    return status;
}
