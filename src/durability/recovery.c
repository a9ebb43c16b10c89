#include "durability/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "durability/segment_recycler.h"
#include "server/core.h"
#include "storage/datadir/backup_lock.h"
#include "storage/file.h"
#include "storage/page_guard.h"
#include "storage/wal/segment.h"
#include "storage/wal/wal_survey.h"

/* With so many old segments, recovery writes everything to runs before the start, so that they can be removed. */
#define SEALED_CHECKPOINT 64u

/* The WAL that one shard had before this start. */
struct old_wal {
    struct core *core;
    struct wal_survey survey;
};

struct recovery {
    struct server *server;
    struct old_wal *old_wals;
    struct recovery_report *report;
    struct recovery_error *error;
    bool has_no_room; /* a run could not be written: all that is replayed stays in memory */
};

/* Writes the error text; returns `code`. */
static int __attribute__((format(printf, 3, 4))) refuse(struct recovery *recovery, int code, const char *format, ...)
{
    va_list arguments;
    ASSERT(code < 0);
    va_start(arguments, format);
    vsnprintf(recovery->error->text, sizeof recovery->error->text, format, arguments);
    va_end(arguments);
    return code;
}

/* -- opening runs, surveying WALs -- */

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
        return refuse(recovery, status, "shard %u: no memory for recent messages: %s: set a smaller --memtable-bytes",
                      core->index, strerror(-status));
    status = store_open(&core->runs.store, dir, &options, &error);
    if (status != 0)
        return refuse(recovery, status, "%s", error.text);
    status = store_reader_open(&core->reads.store_reader, core->runs.store);
    if (status != 0)
        return refuse(recovery, status, "shard %u: the runs cannot be read: %s", core->index, strerror(-status));
    return 0;
}

static int survey_wal(struct recovery *recovery, struct old_wal *old)
{
    struct store_info info;
    char dir[PATH_MAX];
    store_info(old->core->runs.store, &info);
    old->core->last_ts = info.last_ts > info.ts_max ? info.last_ts : info.ts_max;
    int status = datadir_wal_path(recovery->server->datadir, old->core->index, dir, sizeof dir);
    if (status != 0)
        return refuse(recovery, status,
                      "the path of the WAL of shard %u is too long: move the data directory to a shorter path",
                      old->core->index);
    status = wal_survey_read(&old->survey, dir, old->core->index, info.applied, store_assigned(old->core->runs.store));
    return status == 0 ? 0 : refuse(recovery, status, "%s", old->survey.error);
}

/* -- replay -- */

