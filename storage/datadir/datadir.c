#include "storage/datadir/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/backup_names.h"
#include "storage/datadir/datadir_make.h"
#include "storage/datadir/datadir_meta.h"
#include "storage/offline/copy.h"

struct datadir {
    /* Set by open, then only read. */
    char *path;
    int fd;      /* of the directory, until the open is complete */
    int lock_fd; /* has the flock; -1: a backup without LOCK */
    bool is_live;
    bool is_backup;
    struct datadir_meta meta;
};

static int __attribute__((format(printf, 3, 4))) refuse(struct datadir_error *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}

/* The refusal for `errno` of an action (`doing`) on the directory. */
static int refuse_errno(struct datadir_error *error, const char *doing, const char *path)
{
    int code = -errno;
    const char *advice = "find out what is wrong there, or choose another data directory";
    if (code == -EACCES || code == -EPERM || code == -EROFS)
        advice = "let the server's user read and write it, or choose another data directory";
    if (code == -ENOSPC || code == -EDQUOT)
        advice = "make room on its disk";
    if (code == -ENOENT)
        advice = "make the directory above it first";
    if (code == -ENOTDIR || code == -EEXIST)
        advice = "it must be a directory; choose another one";
    return refuse(error, code, "cannot %s %.200s (%s): %s", doing, path, strerror(-code), advice);
}

#define DATA_UNFINISHED                                                                                                \
    "%.200s is not finished: a reshard or an import into it was interrupted: remove it, and run the command again"
#define BACKUP_UNFINISHED "%.200s has a backup that was not finished: remove it, and make another one"

/* -- examination, without a change -- */

static int refuse_format(const struct datadir *dir, struct datadir_error *error)
{
    const struct datadir_meta *meta = &dir->meta;
    char reader[DATADIR_READER_BYTES];
    datadir_meta_reader(meta, reader);
    return refuse(error, -EPROTO,
                  "%.200s has data format %u%s%s, and this chitchat reads the formats %u to %u: start %s, or choose "
                  "another data directory",
                  dir->path, meta->format, meta->version[0] != '\0' ? " of chitchat " : "", meta->version,
                  DATADIR_FORMAT_MIN, DATADIR_FORMAT, reader);
}

/* Reads META or BACKUP. 0 or a refusal. */
static int meta_load(struct datadir *dir, struct datadir_error *error)
{
    char text[DATADIR_BACKUP_BYTES];
    const char *name = dir->is_backup ? DATADIR_BACKUP : DATADIR_META;
    int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse_errno(error, dir->is_backup ? "open BACKUP in" : "open META in", dir->path);
    ssize_t bytes = read(fd, text, sizeof text);
    if (bytes < 0) {
        int code = refuse_errno(error, dir->is_backup ? "read BACKUP in" : "read META in", dir->path);
        close(fd);
        return code;
    }
    close(fd);
    struct span meta = {text, (size_t)bytes};
    int result = dir->is_backup && !datadir_backup_skip(&meta) ? -EBADMSG : datadir_meta_read(meta, &dir->meta);
    if (result == -EPROTO)
        return refuse_format(dir, error);
    if (result != 0)
        return refuse(error, result, "%.200s/%s is damaged: restore that file, or all of the directory, from a backup",
                      dir->path, name);
    return 0;
}

static int shards_check(const struct datadir *dir, uint32_t shards_wanted, struct datadir_error *error)
{
    if (shards_wanted != 0 && shards_wanted != dir->meta.shards)
        return refuse(
            error, -EINVAL,
            "%.200s was made for %u shards and cannot be served by %u: leave --shards out or say --shards %u, "
            "or choose another data directory",
            dir->path, dir->meta.shards, shards_wanted, dir->meta.shards);
    char name[DATADIR_NAME_BYTES];
    for (uint32_t shard = 0; shard < dir->meta.shards; shard++)
        if (!datadir_has_shard(dir->fd, shard, name))
            return refuse(error, -EBADMSG, "%.200s/%s is missing, but META names %u shards: restore it from a backup",
                          dir->path, name, dir->meta.shards);
    return 0;
}

