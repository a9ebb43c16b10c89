#include "storage/offline/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/backup_lock.h"
#include "storage/datadir/datadir_make.h"
#include "storage/offline/backup_private.h"

int backup_refuse(struct backup_error *error, int code, const char *format, ...)
{
    va_list arguments;
    ASSERT(code < 0);
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}

static int refuse_difference(struct backup_error *error, const struct copy_difference *difference, const char *from,
                             const char *to)
{
    if (difference->is_source)
        return backup_refuse(error, -EBADMSG,
                             "%s has %" PRIu64 " bytes instead of %" PRIu64
                             ": it was changed while it was copied, or is damaged: make the copy again, and if this "
                             "repeats, run `chitchat verify`",
                             from, difference->bytes_found, difference->bytes_wanted);
    return backup_refuse(
        error, -EBADMSG,
        "%s is not what was written to it: %" PRIu64 " bytes with the checksum %08" PRIx32 " were written, %" PRIu64
        " bytes with %08" PRIx32 " were read back: its disk does not keep what is written: use another one",
        to, difference->bytes_wanted, difference->crc_wanted, difference->bytes_found, difference->crc_found);
}

int backup_refuse_copy(struct backup_error *error, const struct copy_report *report, int code, const char *from,
                       const char *to)
{
    if (code == -EBADMSG && report != NULL)
        return refuse_difference(error, &report->difference, from, to);
    return backup_refuse(error, code, "%s cannot be written: %s%s", to, strerror(-code),
                         code == -ENOSPC || code == -EDQUOT ? ": make room on that disk, or use another one" : "");
}

/* -- runs and manifests -- */

/* Links to the file in the backup before, if that has the run. False: the run has to be copied. */
static bool link_before(struct backup *backup, struct backup_shard *shard, const struct run_entry *entry,
                        const char *to)
{
    char path[RUN_PATH_BYTES];
    for (uint32_t i = 0; i < shard->before.count; i++) {
        if (!backup_is_same_run(&shard->before.entries[i], entry))
            continue;
        run_path(path, shard->before_runs, entry->id);
        bool is_linked = copy_link(path, entry->file_bytes, to, &backup->report->files) == 0;
        backup->report->shared += is_linked;
        return is_linked;
    }
    return false;
}

/* A run that cannot be linked is opened and locked: so the file stays whole after the server has merged the run. */
static int take_run(struct backup *backup, struct backup_shard *shard, uint32_t index)
{
    char from[RUN_PATH_BYTES], to[RUN_PATH_BYTES];
    const struct run_entry *entry = &shard->state.entries[index];
    struct backup_run *run = &shard->runs[index];
    run_path(from, shard->from_runs, entry->id);
    run_path(to, shard->to_runs, entry->id);
    run->fd = -1;
    backup->report->runs++;
    int status = copy_link(from, entry->file_bytes, to, &backup->report->files);
    if (status == 0)
        return 0;
    if (status == -EBADMSG)
        return backup_refuse_copy(backup->error, &backup->report->files, status, from, to);
    if (link_before(backup, shard, entry, to))
        return 0;
    run->is_copied = true;
    run->fd = copy_open(from);
    if (run->fd >= 0)
        return 0;
    return backup_refuse(backup->error, run->fd, "%s cannot be read: %s", from, strerror(-run->fd));
}

/* A manifest of the backup before that cannot be read has no runs to share. */
static void read_before(struct backup_shard *shard)
{
    char path[RUN_PATH_BYTES];
    struct store_error error = {""};
    if (shard->before_runs[0] == '\0')
        return;
    snprintf(path, sizeof path, "%.900s/manifest.mdb", shard->before_runs);
    if (manifest_read(path, false, &shard->before, &error) != 0)
        shard->before.count = 0;
}

static int take_runs(struct backup *backup, struct backup_shard *shard)
{
    char path[RUN_PATH_BYTES];
    struct store_error error = {""};
    ASSERT(shard->runs == NULL);
    snprintf(path, sizeof path, "%.900s/manifest.mdb", shard->from_runs);
    int status = manifest_read(path, datadir_is_live(backup->from), &shard->state, &error);
    if (status != 0)
        return backup_refuse(backup->error, status, "%s", error.text[0] != 0 ? error.text : "no memory");
    shard->runs = calloc(shard->state.count + 1, sizeof *shard->runs);
    if (shard->runs == NULL)
        return backup_refuse(backup->error, -ENOMEM, "no memory");
    read_before(shard);
    for (uint32_t i = 0; i < shard->state.count && status == 0; i++) {
        status = take_run(backup, shard, i);
        shard->run_count += status == 0;
    }
    return status;
}

