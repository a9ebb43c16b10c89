#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 256u
#define FILES_MAX 512u
#define PAGE_BYTES 4096u
#define READS_PER_WRITE 300u /* so many rows are read for each call that writes */

/* A manifest, or a run that is not synced yet, which has no environment. */
struct disk_env {
    MDB_env *env;
    char path[PATH_BYTES];
};

/* A removed file whose directory was not synced since. */
struct disk_removed {
    char path[PATH_BYTES];
    char trash[PATH_BYTES];
};

static struct {
    struct chaos *chaos;
    const char *trash;
    bool is_full;
    bool has_run_room; /* though it is full */
    uint32_t fail_in;
    uint32_t calls_left;
    jmp_buf *death;
    struct disk_trouble trouble;
    struct disk_env envs[FILES_MAX];
    uint32_t env_count;
    struct disk_removed removed[FILES_MAX];
    uint32_t removed_count;
    uint32_t trash_count;
    MDB_env *doubted[64];
    uint32_t doubted_count;
} disk;

int __real_mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode);
int __real_mdb_env_sync(MDB_env *env, int force);
int __real_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
int __real_mdb_txn_commit(MDB_txn *txn);
int __real_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op);
ssize_t __real_pwrite(int fd, const void *data, size_t bytes, off_t offset);
int __real_file_write_zeros(int fd, size_t bytes, off_t offset);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_unlink(const char *path);
int __wrap_mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode);
int __wrap_mdb_env_sync(MDB_env *env, int force);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op);
ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t offset);
int __wrap_file_write_zeros(int fd, size_t bytes, off_t offset);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_unlink(const char *path);

void disk_begin(struct chaos *chaos, const char *trash)
{
    memset(&disk, 0, sizeof disk);
    disk.chaos = chaos;
    disk.trash = trash;
}

void disk_fill(bool is_full)
{
    disk.is_full = is_full;
    disk.has_run_room = false;
}

void disk_fill_most(void)
{
    disk.is_full = disk.has_run_room = true;
}

bool disk_is_full(void)
{
    return disk.is_full;
}

void disk_fail(uint32_t in)
{
    disk.fail_in = in;
}

void disk_die_in(uint32_t calls, jmp_buf *death)
{
    disk.calls_left = calls;
    disk.death = death;
}

uint32_t disk_calls_left(void)
{
    return disk.calls_left;
}

struct disk_trouble disk_trouble(void)
{
    return disk.trouble;
}

/* -- what happens to a call -- */

static bool is_ours(void)
{
    return disk.chaos != NULL && disk.chaos->is_beside;
}

/* Before a call and after it. */
static void may_die(void)
{
    if (disk.calls_left > 0 && --disk.calls_left == 0)
        longjmp(*disk.death, 1);
}

static bool fails(uint32_t times)
{
    if (disk.fail_in == 0 || disk.chaos->is_calm || !chaos_hits(disk.chaos, disk.fail_in * times))
        return false;
    *(times == 1 ? &disk.trouble.failed_writes : &disk.trouble.failed_reads) += 1;
    return true;
}

static bool has_no_room(void)
{
    disk.trouble.full += disk.is_full;
    return disk.is_full;
}

/* -- files -- */

static struct disk_env *find_env(MDB_env *env)
{
    for (uint32_t i = disk.env_count; i > 0; i--)
        if (disk.envs[i - 1].env == env)
            return &disk.envs[i - 1];
    return NULL;
}

static bool is_env_in_doubt(MDB_env *env)
{
    for (uint32_t i = 0; i < disk.doubted_count; i++)
        if (disk.doubted[i] == env)
            return true;
    return false;
}

static void forget_env(const char *path_borrowed)
{
    char path[PATH_BYTES]; /* it may be part of what is overwritten */
    snprintf(path, sizeof path, "%s", path_borrowed);
    for (uint32_t i = 0; i < disk.env_count; i++)
        if (strcmp(disk.envs[i].path, path) == 0)
            disk.envs[i--] = disk.envs[--disk.env_count];
}