static int refuse_memory(struct recovery *recovery, const struct core *core)
{
    return refuse(recovery, -ENOMEM, "shard %u: no memory for the messages of the WAL: give the server more memory%s",
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
        return refuse(recovery, status,
                      "shard %u: the records of the WAL cannot be written to a run: %s (%s): make room and start again",
                      core->index, error.text, strerror(-status));
    memtable_close(&core->generations.filling);
    status = core_open_memtable(core, &core->generations.filling);
    return status == 0 ? 0
                       : refuse(recovery, status,
                                "shard %u: no memory for recent messages: set a smaller --memtable-bytes", core->index);
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

struct replay_context {
    struct recovery *recovery;
    struct old_wal *old;
};

static int replay_cut(struct recovery *recovery, struct old_wal *old, const struct record_fields *fields)
{
    struct core *core = old->core;
    if (fields->to.bytes > 0 && core_shard_of(core, fields->to) != core->index)
        return refuse(recovery, -EBADMSG, "%s has a record of another shard: " WAL_SURVEY_ADVICE, old->survey.dir);
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
        return refuse(recovery, -EBADMSG, "%s has a record of another shard: " WAL_SURVEY_ADVICE, old->survey.dir);
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
static int replay_record(void *context, const struct record_fields *fields)
{
    struct replay_context *replay = context;
    struct recovery *recovery = replay->recovery;
    struct core *recipients = replay->old->core;
    struct core *senders = recovery->server->cores[core_shard_of(recipients, fields->from)];
    recovery->report->records++;
    if (fields->is_cut)
        return replay_cut(recovery, replay->old, fields);
    if (fields->is_mark)
        return replay_mark(recovery, replay->old, fields);
    if (core_shard_of(recipients, fields->to) != recipients->index || fields->ts_from == 0 || fields->ts_to == 0
        || fields->ts_from > LIMIT_TS_MAX || fields->ts_to > LIMIT_TS_MAX)
        return refuse(recovery, -EBADMSG, "%s has a record of another shard or without a valid ts: " WAL_SURVEY_ADVICE,
                      replay->old->survey.dir);
    if (span_equal(fields->from, fields->to))
        return insert_copy(recovery, recipients, fields, ROLE_SELF);
    int status = insert_copy(recovery, recipients, fields, ROLE_RECEIVED);
    return status == 0 ? insert_copy(recovery, senders, fields, ROLE_SENT) : status;
}

static int replay_file(struct recovery *recovery, struct old_wal *old, struct wal_file *file)
{
    struct replay_context context = {recovery, old};
    struct wal_scan scan;
    recovery->error->text[0] = '\0';
    int status = wal_survey_scan(&old->survey, file, replay_record, &context, &scan);
    if (status != 0)
        return recovery->error->text[0] != '\0' ? status : refuse(recovery, status, "%s", old->survey.error);
    if (scan.end == WAL_END_TORN) {
        recovery->report->torn_tails++;
        log_line(LOG_WARN, "torn_tail", "file=%s/segment-%06u.wal offset=%" PRIu64, old->survey.dir, file->number,
                 scan.end_bytes);
    }
    return 0;
}

static int replay_wal(struct recovery *recovery, struct old_wal *old)
{
    int status = 0;
    for (uint32_t i = 0; i < old->survey.file_count && status == 0; i++)
        if (old->survey.files[i].is_live)
            status = replay_file(recovery, old, &old->survey.files[i]);
    return status;
}

/* -- reading under a guard: a page of a mapped segment may be unreadable -- */

struct reading {
    struct recovery *recovery;
    struct old_wal *old;
    int (*read)(struct recovery *recovery, struct old_wal *old);
};

static int read_wal(void *context)
{
    const struct reading *reading = context;
    return reading->read(reading->recovery, reading->old);
}

static int read_guarded(struct recovery *recovery, struct old_wal *old,
                        int (*read)(struct recovery *recovery, struct old_wal *old))
{
    struct reading reading = {recovery, old, read};
    recovery->error->text[0] = '\0';
    int status = page_guard_run(read_wal, &reading);
    if (status != 0 && recovery->error->text[0] == '\0')
        return refuse(recovery, status, "%s/segment-%06u.wal cannot be read: %s: look at the disk; nothing was changed",
                      old->survey.dir, old->survey.reading, strerror(-status));
    return status;
}

/* -- new WALs -- */

/* The segments that are live and have batches. */
static uint32_t sealed_count(const struct old_wal *old)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < old->survey.file_count; i++)
        count += old->survey.files[i].is_live && old->survey.files[i].end_bytes > WAL_BLOCK_BYTES;
    return count;
}

/* Writes all that was replayed to runs, on every shard; then no old segment is needed any more. `applied` moves past a
 * WAL only when the runs of all shards are committed, since the WAL has records of users of other shards too. Without
 * room the segments stay. */
static int write_all_runs(struct recovery *recovery)
{
    struct store_info info;
    int status = 0;
    for (uint32_t i = 0; i < recovery->server->core_count && status == 0; i++) {
        store_info(recovery->server->cores[i]->runs.store, &info);
        status = write_run(recovery, recovery->server->cores[i], info.applied);
    }
    for (uint32_t i = 0; i < recovery->server->core_count && status == 0; i++)
        status = write_run(recovery, recovery->server->cores[i],
                           (struct store_position){recovery->old_wals[i].survey.generation_last + 1, 0});
    for (uint32_t i = 0; i < recovery->server->core_count && status == 0; i++)
        for (uint32_t k = 0; k < recovery->old_wals[i].survey.file_count; k++)
            recovery->old_wals[i].survey.files[k].is_live = false;
    return status < 0 ? status : 0;
}

static int write_header(struct core *core)
{
    struct wal_write write;
    uint64_t sequence;
    if (!wal_write_take_header(core->wal_writer.log.file, &write))
        return -ENOSPC;
    ssize_t written = pwrite(write.fd, write.data, write.bytes, (off_t)write.offset);
    return wal_write_done(core->wal_writer.log.file, written < 0 ? -errno : (int)written, &sequence);
}

/* What was replayed may have been read from the page cache and not be on the disk yet. */
static int sync_live(const struct old_wal *old)
{
    int status = 0;
    for (uint32_t i = 0; i < old->survey.file_count && status == 0; i++)
        if (old->survey.files[i].is_live)
            status = segment_sync(old->survey.dir, old->survey.files[i].number);
    return status == 0 ? segment_sync_dir(old->survey.dir) : status;
}

static int open_wal(struct core *core, const struct old_wal *old)
{
    struct store_info info;
    store_info(core->runs.store, &info);
    struct wal_options options = {core->index, core->server->config->wal_segment_bytes, info.applied};
    uint32_t count = 0;
    struct wal_sealed *sealed = calloc(sealed_count(old) + 1, sizeof *sealed);
    if (sealed == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < old->survey.file_count; i++) {
        const struct wal_file *file = &old->survey.files[i];
        if (file->is_live && file->end_bytes > WAL_BLOCK_BYTES)
            sealed[count++] = (struct wal_sealed){file->generation, file->end_bytes, file->number, -1, 0};
    }
    /* One generation is skipped: a write that a killed server began may still reach the disk under it. */
    int status = wal_open(&core->wal_writer.log.file, &options, old->survey.generation_last + 1, sealed, count);
    free(sealed);
    return status;
}

static uint32_t file_next(const struct old_wal *old)
{
    uint32_t next = 1;
    for (uint32_t i = 0; i < old->survey.file_count; i++)
        if (old->survey.files[i].number >= next)
            next = old->survey.files[i].number + 1;
    return next;
}

/* Spares of the server that ran before are not used again: a write of it may still reach one. */
static void remove_others(const struct old_wal *old)
{
    for (uint32_t i = 0; i < old->survey.file_count; i++) {
        const struct wal_file *file = &old->survey.files[i];
        if (!file->is_live || file->end_bytes <= WAL_BLOCK_BYTES)
            segment_remove(old->survey.dir, (struct wal_spare){file->number, -1});
    }
}

static int create_first(struct recovery *recovery, const struct old_wal *old, uint32_t number,
                        struct store_error *error)
{
    struct wal_spare spare;
    int status = segment_create(old->survey.dir, number, recovery->server->config->wal_segment_bytes, &spare);
    if (status != 0)
        return status;
    struct wal_assigned assigned;
    wal_assigned_read(old->core->wal_writer.log.file, &assigned);
    wal_assigned_add(&assigned, wal_generation_of_next_spare(old->core->wal_writer.log.file), number);
    status = store_assign(old->core->runs.store, &assigned, error);
    if (status == 0) {
        wal_give_spare(old->core->wal_writer.log.file, spare);
        return write_header(old->core);
    }
    /* After a commit in doubt the manifest may name the file. */
    if (file_has_no_room(status, old->survey.dir))
        segment_remove(old->survey.dir, spare);
    else
        close(spare.fd);
    return status;
}

/* Removes what no start needs, spares first of all, though no new header is durable yet. */
static bool make_room(struct old_wal *old)
{
    struct wal_assigned assigned;
    struct store_error error;
    bool has_removed = false;
    wal_assigned_read(old->core->wal_writer.log.file, &assigned);
    if (store_assign(old->core->runs.store, &assigned, &error) != 0)
        return false;
    for (uint32_t i = 0; i < old->survey.file_count; i++)
        if (!old->survey.files[i].is_live)
            has_removed |= segment_remove(old->survey.dir, (struct wal_spare){old->survey.files[i].number, -1}) == 0;
    return has_removed;
}

/* Begins the first segment. Without room for it, even when old spares are removed, the WAL has none for now: the
 * recycler makes it later, and *has_begun_r is false. Until then nothing durable says where the old segments were cut:
 * a write of a killed server that reaches the disk even after this start would be found by a start that comes before
 * there was room. */
static int first_segment(struct recovery *recovery, struct old_wal *old, uint32_t number, bool *has_begun_r,
                         struct store_error *error)
{
    int status = create_first(recovery, old, number, error);
    if (file_has_no_room(status, old->survey.dir) && make_room(old))
        status = create_first(recovery, old, number, error);
    *has_begun_r = status == 0;
    return file_has_no_room(status, old->survey.dir) ? 0 : status;
}

static int begin_wal(struct recovery *recovery, struct old_wal *old)
{
    struct core *core = old->core;
    struct store_info info;
    struct store_error error = {""};
    uint32_t next = file_next(old);
    store_info(core->runs.store, &info);
    core->runs.ts_max = info.ts_max;
    core->runs.count = info.run_count;
    int status = sync_live(old);
    if (status == 0)
        status = open_wal(core, old);
    bool has_begun = false;
    if (status == 0)
        status = first_segment(recovery, old, next, &has_begun, &error);
    if (status == 0)
        status = segment_recycler_open(&core->recycler, core, old->survey.dir, next + 1);
    if (status != 0 && error.text[0] != '\0')
        return refuse(recovery, status, "%.900s: look at the disk", error.text);
    if (status != 0)
        return refuse(recovery, status, "%s: a new WAL segment cannot be created: %s%s", old->survey.dir,
                      strerror(-status),
                      status == -ENOSPC ? ": make room and start again" : ": remove the cause and start again");
    if (has_begun)
        remove_others(old);
    else
        log_line(
            LOG_WARN, "no_room_at_start",
            "shard=%u dir=\"%s\" hint=\"no WAL segment can be made: history and logins are served, sends get busy; "
            "make room, and it goes on by itself\"",
            core->index, old->survey.dir);
    return 0;
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
    return status == 0 ? 0
                       : refuse(recovery, status, "%s/" BACKUP_LOCK_NAME " cannot be written: %s: look at the disk",
                                dir, strerror(-status));
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
            status = read_guarded(recovery, &recovery->old_wals[i], survey_wal);
    }
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = read_guarded(recovery, &recovery->old_wals[i], replay_wal);
    for (uint32_t i = 0; i < count && status == 0; i++)
        if (sealed_count(&recovery->old_wals[i]) > sealed_max)
            sealed_max = sealed_count(&recovery->old_wals[i]);
    if (status == 0 && sealed_max >= SEALED_CHECKPOINT)
        status = write_all_runs(recovery);
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = begin_wal(recovery, &recovery->old_wals[i]);
    return status;
}