/* Each file is closed when it is copied, so that the server can remove those of merged runs. */
static int copy_run(struct backup *backup, struct backup_shard *shard, uint32_t index)
{
    char from[RUN_PATH_BYTES], to[RUN_PATH_BYTES];
    const struct run_entry *entry = &shard->state.entries[index];
    struct backup_run *run = &shard->runs[index];
    ASSERT(run->is_copied && run->fd >= 0);
    run_path(from, shard->from_runs, entry->id);
    run_path(to, shard->to_runs, entry->id);
    int status = copy_fd(run->fd, entry->file_bytes, to, &backup->report->files);
    close(run->fd);
    run->fd = -1;
    return status == 0 ? 0 : backup_refuse_copy(backup->error, &backup->report->files, status, from, to);
}

static int copy_runs(struct backup *backup, struct backup_shard *shard)
{
    int status = 0;
    for (uint32_t i = 0; i < shard->run_count && status == 0; i++)
        if (shard->runs[i].fd >= 0)
            status = copy_run(backup, shard, i);
    if (status != 0)
        return status;
    return backup_check_runs(backup->from, shard->index, shard->to_runs, &shard->state, shard->runs, BACKUP_RUN_ADVICE,
                             backup->error);
}

int backup_write_manifest(const char *dir, struct manifest_state *state, struct backup_error *error)
{
    char path[RUN_PATH_BYTES], lock_path[RUN_PATH_BYTES + 8];
    struct manifest *manifest;
    struct manifest_state made;
    struct store_error why = {""};
    snprintf(path, sizeof path, "%.900s/manifest.mdb", dir);
    snprintf(lock_path, sizeof lock_path, "%s-lock", path);
    int status = manifest_make(path, &state->marks);
    if (status == 0)
        status = manifest_open(&manifest, path, &made, &why);
    if (status == -EBADMSG)
        return backup_refuse_manifest(error, path);
    if (status != 0)
        return backup_refuse_copy(error, NULL, status, NULL, path);
    for (uint32_t i = 0; i < state->count && status == 0; i++)
        status = manifest_commit(manifest, &state->marks, &state->entries[i], NULL, 0);
    if (status == 0)
        status = manifest_assign(manifest, &state->assigned);
    for (uint32_t i = 0; i < state->cuts.count; i++)
        state->cuts.list[i]->is_saved = false;
    if (status == 0)
        status = manifest_save_cuts(manifest, &state->cuts);
    manifest_close(&manifest);
    manifest_state_fini(&made);
    if (status == 0 && unlink(lock_path) != 0)
        status = -errno;
    if (status == 0)
        status = segment_sync_dir(dir);
    if (status != 0)
        return backup_refuse_copy(error, NULL, status, NULL, path);
    return backup_check_manifest(dir, state, error);
}

static int write_manifest(struct backup *backup, struct backup_shard *shard)
{
    return backup_write_manifest(shard->to_runs, &shard->state, backup->error);
}

/* -- in order -- */

static int for_each(struct backup *backup, int (*step)(struct backup *backup, struct backup_shard *shard))
{
    int status = 0;
    for (uint32_t i = 0; i < backup->shard_count && status == 0; i++)
        status = step(backup, &backup->shards[i]);
    return status;
}

static int take_paths(struct backup *backup, const char *to)
{
    const char *before = backup->options->before;
    for (uint32_t i = 0; i < backup->shard_count; i++) {
        struct backup_shard *shard = &backup->shards[i];
        shard->index = i;
        int wal = snprintf(shard->to_wal, sizeof shard->to_wal, "%s/" DATADIR_SHARD_FORMAT "/" DATADIR_WAL, to, i);
        int runs = snprintf(shard->to_runs, sizeof shard->to_runs, "%s/" DATADIR_SHARD_FORMAT "/" DATADIR_RUNS, to, i);
        int old = before == NULL ? 0
                                 : snprintf(shard->before_runs, sizeof shard->before_runs,
                                            "%s/" DATADIR_SHARD_FORMAT "/" DATADIR_RUNS, before, i);
        if (wal >= (int)sizeof shard->to_wal - 64 || old >= (int)sizeof shard->before_runs - 64
            || runs >= (int)sizeof shard->to_runs - 64
            || datadir_wal_path(backup->from, i, shard->from_wal, sizeof shard->from_wal - 64) != 0
            || datadir_runs_path(backup->from, i, shard->from_runs, sizeof shard->from_runs - 64) != 0)
            return backup_refuse(backup->error, -ENAMETOOLONG, "%s: the path is too long", to);
    }
    return 0;
}

/* Takes the backup lock, so that the server removes nothing that is copied. If no server runs, none can start, and the
 * lock is not needed: the directory may be one that cannot be written to. */
static int lock_source(struct backup *backup)
{
    const char *dir = datadir_path(backup->from);
    ASSERT(backup->lock_fd < 0);
    backup->lock_fd = backup_lock_take(dir);
    if (backup->lock_fd == -EBUSY)
        return backup_refuse(backup->error, -EBUSY, "another backup of %s is being made: wait until it has ended", dir);
    if (backup->lock_fd < 0 && datadir_is_live(backup->from))
        return backup_refuse(backup->error, backup->lock_fd,
                             "%s/" BACKUP_LOCK_NAME " cannot be locked: %s: run the backup as "
                             "the server's user",
                             dir, strerror(-backup->lock_fd));
    backup->overtaken = backup->lock_fd < 0 ? 0 : backup_lock_overtaken(backup->lock_fd);
    return 0;
}