/* Whether `path` is a file of the directory `dir`. */
static bool lies_in(const char *path, const char *dir)
{
    size_t bytes = strlen(dir);
    return strncmp(path, dir, bytes) == 0 && path[bytes] == '/' && strchr(path + bytes + 1, '/') == NULL;
}

static void path_of(int fd, char path[PATH_BYTES])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, PATH_BYTES - 1);
    HARNESS_MUST(bytes > 0);
    path[bytes] = '\0';
}

static void remember_env(MDB_env *env, const char *path)
{
    forget_env(path);
    HARNESS_MUST(disk.env_count < FILES_MAX && strlen(path) < PATH_BYTES);
    struct disk_env *added = &disk.envs[disk.env_count++];
    added->env = env;
    strcpy(added->path, path);
}

/* What is written to a run before a sync may be lost. The first write to a run is at offset 0. */
static void remember_run(int fd)
{
    char path[PATH_BYTES];
    path_of(fd, path);
    if (strstr(path, "/run-") == NULL)
        return;
    remember_env(NULL, path);
}

static void dir_is_synced(const char *dir)
{
    for (uint32_t i = 0; i < disk.removed_count; i++)
        if (lies_in(disk.removed[i].path, dir)) {
            __real_unlink(disk.removed[i].trash);
            disk.removed[i--] = disk.removed[--disk.removed_count];
        }
}

/* -- the calls -- */

int __wrap_mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
    if (!is_ours() || (flags & MDB_RDONLY) != 0)
        return __real_mdb_env_open(env, path, flags, mode);
    may_die();
    remember_env(env, path);
    return __real_mdb_env_open(env, path, flags, mode);
}

int __wrap_mdb_env_sync(MDB_env *env, int force)
{
    may_die();
    if (fails(1))
        return EIO;
    int result = __real_mdb_env_sync(env, force);
    struct disk_env *known = find_env(env);
    if (known != NULL)
        forget_env(known->path);
    may_die();
    return result;
}

int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    if ((flags & MDB_RDONLY) == 0 && is_env_in_doubt(env))
        return MDB_PANIC;
    return __real_mdb_txn_begin(env, parent, flags, txn);
}

/* A commit whose last write failed may be done or not. */
static int leave_in_doubt(MDB_txn *txn, MDB_env *env)
{
    if (chaos_hits(disk.chaos, 2))
        (void)__real_mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
    HARNESS_MUST(disk.doubted_count < sizeof disk.doubted / sizeof disk.doubted[0]);
    disk.doubted[disk.doubted_count++] = env;
    disk.trouble.is_in_doubt = true;
    return EIO;
}

int __wrap_mdb_txn_commit(MDB_txn *txn)
{
    MDB_env *env = mdb_txn_env(txn);
    struct disk_env *known = is_ours() ? find_env(env) : NULL;
    if (known == NULL)
        return __real_mdb_txn_commit(txn);
    if (disk.calls_left == 1) { /* the commit is not done */
        mdb_txn_abort(txn);
        may_die();
    }
    may_die();
    bool has_failed = fails(1);
    if (has_failed && chaos_hits(disk.chaos, 3))
        return leave_in_doubt(txn, env);
    if (has_failed) {
        mdb_txn_abort(txn);
        return EIO;
    }
    int result = __real_mdb_txn_commit(txn);
    may_die();
    return result;
}

int __wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
    return is_ours() && fails(READS_PER_WRITE) ? EIO : __real_mdb_cursor_get(cursor, key, value, op);
}