static int check_clock(struct recovery *recovery)
{
    uint64_t wall_us = clock_wall_us(recovery->server->clock);
    if (wall_us <= LIMIT_TS_MAX)
        return 0;
    return refuse(recovery, -ERANGE,
                  "the system's clock says %" PRIu64 " s since 1970, and no ts can be above %" PRIu64
                  " s (the year 2255): set the clock and start again",
                  wall_us / 1000000, LIMIT_TS_MAX / 1000000);
}

/* What is older than --retention is gone before anybody can ask. Without room for that the first tick tries again. */
static int start_retention(struct recovery *recovery, const struct old_wal *old)
{
    struct store_error error = {""};
    int status = retention_start(old->core, &error);
    if (status == 0 || file_has_no_room(status, old->survey.dir))
        return 0;
    return refuse(recovery, status, "%.900s: look at the disk", error.text);
}

int recovery_run(struct server *server, struct recovery_report *report_r, struct recovery_error *error_r)
{
    ASSERT(server->core_count > 0);
    struct recovery recovery = {.server = server, .report = report_r, .error = error_r};
    *report_r = (struct recovery_report){.records = 0};
    recovery.old_wals = calloc(server->core_count, sizeof *recovery.old_wals);
    if (recovery.old_wals == NULL)
        return refuse(&recovery, -ENOMEM, "no memory to begin the recovery");
    int status = check_clock(&recovery);
    if (status == 0)
        status = recover(&recovery);
    for (uint32_t i = 0; i < server->core_count && status == 0; i++)
        core_start_clock(server->cores[i]);
    for (uint32_t i = 0; i < server->core_count && status == 0; i++)
        status = start_retention(&recovery, &recovery.old_wals[i]);
    for (uint32_t i = 0; i < server->core_count; i++)
        wal_survey_fini(&recovery.old_wals[i].survey);
    free(recovery.old_wals);
    return status;
}