static int unlock_source(struct backup *backup, int status)
{
    bool is_overtaken = backup->lock_fd >= 0 && backup_lock_overtaken(backup->lock_fd) != backup->overtaken;
    backup_lock_give(backup->lock_fd);
    if (!is_overtaken)
        return status;
    return backup_refuse(backup->error, -ESTALE,
                         "the server was started again, or could not keep old segments of its WAL any longer, before "
                         "they were copied: remove what was made, and make the backup again, to a faster disk or when "
                         "less is sent");
}

static int copy_all(struct backup *backup)
{
    int status = lock_source(backup);
    if (status != 0)
        return status;
    status = for_each(backup, backup_note_wal);
    if (status == 0)
        status = for_each(backup, take_runs);
    if (status == 0)
        status = for_each(backup, backup_copy_wal);
    status = unlock_source(backup, status);
    if (status == 0)
        status = for_each(backup, copy_runs);
    return status == 0 ? for_each(backup, write_manifest) : status;
}

static void free_all(struct backup *backup)
{
    for (uint32_t i = 0; i < backup->shard_count; i++) {
        struct backup_shard *shard = &backup->shards[i];
        for (uint32_t k = 0; k < shard->run_count; k++)
            if (shard->runs[k].fd >= 0)
                close(shard->runs[k].fd);
        free(shard->runs);
        manifest_state_fini(&shard->state);
        manifest_state_fini(&shard->before);
    }
    free(backup->shards);
}

/* Who reads the backup locks the file, so that the backup is not removed meanwhile. */
static int make_lock_file(int fd)
{
    int lock_fd = openat(fd, DATADIR_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock_fd < 0)
        return -errno;
    close(lock_fd);
    return 0;
}

/* BACKUP.new comes first: it marks the directory as an unfinished backup. Its rename is the commit point. */
static int make_in(struct backup *backup, int fd, const char *to)
{
    char text[DATADIR_BACKUP_BYTES];
    struct datadir_meta meta = *datadir_meta(backup->from);
    datadir_meta_set_format(&meta); /* backup_write_manifest writes this one, whatever the source has */
    size_t bytes = datadir_backup_write(&meta, backup->options->wall_us, text);
    int status = datadir_write_file(fd, DATADIR_BACKUP_NEW, text, bytes);
    if (status == 0)
        status = make_lock_file(fd);
    if (status == 0)
        status = datadir_make_shards(fd, backup->shard_count);
    if (status != 0)
        return backup_refuse_copy(backup->error, NULL, status, NULL, to);
    status = copy_all(backup);
    if (status != 0)
        return status;
    if (fsync(fd) != 0 || renameat(fd, DATADIR_BACKUP_NEW, fd, DATADIR_BACKUP) != 0 || fsync(fd) != 0)
        return backup_refuse_copy(backup->error, NULL, -errno, NULL, to);
    status = datadir_sync_name(fd);
    return status == 0 ? 0 : backup_refuse_copy(backup->error, NULL, status, NULL, to);
}

int backup_refuse_make(struct backup_error *error, int code, const char *to)
{
    return backup_refuse(error, code, "cannot make %s: %s%s", to, strerror(-code),
                         code == -ENOENT ? ": make the directory above it first" : "");
}

int backup_make_target(const char *to, int *fd_r, struct backup_error *error)
{
    int status = copy_make_dir(to);
    if (status == -ENOTEMPTY)
        return backup_refuse(error, status, "%s is not empty: name a directory that is empty, or is not there yet", to);
    if (status == 0) {
        *fd_r = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        status = *fd_r < 0 ? -errno : 0;
    }
    return status == 0 ? 0 : backup_refuse_make(error, status, to);
}

int backup_make(const struct datadir *from, const char *to, const struct backup_options *options,
                struct backup_report *report_r, struct backup_error *error_r)
{
    struct backup backup = {.from = from,
                            .shard_count = datadir_shards(from),
                            .options = options,
                            .lock_fd = -1,
                            .report = report_r,
                            .error = error_r};
    int fd;
    *report_r = (struct backup_report){.runs = 0};
    if (datadir_is_backup(from))
        return backup_refuse(error_r, -EINVAL, "%s is a backup already: copy it as it is", datadir_path(from));
    backup.shards = calloc(backup.shard_count, sizeof *backup.shards);
    if (backup.shards == NULL)
        return backup_refuse(error_r, -ENOMEM, "no memory");
    int status = take_paths(&backup, to);
    if (status == 0)
        status = backup_make_target(to, &fd, error_r);
    if (status == 0) {
        status = make_in(&backup, fd, to);
        close(fd);
    }
    free_all(&backup);
    return status;
}
