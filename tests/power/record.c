/*
 * record.c: a library to be preloaded: records what a process does to the files below one directory, and what the
 * process sends (trace.h). CHITCHAT_RECORD_ROOT names the directory, CHITCHAT_RECORD_TRACE the file to be made; without
 * them nothing is recorded. This file: calls of the C library, LMDB's among them; record_ring.c: io_uring.
 * sync_file_range is no flush, so it is not recorded. A call that could change a file and is not known here ends the
 * process; a call that is missed is found when the trace is compared with the directory (disk.c).
 *
 * The state is static, because the replaced calls have no argument that could carry it.
 */
#include "record.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 65536
#define BLOCK_BYTES 4096u

static struct {
    pthread_mutex_t lock;
    int fd;
    uint64_t next_id;
    char root[PATH_MAX];
    size_t root_bytes;
    struct {
        uint64_t node;
        bool is_sync;
    } files[DESCRIPTORS_MAX];
} recorder = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

void *record_real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL)
        record_unknown(name);
    return function;
}

/* The function that this library replaces. ISO C has no conversion from an object pointer to a function pointer. */
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real_##name;                                                                              \
    if (real_##name == NULL)                                                                                           \
    *(void **)&real_##name = record_real(#name)

static ssize_t write_plain(int fd, const void *data, size_t bytes)
{
    REAL(write);
    return real_write(fd, data, bytes);
}

_Noreturn void record_unknown(const char *what)
{
    char text[200];
    int bytes = snprintf(text, sizeof text, "recorder: cannot record %s: extend tests/power/record.c\n", what);
    (void)!write_plain(2, text, (size_t)bytes);
    abort();
}

bool record_is_on(void)
{
    return recorder.fd >= 0;
}

uint64_t record_id(void)
{
    return __atomic_add_fetch(&recorder.next_id, 1, __ATOMIC_RELAXED);
}

static void append(const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t written = write_plain(recorder.fd, at, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            record_unknown("a trace without room");
        at += written;
        bytes -= (size_t)written;
    }
}

void record_put(struct trace_record record, const struct iovec *data, int count)
{
    static const char padding[8] = {0};
    int error = errno;
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += data[i].iov_len;
    record.data_bytes = (uint32_t)bytes;
    pthread_mutex_lock(&recorder.lock);
    append(&record, sizeof record);
    for (int i = 0; i < count; i++)
        append(data[i].iov_base, data[i].iov_len);
    append(padding, trace_padded(bytes) - bytes);
    pthread_mutex_unlock(&recorder.lock);
    errno = error;
}

uint64_t record_node(int fd, bool *is_sync_r)
{
    if (!record_is_on() || fd < 0 || fd >= DESCRIPTORS_MAX)
        return 0;
    *is_sync_r = recorder.files[fd].is_sync;
    return recorder.files[fd].node;
}

static bool is_zero(const struct iovec *data, int count)
{
    for (int i = 0; i < count; i++) {
        const char *at = data[i].iov_base;
        size_t bytes = data[i].iov_len;
        if (bytes > 0 && (at[0] != 0 || memcmp(at, at + 1, bytes - 1) != 0))
            return false;
    }
    return true;
}

uint64_t record_write(uint64_t node, bool is_sync, uint64_t offset, const struct iovec *data, int count)
{
    struct trace_record record = {
        .kind = is_sync ? TRACE_WRITE_SYNC : TRACE_WRITE, .id = record_id(), .node = node, .offset = offset};
    for (int i = 0; i < count; i++)
        record.bytes += data[i].iov_len;
    record_put(record, data, is_zero(data, count) ? 0 : count);
    return record.id;
}

void record_written(uint64_t id, int64_t result)
{
    record_put((struct trace_record){.kind = TRACE_WRITTEN, .id = id, .bytes = result < 0 ? 0 : (uint64_t)result}, NULL,
               0);
}

/* -- names -- */

/* The absolute path of `path` as the call sees it; links in the path are not resolved. */
static void absolute(int dirfd, const char *path, char out[PATH_MAX])
{
    char link[64], base[PATH_MAX] = "";
    if (path[0] != '/') {
        snprintf(link, sizeof link, dirfd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dirfd);
        ssize_t bytes = readlink(link, base, sizeof base - 1);
        base[bytes < 0 ? 0 : bytes] = '\0';
    }
    if (snprintf(out, PATH_MAX, "%s%s%s", base, path[0] == '/' ? "" : "/", path) >= PATH_MAX)
        record_unknown("a path that is longer than PATH_MAX");
}

static bool is_below_root(const char *path)
{
    return record_is_on() && strncmp(path, recorder.root, recorder.root_bytes) == 0
           && (path[recorder.root_bytes] == '\0' || path[recorder.root_bytes] == '/');
}

static uint64_t node_of(const char *path)
{
    struct stat now;
    return stat(path, &now) == 0 ? now.st_ino : 0;
}

/* The directory's node, and the last part of the path. */
static uint64_t parent_of(const char *path, const char **name_r)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    *name_r = slash + 1;
    return node_of(dir);
}

