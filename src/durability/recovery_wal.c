/* recovery_private.h: what of recovery is of segment files alone. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "durability/recovery_private.h"
#include "durability/segment_recycler.h"
#include "storage/file.h"
#include "storage/page_guard.h"
#include "storage/wal/segment.h"

/* -- the WAL of the server that ran before -- */

static int survey_files(struct recovery *recovery, struct old_wal *old)
{
    struct store_info info;
    char dir[PATH_MAX];
    store_info(old->core->runs.store, &info);
    old->core->last_ts = info.last_ts > info.ts_max ? info.last_ts : info.ts_max;
    int status = datadir_wal_path(recovery->server->datadir, old->core->index, dir, sizeof dir);
    if (status != 0)
        return recovery_refuse(recovery, status,
                               "the path of the WAL of shard %u is too long: move the data directory to a shorter path",
                               old->core->index);
    status = wal_survey_read(&old->survey, dir, old->core->index, info.applied, store_assigned(old->core->runs.store));
    return status == 0 ? 0 : recovery_refuse(recovery, status, "%s", old->survey.error);
}

static int replay_file(struct recovery *recovery, struct old_wal *old, struct wal_file *file)
{
    struct recovery_replay context = {recovery, old};
    struct wal_scan scan;
    recovery->error->text[0] = '\0';
    int status = wal_survey_scan(&old->survey, file, recovery_replay_record, &context, &scan);
    if (status != 0)
        return recovery->error->text[0] != '\0' ? status : recovery_refuse(recovery, status, "%s", old->survey.error);
    if (scan.end == WAL_END_TORN) {
        recovery->report->torn_tails++;
        log_line(LOG_WARN, "torn_tail", "file=%s/segment-%06u.wal offset=%" PRIu64, old->survey.dir, file->number,
                 scan.end_bytes);
    }
    return 0;
}

static int replay_files(struct recovery *recovery, struct old_wal *old)
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

static int read_files(void *context)
{
    const struct reading *reading = context;
    return reading->read(reading->recovery, reading->old);
}

static int read_guarded(struct recovery *recovery, struct old_wal *old,
                        int (*read)(struct recovery *recovery, struct old_wal *old))
{
    struct reading reading = {recovery, old, read};
    recovery->error->text[0] = '\0';
    int status = page_guard_run(read_files, &reading);
    if (status != 0 && recovery->error->text[0] == '\0')
        return recovery_refuse(recovery, status,
                               "%s/segment-%06u.wal cannot be read: %s: look at the disk; nothing was changed",
                               old->survey.dir, old->survey.reading, strerror(-status));
    return status;
}

int recovery_wal_survey(struct recovery *recovery, struct old_wal *old)
{
    return read_guarded(recovery, old, survey_files);
}

int recovery_wal_replay(struct recovery *recovery, struct old_wal *old)
{
    return read_guarded(recovery, old, replay_files);
}

uint32_t recovery_wal_sealed_count(const struct old_wal *old)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < old->survey.file_count; i++)
        count += old->survey.files[i].is_live && old->survey.files[i].end_bytes > WAL_BLOCK_BYTES;
    return count;
}

void recovery_wal_drop(struct old_wal *old)
{
    for (uint32_t i = 0; i < old->survey.file_count; i++)
        old->survey.files[i].is_live = false;
}

/* -- the new WAL -- */

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
    struct wal_sealed *sealed = calloc(recovery_wal_sealed_count(old) + 1, sizeof *sealed);
    if (sealed == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < old->survey.file_count; i++) {
        const struct wal_file *file = &old->survey.files[i];
        if (file->is_live && file->end_bytes > WAL_BLOCK_BYTES)
            sealed[count++] = (struct wal_sealed){file->generation, file->end_bytes, file->number, -1, 0};
    }
    /* A write that a killed server began may still reach the disk, under any generation that it had assigned. Earlier
     * versions assigned none: one is skipped. */
    int status = wal_open(&core->wal_writer.log.file, &options, old->survey.generation_given + 1, sealed, count);
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

static const char *advice(int status)
{
    switch (status) {
    case -ENOSPC: return "make room";
    case -EFBIG: return "raise the limit of file size (ulimit -f, LimitFSIZE=)";
    default: return "remove the cause";
    }
}

int recovery_wal_begin(struct recovery *recovery, struct old_wal *old)
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
        return recovery_refuse(recovery, status, "%.900s: look at the disk", error.text);
    if (status != 0)
        return recovery_refuse(recovery, status, "%s: a new WAL segment cannot be created: %s: %s and start again",
                               old->survey.dir, strerror(-status), advice(status));
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
