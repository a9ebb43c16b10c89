/* backup_restore.c: the way back from a backup (backup.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "storage/backup_private.h"
#include "storage/datadir_make.h"

struct restore {
    const struct datadir *from;
    const char *to;
    struct backup_report *report;
    struct backup_error *error;
};

static int place(struct restore *restore, const char *from_dir, const char *to_dir, const char *name, bool may_link)
{
    char from[RUN_PATH_BYTES + 64], to[RUN_PATH_BYTES + 64];
    snprintf(from, sizeof from, "%s/%s", from_dir, name);
    snprintf(to, sizeof to, "%s/%s", to_dir, name);
    if (may_link && copy_link(from, to, &restore->report->files) == 0)
        return 0;
    int status = copy_file(from, to, &restore->report->files);
    return status == 0
               ? 0
               : backup_refuse(restore->error, status, "%s cannot be copied to %s: %s", from, to, strerror(-status));
}

static int place_runs(struct restore *restore, const char *from_dir, const char *to_dir)
{
    char path[RUN_PATH_BYTES], name[64];
    struct manifest_state state;
    struct store_error error = {""};
    snprintf(path, sizeof path, "%.900s/manifest.mdb", from_dir);
    int status = manifest_read(path, false, &state, &error);
    if (status != 0)
        return backup_refuse(restore->error, status, "%s", error.text);
    for (uint32_t i = 0; i < state.count && status == 0; i++) {
        run_path(path, "", state.entries[i].id);
        snprintf(name, sizeof name, "%.60s", path + 1);
        status = place(restore, from_dir, to_dir, name, true);
        restore->report->runs++;
    }
    free(state.entries);
    return status == 0 ? place(restore, from_dir, to_dir, "manifest.mdb", false) : status;
}

/* Segments are recycled by the server: never linked. */
static int place_log(struct restore *restore, const char *from_dir, const char *to_dir)
{
    uint32_t *files;
    uint32_t count;
    int status = segment_list(from_dir, &files, &count);
    if (status != 0)
        return backup_refuse(restore->error, status, "%s cannot be read: %s", from_dir, strerror(-status));
    for (uint32_t i = 0; i < count && status == 0; i++) {
        char name[64];
        snprintf(name, sizeof name, "segment-%06u.wal", files[i]);
        status = place(restore, from_dir, to_dir, name, false);
        restore->report->segments++;
    }
    free(files);
    return status;
}

static int place_shard(struct restore *restore, uint32_t shard)
{
    char from[RUN_PATH_BYTES - 64], to[RUN_PATH_BYTES - 64];
    int bytes = snprintf(to, sizeof to, "%s/" DATADIR_SHARD_FORMAT "/" DATADIR_RUNS, restore->to, shard);
    if (bytes >= (int)sizeof to || datadir_runs_path(restore->from, shard, from, sizeof from) != 0)
        return backup_refuse(restore->error, -ENAMETOOLONG, "%s: the path is too long", restore->to);
    int status = place_runs(restore, from, to);
    if (status == 0 && segment_sync_dir(to) != 0)
        return backup_refuse_copy(restore->error, -EIO, to);
    snprintf(to, sizeof to, "%s/" DATADIR_SHARD_FORMAT "/" DATADIR_WAL, restore->to, shard);
    if (status == 0 && datadir_wal_path(restore->from, shard, from, sizeof from) == 0)
        status = place_log(restore, from, to);
    if (status == 0 && segment_sync_dir(to) != 0)
        return backup_refuse_copy(restore->error, -EIO, to);
    return status;
}

/* META comes last, by rename: without it no server starts on what is half there. */
static int place_all(struct restore *restore, int fd)
{
    struct datadir_meta meta = *datadir_meta(restore->from);
    char text[DATADIR_META_BYTES];
    int status = datadir_draw_epoch(&meta);
    if (status == 0)
        status = datadir_make_shards(fd, meta.shards);
    if (status != 0)
        return backup_refuse_copy(restore->error, status, restore->to);
    for (uint32_t i = 0; i < meta.shards && status == 0; i++)
        status = place_shard(restore, i);
    if (status != 0)
        return status;
    status = datadir_write_file(fd, DATADIR_META_NEW, text, datadir_meta_write(&meta, text));
    if (status == 0 && (renameat(fd, DATADIR_META_NEW, fd, DATADIR_META) != 0 || fsync(fd) != 0))
        status = -errno;
    if (status == 0)
        status = datadir_sync_name(fd);
    return status == 0 ? 0 : backup_refuse_copy(restore->error, status, restore->to);
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