/* Whether a write of `bytes` fails, with `errno`. */
static bool write_fails(size_t bytes, bool is_segment)
{
    bool takes_room = is_segment || (bytes > PAGE_BYTES && !disk.has_run_room); /* clearing a segment takes none */
    may_die();
    if (!fails(1) && (!takes_room || !has_no_room()))
        return false;
    errno = disk.is_full ? ENOSPC : EIO;
    return true;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    if (!is_ours())
        return __real_pwrite(fd, data, bytes, offset);
    if (write_fails(bytes, false))
        return -1;
    if (offset == 0)
        remember_run(fd);
    ssize_t written = __real_pwrite(fd, data, bytes, offset);
    may_die();
    return written;
}

/* Zeros at the end of a file are a hole: a run of the simulator makes 250 MiB of them, and reads few. */
int __wrap_file_write_zeros(int fd, size_t bytes, off_t offset)
{
    struct stat status;
    if (!is_ours())
        return __real_file_write_zeros(fd, bytes, offset);
    if (write_fails(bytes, true))
        return -errno;
    HARNESS_MUST(fstat(fd, &status) == 0 && status.st_size == offset);
    HARNESS_MUST(ftruncate(fd, offset + (off_t)bytes) == 0);
    may_die();
    return 0;
}

/* Flushes the names of a directory, or all that was written to a run. */
static int flush(int fd)
{
    struct stat status;
    char path[PATH_BYTES];
    may_die();
    if (fails(1)) {
        errno = EIO;
        return -1;
    }
    HARNESS_MUST(fstat(fd, &status) == 0);
    path_of(fd, path);
    if (S_ISDIR(status.st_mode))
        dir_is_synced(path);
    else
        forget_env(path);
    may_die();
    return 0;
}

int __wrap_fsync(int fd)
{
    return is_ours() ? flush(fd) : __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    return is_ours() ? flush(fd) : __real_fdatasync(fd);
}

int __wrap_unlink(const char *path)
{
    if (!is_ours())
        return __real_unlink(path);
    may_die();
    HARNESS_MUST(strlen(path) < PATH_BYTES);
    if (disk.removed_count < FILES_MAX) {
        struct disk_removed *removed = &disk.removed[disk.removed_count];
        snprintf(removed->trash, sizeof removed->trash, "%s/%u", disk.trash, disk.trash_count++);
        strcpy(removed->path, path);
        disk.removed_count += link(path, removed->trash) == 0;
    }
    forget_env(path);
    int result = __real_unlink(path);
    int error = errno;
    may_die();
    errno = error;
    return result;
}

/* -- a crash -- */

/* Cuts the file short, or sets some pages to zero, or leaves the file whole. */
static void spoil(const char *path)
{
    static const char zeros[PAGE_BYTES];
    struct stat status;
    uint32_t fate = chaos_below(disk.chaos, 3);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    HARNESS_MUST(fstat(fd, &status) == 0);
    uint32_t pages = (uint32_t)(status.st_size / PAGE_BYTES);
    if (fate == 0)
        HARNESS_MUST(ftruncate(fd, (off_t)chaos_below(disk.chaos, pages + 1) * PAGE_BYTES) == 0);
    for (uint32_t i = 0; fate == 1 && i < pages; i++)
        if (chaos_hits(disk.chaos, 2))
            HARNESS_MUST(__real_pwrite(fd, zeros, PAGE_BYTES, (off_t)i * PAGE_BYTES) == (ssize_t)PAGE_BYTES);
    close(fd);
}

void disk_crash(void)
{
    for (uint32_t i = 0; i < disk.env_count; i++)
        if (disk.envs[i].env == NULL)
            spoil(disk.envs[i].path);
    for (uint32_t i = 0; i < disk.removed_count; i++) {
        struct disk_removed *removed = &disk.removed[i];
        if (chaos_hits(disk.chaos, 2))
            (void)link(removed->trash, removed->path); /* another file may have the name by now */
        (void)__real_unlink(removed->trash);
    }
    disk.env_count = disk.removed_count = disk.doubted_count = disk.calls_left = 0;
    disk.trouble = (struct disk_trouble){0};
}
