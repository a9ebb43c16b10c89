#include "storage/offline/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/backup_lock.h"
#include "storage/datadir/datadir_make.h"
#include "storage/runs/run_remove.h"
#include "storage/wal/segment.h"

#define DEPTH_MAX 3 /* the directory, a shard, its WAL or runs */

static const char *const marks[] = {DATADIR_META, DATADIR_META_NEW, DATADIR_BACKUP, DATADIR_BACKUP_NEW};

static bool ends_with(const char *name, const char *end)
{
    size_t bytes = strlen(name), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(name + bytes - end_bytes, end) == 0;
}

static bool begins_with(const char *name, const char *begin)
{
    return strncmp(name, begin, strlen(begin)) == 0;
}

/* Files at the depth of the directory itself (0), and of a WAL or runs (2). */
static bool is_own_file(const char *name, int depth)
{
    if (depth == 0)
        return strcmp(name, DATADIR_LOCK) == 0 || strcmp(name, BACKUP_LOCK_NAME) == 0
               || strcmp(name, DATADIR_UNFINISHED) == 0;
    return depth == 2
           && ((begins_with(name, "segment-") && ends_with(name, ".wal")) || begins_with(name, "manifest.")
               || (begins_with(name, "run-") && (ends_with(name, ".mdb") || ends_with(name, ".mdb-lock"))));
}

static bool is_own_dir(const char *name, int depth)
{
    if (depth == 0)
        return datadir_is_shard(name);
    return depth == 1 && (strcmp(name, DATADIR_WAL) == 0 || strcmp(name, DATADIR_RUNS) == 0);
}

static int remove_file(const char *path, const char *name)
{
    if (begins_with(name, "run-") && ends_with(name, ".mdb"))
        return run_remove(path, NULL, NULL);
    return unlink(path) == 0 ? 0 : -errno;
}

static int remove_below(const char *path, int depth);

static int remove_entry(const char *dir, const char *name, int depth)
{
    char path[PATH_MAX];
    struct stat stat;
    int bytes = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (bytes < 0 || (size_t)bytes >= sizeof path)
        return -ENAMETOOLONG;
    if (lstat(path, &stat) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(stat.st_mode))
        return is_own_file(name, depth) ? remove_file(path, name) : 0;
    if (depth + 1 == DEPTH_MAX || !is_own_dir(name, depth))
        return 0;
    int status = remove_below(path, depth + 1);
    return status == 0 && rmdir(path) != 0 ? -errno : status;
}

static int remove_below(const char *path, int depth)
{
    ASSERT(depth < DEPTH_MAX);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -errno;
    int status = 0;
    struct dirent *entry;
    for (errno = 0; status == 0 && (entry = readdir(dir)) != NULL; errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = remove_entry(path, entry->d_name, depth);
    if (status == 0 && errno != 0)
        status = -errno;
    closedir(dir);
    return status;
}

static int remove_marks(const char *path, int fd)
{
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (unlinkat(fd, marks[i], 0) != 0 && errno != ENOENT)
            return -errno;
    return segment_sync_dir(path);
}

/* Who reads a backup has LOCK shared. Where there is none, the backup was copied or is of an older version. */
static int lock(int fd, int *lock_fd_r)
{
    *lock_fd_r = openat(fd, DATADIR_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*lock_fd_r < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(*lock_fd_r, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int remove_data(const char *path, bool with_directory)
{
    int lock_fd = -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = lock(fd, &lock_fd);
    if (status == 0)
        status = remove_marks(path, fd);
    if (status == 0)
        status = remove_below(path, 0);
    if (status == 0 && with_directory && rmdir(path) != 0)
        status = -errno;
    if (lock_fd >= 0)
        close(lock_fd);
    close(fd);
    return status;
}
