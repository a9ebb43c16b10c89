/* backup_restore.c: makes a data directory from a backup (backup.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/datadir_make.h"
#include "storage/offline/backup_private.h"

struct restore {
    const struct datadir *from;
    const char *to;
    struct backup_report *report;
    struct backup_error *error;
};

static int refuse_place(struct restore *restore, int status, const char *from, const char *to)
{
    if (status == -EBADMSG)
        return backup_refuse_copy(restore->error, &restore->report->files, status, from, to);
    return backup_refuse(restore->error, status, "%s cannot be copied to %s: %s", from, to, strerror(-status));
}

static int place(struct restore *restore, const char *from_dir, const char *to_dir, const char *name)
{
    char from[RUN_PATH_BYTES + 64], to[RUN_PATH_BYTES + 64];
    snprintf(from, sizeof from, "%s/%s", from_dir, name);
    snprintf(to, sizeof to, "%s/%s", to_dir, name);
    int status = copy_file(from, to, &restore->report->files);
    return status == 0 ? 0 : refuse_place(restore, status, from, to);
}

static int place_run(struct restore *restore, const char *from_dir, const char *to_dir, const struct run_entry *entry,
                     struct backup_run *run)
{
    char from[RUN_PATH_BYTES], to[RUN_PATH_BYTES];
    ASSERT(!run->is_copied);
    run_path(from, from_dir, entry->id);
    run_path(to, to_dir, entry->id);
    restore->report->runs++;
    int status = copy_link(from, entry->file_bytes, to, &restore->report->files);
    if (status != 0 && status != -EBADMSG) {
        run->is_copied = true;
        run->fd = copy_open(from);
        status = run->fd < 0 ? run->fd : copy_fd(run->fd, entry->file_bytes, to, &restore->report->files);
        if (run->fd >= 0)
            close(run->fd);
    }
    return status == 0 ? 0 : refuse_place(restore, status, from, to);
}

static int place_runs(struct restore *restore, uint32_t shard, const char *from_dir, const char *to_dir)
{
    char path[RUN_PATH_BYTES];
    struct manifest_state state;
    struct store_error error = {""};
    snprintf(path, sizeof path, "%.900s/manifest.mdb", from_dir);
    int status = manifest_read(path, false, &state, &error);
    if (status != 0)
        return backup_refuse(restore->error, status, "%s", error.text);
    struct backup_run *runs = calloc(state.count + 1, sizeof *runs);
    if (runs == NULL)
        status = backup_refuse(restore->error, -ENOMEM, "no memory");
    for (uint32_t i = 0; i < state.count && status == 0; i++)
        status = place_run(restore, from_dir, to_dir, &state.entries[i], &runs[i]);
    if (status == 0)
        status = backup_check_runs(restore->from, shard, to_dir, &state, runs, BACKUP_RUN_ADVICE, restore->error);
    if (status == 0)
        status = place(restore, from_dir, to_dir, "manifest.mdb");
    if (status == 0)
        status = backup_check_manifest(to_dir, &state, restore->error);
    free(runs);
    manifest_state_fini(&state);
    return status;
}

/* The server recycles segments, so they are copied and never linked. */
static int place_wal(struct restore *restore, const char *from_dir, const char *to_dir)
{
    uint32_t *files;
    uint32_t count;
    int status = segment_list(from_dir, &files, &count);
    if (status != 0)
        return backup_refuse(restore->error, status, "%s cannot be read: %s", from_dir, strerror(-status));
    for (uint32_t i = 0; i < count && status == 0; i++) {
        char name[64];
        snprintf(name, sizeof name, "segment-%06u.wal", files[i]);
        status = place(restore, from_dir, to_dir, name);
        restore->report->segments++;
    }
    free(files);
    return status;
}

static int sync_placed(struct restore *restore, const char *dir)
{
    int status = segment_sync_dir(dir);
    return status == 0 ? 0 : backup_refuse_copy(restore->error, NULL, status, NULL, dir);
}

static int place_shard(struct restore *restore, uint32_t shard)
{
    char from[RUN_PATH_BYTES - 64], to[RUN_PATH_BYTES - 64];
    int bytes = snprintf(to, sizeof to, "%s/" DATADIR_SHARD_FORMAT "/" DATADIR_RUNS, restore->to, shard);
    if (bytes >= (int)sizeof to || datadir_runs_path(restore->from, shard, from, sizeof from) != 0)
        return backup_refuse(restore->error, -ENAMETOOLONG, "%s: the path is too long", restore->to);
    int status = place_runs(restore, shard, from, to);
    if (status == 0)
        status = sync_placed(restore, to);
    if (status != 0)
        return status;
    bytes = snprintf(to, sizeof to, "%s/" DATADIR_SHARD_FORMAT "/" DATADIR_WAL, restore->to, shard);
    if (bytes >= (int)sizeof to || datadir_wal_path(restore->from, shard, from, sizeof from) != 0)
        return backup_refuse(restore->error, -ENAMETOOLONG, "%s: the path is too long", restore->to);
    status = place_wal(restore, from, to);
    return status == 0 ? sync_placed(restore, to) : status;
}

/* META comes last, by a rename: without it no server starts on an incomplete directory. */
static int place_all(struct restore *restore, int fd)
{
    struct datadir_meta meta = *datadir_meta(restore->from);
    datadir_meta_set_format(&meta); /* a manifest may have keys that an older format does not know */
    int status = datadir_draw_epoch(&meta);
    if (status == 0)
        status = datadir_make_shards(fd, meta.shards);
    if (status != 0)
        return backup_refuse_copy(restore->error, NULL, status, NULL, restore->to);
    for (uint32_t i = 0; i < meta.shards && status == 0; i++)
        status = place_shard(restore, i);
    if (status != 0)
        return status;
    status = datadir_write_meta(fd, &meta);
    return status == 0 ? 0 : backup_refuse_copy(restore->error, NULL, status, NULL, restore->to);
}

int backup_restore(const struct datadir *from, const char *to, struct backup_report *report_r,
                   struct backup_error *error_r)
{
    struct restore restore = {from, to, report_r, error_r};
    int fd;
    *report_r = (struct backup_report){.runs = 0};
    if (!datadir_is_backup(from))
        return backup_refuse(error_r, -EINVAL, "%s is no backup: `chitchat backup --data %s --to DIR2` makes one",
                             datadir_path(from), datadir_path(from));
    int status = backup_make_target(to, &fd, error_r);
    if (status != 0)
        return status;
    int lock_fd = openat(fd, DATADIR_LOCK, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX | LOCK_NB) != 0)
        status = backup_refuse(error_r, -EBUSY, "%s is being used by another chitchat: name another directory", to);
    else
        status = place_all(&restore, fd);
    if (lock_fd >= 0)
        close(lock_fd);
    close(fd);
    return status;
}