/* Decides what the directory is. 0 and *is_made_r (it has META, which is read), or a refusal. */
static int examine(struct datadir *dir, uint32_t shards_wanted, bool *is_made_r, struct datadir_error *error)
{
    struct datadir_survey survey;
    if (datadir_survey(dir->fd, &survey) != 0)
        return refuse_errno(error, "list", dir->path);
    *is_made_r = survey.has_meta;
    if (survey.has_meta) {
        int result = meta_load(dir, error);
        return result == 0 ? shards_check(dir, shards_wanted, error) : result;
    }
    if (survey.has_backup || survey.has_backups)
        return refuse(error, -EEXIST,
                      "%.200s %s: `chitchat restore --from %.200s --data DIR` makes a data directory of it", dir->path,
                      survey.has_backups ? "has backups" : "is a backup", dir->path);
    if (survey.has_unfinished)
        return refuse(error, -EEXIST, DATA_UNFINISHED, dir->path);
    if (survey.has_new_backup)
        return refuse(error, -EEXIST, BACKUP_UNFINISHED, dir->path);
    if (survey.stranger[0] != '\0')
        return refuse(error, -EEXIST,
                      "%.200s is neither empty nor a data directory of chitchat (it has %.64s): choose another one",
                      dir->path, survey.stranger);
    if (survey.has_shards && (!survey.has_new_meta || survey.has_content))
        return refuse(error, -EEXIST,
                      "%.200s has shards of chitchat but no META, without which they cannot be read: restore META from "
                      "a backup, or choose another data directory",
                      dir->path);
    return 0;
}

/* -- open -- */

/* The descriptor, or -1 and errno. */
static int dir_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int refuse_locked(const struct datadir *dir, struct datadir_error *error)
{
    char text[16] = "";
    ssize_t bytes = pread(dir->lock_fd, text, sizeof text - 1, 0);
    long process = bytes > 0 ? strtol(text, NULL, 10) : 0;
    char who[48] = "";
    if (flock(dir->lock_fd, LOCK_SH | LOCK_NB) == 0)
        return refuse(
            error, -EBUSY,
            "%.200s is being read by another command of chitchat, as verify or backup: wait until that has ended",
            dir->path);
    if (process > 0)
        (void)snprintf(who, sizeof who, " (process %ld)", process);
    return refuse(error, -EBUSY,
                  "%.200s is in use by another chitchat%s: stop that one, or choose another data directory", dir->path,
                  who);
}