static void put_name(enum trace_kind kind, uint64_t node, const char *path, uint64_t bytes)
{
    const char *name;
    struct trace_record record = {.kind = (uint32_t)kind, .node = node, .bytes = bytes};
    record.parent = parent_of(path, &name);
    struct iovec data = {(void *)(uintptr_t)name, strlen(name)};
    record_put(record, &data, 1);
}

/* -- the files when a life begins -- */

static void see_data(uint64_t node, const char *path)
{
    char block[BLOCK_BYTES];
    REAL(open);
    int fd = real_open(path, O_RDONLY | O_CLOEXEC);
    uint64_t at = 0;
    for (ssize_t bytes; (bytes = pread(fd, block, sizeof block, (off_t)at)) > 0; at += (uint64_t)bytes) {
        struct iovec data = {block, (size_t)bytes};
        if (!is_zero(&data, 1))
            record_put((struct trace_record){.kind = TRACE_SEEN_DATA, .node = node, .offset = at}, &data, 1);
    }
    close(fd);
}

static void see_dir(const char *path)
{
    char below[PATH_MAX];
    struct stat now;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= PATH_MAX || lstat(below, &now) != 0)
            record_unknown(below);
        bool is_dir = S_ISDIR(now.st_mode);
        put_name(is_dir ? TRACE_SEEN_DIR : TRACE_SEEN_FILE, now.st_ino, below, (uint64_t)now.st_size);
        if (is_dir)
            see_dir(below);
        else
            see_data(now.st_ino, below);
    }
    if (dir != NULL)
        closedir(dir);
}

static void __attribute__((constructor)) begin(void)
{
    const char *root = getenv("CHITCHAT_RECORD_ROOT");
    const char *trace = getenv("CHITCHAT_RECORD_TRACE");
    REAL(open);
    if (root == NULL || trace == NULL)
        return;
    if (realpath(root, recorder.root) == NULL)
        record_unknown("a root that does not exist");
    recorder.root_bytes = strlen(recorder.root);
    recorder.fd = real_open(trace, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (recorder.fd < 0)
        record_unknown("a trace that cannot be made");
    record_put((struct trace_record){.kind = TRACE_SEEN_DIR, .node = node_of(recorder.root)}, NULL, 0);
    see_dir(recorder.root);
    record_put((struct trace_record){.kind = TRACE_LIFE, .bytes = (uint64_t)getpid()}, NULL, 0);
}

/* -- open and close -- */

static void on_open(int fd, bool is_new, int flags)
{
    char link[64], path[PATH_MAX];
    struct stat now;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    path[bytes < 0 ? 0 : bytes] = '\0';
    if (fd >= DESCRIPTORS_MAX)
        record_unknown("a descriptor above its limit");
    recorder.files[fd].node = 0;
    if (!is_below_root(path) || fstat(fd, &now) != 0)
        return;
    recorder.files[fd].node = now.st_ino;
    recorder.files[fd].is_sync = (flags & (O_DSYNC | O_SYNC)) != 0;
    if (is_new)
        put_name(TRACE_CREATE, now.st_ino, path, 0);
    else if ((flags & O_TRUNC) != 0)
        record_put((struct trace_record){.kind = TRACE_TRUNCATE, .id = record_id(), .node = now.st_ino}, NULL, 0);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    REAL(openat);
    struct stat now;
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    bool is_new = (flags & O_CREAT) != 0 && fstatat(dirfd, path, &now, 0) != 0;
    int fd = real_openat(dirfd, path, flags, mode);
    int error = errno;
    if (fd >= 0 && record_is_on())
        on_open(fd, is_new, flags);
    errno = error;
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return openat(AT_FDCWD, path, flags, mode);
}

int close(int fd)
{
    REAL(close);
    if (record_is_on() && fd >= 0 && fd < DESCRIPTORS_MAX) {
        if (recorder.files[fd].node == 0)
            record_put((struct trace_record){.kind = TRACE_CLOSE, .node = (uint64_t)fd}, NULL, 0);
        recorder.files[fd].node = 0;
    }
    return real_close(fd);
}

/* closedir closes its descriptor without a call of close. */
int closedir(DIR *dir)
{
    REAL(closedir);
    if (dirfd(dir) < DESCRIPTORS_MAX)
        recorder.files[dirfd(dir)].node = 0;
    return real_closedir(dir);
}

/* -- contents -- */

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    REAL(pwrite);
    bool is_sync;
    struct iovec vector = {(void *)(uintptr_t)data, bytes};
    uint64_t node = record_node(fd, &is_sync);
    if (node == 0)
        return real_pwrite(fd, data, bytes, offset);
    uint64_t id = record_write(node, is_sync, (uint64_t)offset, &vector, 1);
    ssize_t result = real_pwrite(fd, data, bytes, offset);
    record_written(id, result);
    return result;
}

ssize_t writev(int fd, const struct iovec *vectors, int count)
{
    REAL(writev);
    bool is_sync;
    uint64_t node = record_node(fd, &is_sync);
    if (node == 0)
        return real_writev(fd, vectors, count);
    uint64_t id = record_write(node, is_sync, (uint64_t)lseek(fd, 0, SEEK_CUR), vectors, count);
    ssize_t result = real_writev(fd, vectors, count);
    record_written(id, result);
    return result;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    bool is_sync;
    struct iovec vector = {(void *)(uintptr_t)data, bytes};
    return record_node(fd, &is_sync) == 0 ? write_plain(fd, data, bytes) : writev(fd, &vector, 1);
}

int ftruncate(int fd, off_t size)
{
    REAL(ftruncate);
    bool is_sync;
    uint64_t node = record_node(fd, &is_sync);
    uint64_t id = record_id();
    if (node != 0)
        record_put((struct trace_record){.kind = TRACE_TRUNCATE, .id = id, .node = node, .bytes = (uint64_t)size}, NULL,
                   0);
    return real_ftruncate(fd, size);
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap);
    bool is_sync;
    uint64_t node = (flags & MAP_ANONYMOUS) == 0 ? record_node(fd, &is_sync) : 0;
    if (node != 0 && (protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0)
        record_put((struct trace_record){.kind = TRACE_MAP, .node = node, .bytes = bytes}, NULL, 0);
    return real_mmap(address, bytes, protection, flags, fd, offset);
}

static int sync_with(int (*real_sync)(int fd), int fd)
{
    bool is_sync;
    uint64_t node = record_node(fd, &is_sync);
    uint64_t id = record_id();
    if (node == 0)
        return real_sync(fd);
    record_put((struct trace_record){.kind = TRACE_SYNC_BEGIN, .id = id, .node = node}, NULL, 0);
    int result = real_sync(fd);
    if (result == 0)
        record_put((struct trace_record){.kind = TRACE_SYNC_END, .id = id, .node = node}, NULL, 0);
    return result;
}

int fsync(int fd)
{
    REAL(fsync);
    return sync_with(real_fsync, fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return sync_with(real_fdatasync, fd);
}

/* -- directories -- */

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    REAL(mkdirat);
    char whole[PATH_MAX];
    int result = real_mkdirat(dirfd, path, mode);
    int error = errno;
    absolute(dirfd, path, whole);
    if (result == 0 && is_below_root(whole))
        put_name(TRACE_MKDIR, node_of(whole), whole, 0);
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    REAL(unlinkat);
    char whole[PATH_MAX];
    absolute(dirfd, path, whole);
    int result = real_unlinkat(dirfd, path, flags);
    if (result == 0 && is_below_root(whole))
        put_name(TRACE_UNLINK, 0, whole, 0);
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int renameat(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path)
{
    REAL(renameat);
    char from[PATH_MAX], to[PATH_MAX];
    const char *old_name, *new_name;
    struct trace_record record = {.kind = TRACE_RENAME};
    absolute(old_dirfd, old_path, from);
    absolute(new_dirfd, new_path, to);
    int result = real_renameat(old_dirfd, old_path, new_dirfd, new_path);
    if (result != 0 || !is_below_root(from))
        return result;
    record.parent = parent_of(from, &old_name);
    record.node = parent_of(to, &new_name);
    struct iovec data[2] = {{(void *)(uintptr_t)old_name, strlen(old_name) + 1},
                            {(void *)(uintptr_t)new_name, strlen(new_name) + 1}};
    record_put(record, data, 2);
    return result;
}

int rename(const char *old_path, const char *new_path)
{
    return renameat(AT_FDCWD, old_path, AT_FDCWD, new_path);
}

/* -- calls that are not supported -- */

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    REAL(fallocate);
    bool is_sync;
    if (record_node(fd, &is_sync) != 0)
        record_unknown("fallocate");
    return real_fallocate(fd, mode, offset, bytes);
}

int linkat(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path, int flags)
{
    REAL(linkat);
    if (record_is_on())
        record_unknown("linkat");
    return real_linkat(old_dirfd, old_path, new_dirfd, new_path, flags);
}

int link(const char *old_path, const char *new_path)
{
    return linkat(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
}

int msync(void *address, size_t bytes, int flags)
{
    REAL(msync);
    if (record_is_on())
        record_unknown("msync");
    return real_msync(address, bytes, flags);
}