static int lock_take(struct datadir *dir, struct datadir_error *error)
{
    dir->lock_fd = openat(dir->fd, DATADIR_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (dir->lock_fd < 0)
        return refuse_errno(error, "write to", dir->path);
    if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? refuse_locked(dir, error) : refuse_errno(error, "lock", dir->path);
    /* Only for the refusal above: a failure does no harm. */
    char text[16];
    int bytes = snprintf(text, sizeof text, "%d\n", (int)getpid());
    ssize_t ignored = ftruncate(dir->lock_fd, 0) == 0 ? pwrite(dir->lock_fd, text, (size_t)bytes, 0) : -1;
    (void)ignored;
    return 0;
}

static int raise_format(struct datadir *dir)
{
    struct datadir_meta raised = dir->meta;
    datadir_meta_set_format(&raised);
    int result = datadir_write_meta(dir->fd, &raised);
    if (result == 0)
        dir->meta = raised;
    return result;
}

/* A directory whose messages are not all in the log of the cluster must not be served from there, nor the reverse. */
int datadir_check_cluster(const struct datadir *dir, const struct datadir_meta *cluster, struct datadir_error *error_r)
{
    const struct datadir_meta *meta = &dir->meta;
    if (cluster == NULL && meta->cluster[0] == '\0')
        return 0;
    if (cluster == NULL)
        return refuse(
            error_r, -EINVAL,
            "%.200s is of a node of the cluster %s, and the newest messages are in its log: give --cluster, or "
            "choose another data directory",
            dir->path, meta->cluster);
    if (meta->cluster[0] == '\0')
        return refuse(
            error_r, -EINVAL,
            "%.200s was made without --cluster, and the log of the cluster %s does not have its messages: leave "
            "--cluster out, or choose an empty data directory",
            dir->path, cluster->cluster);
    if (strcmp(meta->cluster, cluster->cluster) == 0 && strcmp(meta->epoch, cluster->epoch) == 0)
        return 0;
    return refuse(error_r, -EINVAL,
                  "%.200s is of a node of the cluster %s with the epoch %s, and the log is of %s with the epoch %s: "
                  "choose the data directory or the log that belong together",
                  dir->path, meta->cluster, meta->epoch, cluster->cluster, cluster->epoch);
}

/* What is made of an empty directory. */
static int make(struct datadir *dir, uint32_t shards, const struct datadir_meta *cluster)
{
    int result = 0;
    if (cluster == NULL)
        result = datadir_draw(shards, &dir->meta);
    else
        dir->meta = *cluster;
    datadir_meta_set_format(&dir->meta);
    return result == 0 ? datadir_make(dir->fd, &dir->meta) : result;
}

/* Examines, locks, and examines again: another server may have made the directory before the lock was taken. */
static int open_locked(struct datadir *dir, uint32_t shards_wanted, uint32_t shards_default,
                       const struct datadir_meta *cluster, struct datadir_error *error)
{
    bool is_made;
    int result = examine(dir, shards_wanted, &is_made, error);
    if (result == 0)
        result = lock_take(dir, error);
    if (result == 0)
        result = examine(dir, shards_wanted, &is_made, error);
    if (result == 0 && is_made)
        result = datadir_check_cluster(dir, cluster, error);
    if (result != 0)
        return result;
    if (!is_made)
        result = make(dir, shards_wanted != 0 ? shards_wanted : shards_default, cluster);
    else if (dir->meta.format < DATADIR_FORMAT)
        result = raise_format(dir);
    else
        result = datadir_sync(dir->fd);
    if (result == 0)
        return 0;
    errno = -result;
    return refuse_errno(error, is_made ? "write META in" : "make a data directory of", dir->path);
}

static int open_dir(struct datadir **dir_r, const char *path, uint32_t shards_wanted, uint32_t shards_default,
                    const struct datadir_meta *cluster, struct datadir_error *error_r)
{
    struct datadir *dir = calloc(1, sizeof *dir);
    if (dir == NULL)
        return refuse(error_r, -ENOMEM, "no memory to open %.200s", path);
    int result = -ENOMEM;
    dir->fd = dir->lock_fd = -1;
    dir->path = strdup(path);
    if (dir->path == NULL) {
        result = refuse(error_r, -ENOMEM, "no memory to open %.200s", path);
        goto close_dir;
    }
    dir->fd = dir_open(path);
    if (dir->fd < 0) {
        result = refuse_errno(error_r, "open", path);
        goto close_dir;
    }
    result = open_locked(dir, shards_wanted, shards_default, cluster, error_r);
    if (result != 0)
        goto close_dir;
    close(dir->fd);
    dir->fd = -1;
    *dir_r = dir;
    return 0;

close_dir:
    datadir_close(&dir);
    return result;
}

int datadir_open(struct datadir **dir_r, const char *path, uint32_t shards_wanted, uint32_t shards_default,
                 struct datadir_error *error_r)
{
    ASSERT(shards_wanted <= LIMIT_SHARDS);
    ASSERT(shards_default >= 1 && shards_default <= LIMIT_SHARDS);
    return open_dir(dir_r, path, shards_wanted, shards_default, NULL, error_r);
}

int datadir_open_cluster(struct datadir **dir_r, const char *path, const struct datadir_meta *cluster,
                         struct datadir_error *error_r)
{
    ASSERT(cluster->cluster[0] != '\0');
    return open_dir(dir_r, path, 0, cluster->shards, cluster, error_r);
}

/* Several readers share the lock; a server has it alone. A backup that was copied may have no LOCK. */
static int lock_share(struct datadir *dir, bool may_be_live, struct datadir_error *error)
{
    dir->lock_fd = openat(dir->fd, DATADIR_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (dir->lock_fd < 0)
        return errno == ENOENT ? 0 : refuse_errno(error, "open LOCK in", dir->path);
    if (flock(dir->lock_fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return refuse_errno(error, "lock", dir->path);
    dir->is_live = true;
    if (may_be_live)
        return 0;
    return refuse(error, -EBUSY,
                  "%.200s is in use by a running chitchat: stop that one, or read a copy: `chitchat backup --data "
                  "%.200s --to DIR2`",
                  dir->path, dir->path);
}

/* Opens the newest of the backups in a directory of backups instead of that directory. 0 or a refusal. */
static int enter_newest(struct datadir *dir, struct datadir_error *error)
{
    struct backup_names names;
    char *path = NULL;
    int fd = -1;
    int status = backup_names_list(&names, dir->fd);
    const struct backup_name *newest = status == 0 ? backup_names_newest(&names) : NULL;
    if (status != 0) {
        errno = -status;
        status = refuse_errno(error, "list", dir->path);
    } else if (newest == NULL) {
        status = refuse(error, -EEXIST,
                        "%.200s has no backup that was finished: `chitchat backup --data DIR --to %.200s` makes one",
                        dir->path, dir->path);
    } else if (newest->number > 0) {
        fd = openat(dir->fd, newest->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            status = refuse_errno(error, "open the newest backup in", dir->path);
        else if (asprintf(&path, "%s/%s", dir->path, newest->name) < 0)
            status = refuse(error, -ENOMEM, "no memory to open %.200s", dir->path);
    }
    backup_names_fini(&names);
    if (status != 0 || fd < 0)
        return status;
    close(dir->fd);
    free(dir->path);
    dir->fd = fd;
    dir->path = path;
    return 0;
}

static int read_shared(struct datadir *dir, bool may_be_live, struct datadir_error *error)
{
    struct datadir_survey survey;
    if (datadir_survey(dir->fd, &survey) != 0)
        return refuse_errno(error, "list", dir->path);
    if (survey.has_backups && !survey.has_meta) {
        int status = enter_newest(dir, error);
        if (status != 0)
            return status;
        if (datadir_survey(dir->fd, &survey) != 0)
            return refuse_errno(error, "list", dir->path);
    }
    dir->is_backup = survey.has_backup && !survey.has_meta;
    if (survey.has_unfinished && !survey.has_meta)
        return refuse(error, -EEXIST, DATA_UNFINISHED, dir->path);
    if (!dir->is_backup && survey.has_new_backup)
        return refuse(error, -EEXIST, BACKUP_UNFINISHED, dir->path);
    if (!dir->is_backup && !survey.has_meta)
        return refuse(error, -ENOENT,
                      "%.200s is no data directory of chitchat and no backup of one (it has neither META nor BACKUP): "
                      "name another one",
                      dir->path);
    int result = lock_share(dir, may_be_live, error);
    if (result == 0)
        result = meta_load(dir, error);
    return result == 0 ? shards_check(dir, 0, error) : result;
}

int datadir_open_read(struct datadir **dir_r, const char *path, bool may_be_live, struct datadir_error *error_r)
{
    struct datadir *dir = calloc(1, sizeof *dir);
    if (dir == NULL)
        return refuse(error_r, -ENOMEM, "no memory to open %.200s", path);
    dir->path = strdup(path);
    dir->lock_fd = -1;
    dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = -ENOMEM;
    if (dir->path == NULL)
        refuse(error_r, result, "no memory to open %.200s", path);
    else if (dir->fd < 0)
        result = refuse(error_r, -errno, "cannot open %.200s (%s): name a data directory or a backup", path,
                        strerror(errno));
    else
        result = read_shared(dir, may_be_live, error_r);
    if (result == 0)
        *dir_r = dir;
    else
        datadir_close(&dir);
    return result;
}

/* -- check, without a change -- */

/* What is not there would be made: the directory above must allow it. */
static int check_parent(const char *path, struct datadir_error *error)
{
    char parent[PATH_MAX];
    if (strlen(path) >= sizeof parent)
        return refuse(error, -ENAMETOOLONG, "the path %.200s is too long: choose another data directory", path);
    memcpy(parent, path, strlen(path) + 1);
    return faccessat(AT_FDCWD, dirname(parent), W_OK | X_OK, AT_EACCESS) == 0 ? 0 : refuse_errno(error, "make", path);
}

static int check_open(struct datadir *dir, uint32_t shards_wanted, struct datadir_check *check_r,
                      struct datadir_error *error)
{
    bool is_made;
    int result = examine(dir, shards_wanted, &is_made, error);
    if (result != 0)
        return result;
    if (faccessat(dir->fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return refuse_errno(error, "write to", dir->path);
    check_r->shards = is_made ? dir->meta.shards : 0;
    if (is_made)
        memcpy(check_r->cluster, dir->meta.cluster, sizeof check_r->cluster);
    result = lock_share(dir, true, error);
    check_r->is_live = dir->is_live;
    return result;
}

int datadir_check(const char *path, uint32_t shards_wanted, struct datadir_check *check_r,
                  struct datadir_error *error_r)
{
    struct datadir dir = {.path = (char *)(uintptr_t)path, .lock_fd = -1};
    *check_r = (struct datadir_check){0};
    dir.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir.fd < 0)
        return errno == ENOENT ? check_parent(path, error_r) : refuse_errno(error_r, "open", path);
    int result = check_open(&dir, shards_wanted, check_r, error_r);
    if (dir.lock_fd >= 0)
        close(dir.lock_fd);
    close(dir.fd);
    return result;
}

static int begin_in(struct datadir *dir, struct datadir_error *error)
{
    int result = copy_make_dir(dir->path);
    if (result == -ENOTEMPTY)
        return refuse(error, result, "%.200s is not empty: name a directory that is empty, or is not there yet",
                      dir->path);
    errno = -result;
    if (result != 0)
        return refuse_errno(error, "make", dir->path);
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0)
        return refuse_errno(error, "open", dir->path);
    result = lock_take(dir, error);
    if (result != 0)
        return result;
    static const char text[] = "a reshard or an import makes this directory: it has no META yet\n";
    result = datadir_write_file(dir->fd, DATADIR_UNFINISHED, text, sizeof text - 1);
    if (result == 0)
        result = datadir_make_shards(dir->fd, dir->meta.shards);
    errno = -result;
    return result == 0 ? 0 : refuse_errno(error, "write to", dir->path);
}

int datadir_begin(struct datadir **dir_r, const char *path, const struct datadir_meta *meta,
                  struct datadir_error *error_r)
{
    struct datadir *dir = calloc(1, sizeof *dir);
    if (dir == NULL)
        return refuse(error_r, -ENOMEM, "no memory to make %.200s", path);
    dir->fd = dir->lock_fd = -1;
    dir->meta = *meta;
    dir->path = strdup(path);
    int result =
        dir->path == NULL ? refuse(error_r, -ENOMEM, "no memory to make %.200s", path) : begin_in(dir, error_r);
    if (result == 0)
        *dir_r = dir;
    else
        datadir_close(&dir);
    return result;
}

int datadir_commit(struct datadir *dir)
{
    ASSERT(dir->fd >= 0);
    int result = datadir_write_meta(dir->fd, &dir->meta);
    /* A crash may leave it beside META, where it has no meaning. */
    if (result == 0 && unlinkat(dir->fd, DATADIR_UNFINISHED, 0) == 0)
        result = datadir_sync(dir->fd);
    return result;
}

void datadir_close(struct datadir **dir)
{
    struct datadir *closing = *dir;
    if (closing == NULL)
        return;
    if (closing->lock_fd >= 0)
        close(closing->lock_fd);
    if (closing->fd >= 0)
        close(closing->fd);
    free(closing->path);
    free(closing);
    *dir = NULL;
}

/* -- getters -- */

uint32_t datadir_shards(const struct datadir *dir)
{
    return dir->meta.shards;
}

const char *datadir_cluster(const struct datadir *dir)
{
    return dir->meta.cluster;
}

const char *datadir_epoch(const struct datadir *dir)
{
    return dir->meta.epoch;
}

struct hash_key datadir_name_seed(const struct datadir *dir)
{
    return dir->meta.name_seed;
}

struct hash_key datadir_key_seed(const struct datadir *dir)
{
    return dir->meta.key_seed;
}

bool datadir_is_live(const struct datadir *dir)
{
    return dir->is_live;
}

bool datadir_is_backup(const struct datadir *dir)
{
    return dir->is_backup;
}

const struct datadir_meta *datadir_meta(const struct datadir *dir)
{
    return &dir->meta;
}

const char *datadir_path(const struct datadir *dir)
{
    return dir->path;
}

static int shard_path(const struct datadir *dir, uint32_t shard, const char *part, char *out, size_t out_bytes)
{
    ASSERT(shard < dir->meta.shards);
    int bytes = snprintf(out, out_bytes, "%s/" DATADIR_SHARD_FORMAT "/%s", dir->path, shard, part);
    return bytes > 0 && (size_t)bytes < out_bytes ? 0 : -ENAMETOOLONG;
}

int datadir_wal_path(const struct datadir *dir, uint32_t shard, char *out, size_t out_bytes)
{
    return shard_path(dir, shard, DATADIR_WAL, out, out_bytes);
}

int datadir_runs_path(const struct datadir *dir, uint32_t shard, char *out, size_t out_bytes)
{
    return shard_path(dir, shard, DATADIR_RUNS, out, out_bytes);
}

uint32_t datadir_shard_of(const struct datadir *dir, struct span user)
{
    if (dir->meta.shards == 1)
        return 0;
    uint64_t upper = hash_siphash13(dir->meta.name_seed, user) >> 32;
    return (uint32_t)(upper * dir->meta.shards >> 32);
}
