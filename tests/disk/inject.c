/*
 * inject.c: a disk that fails, fills up, or is slow, for the server as it is: loaded before all other libraries
 * (LD_PRELOAD), this library replaces the calls by which the server and LMDB reach files, and the submit functions of
 * liburing, by which the WAL is written.
 *
 * The file named by CHITCHAT_INJECT has one rule per line. The library reads that file again whenever it has changed
 * (write another file and rename it). Without the file nothing happens.
 *
 *     fail CALLS PATH ERRNO [after=N] [count=N]     from the (N+1)th call on, or so many times, nothing is done
 *     land CALLS PATH ERRNO [after=N] [count=N]     the same, but the bytes reach the file
 *     flip pwrite PATH [after=N] [count=N]          the call succeeds, but a byte near the end is written changed
 *     lose pwrite PATH [after=N] [count=N]          the call succeeds, and nothing is written
 *     short uring PATH [after=N] [count=N]          half of the write is done
 *     wait CALLS PATH                               each call waits until the rules have changed
 *     delay CALLS PATH ms=N                         each call takes so much longer
 *     rate CALLS PATH bytes=N                       all such calls together write N bytes a second
 *
 * thread=NAME at the end of a rule: only on threads whose name begins with NAME.
 *
 * CALLS: some of uring pwrite write writev fdatasync fsync ftruncate open mmap link unlink, with commas, or *. PATH: a
 * part of the file's path (of either path of a link), or *. ERRNO: EIO, ENOSPC, ENOMEM, EROFS, EXDEV or a number. The
 * first rule that matches decides whether a call fails; delays add up.
 *
 * Not for builds with sanitizers, whose own libraries must be the first.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sqes.h"

#define RULES_MAX 32
#define CONTROL_BYTES_MAX 8192
/* The changed byte lies so far before the end: the last bytes of an LMDB page may mean nothing. */
#define FLIP_BYTES 8u
#define META_PAGES_BYTES 8192
/* A NOP of io_uring completes with a result of our choice: kernels from 6.10 on. */
#define NOP_INJECT_RESULT 1u

enum action {
    ACTION_FAIL,
    ACTION_LAND,
    ACTION_FLIP,
    ACTION_LOSE,
    ACTION_SHORT,
    ACTION_WAIT,
    ACTION_DELAY,
    ACTION_RATE
};

struct rule {
    enum action action;
    char calls[128];
    char path[128];
    char thread[16];
    int error;
    long long after;
    long long count;
    long long ms;
    long long bytes;
    long long seen;
    int64_t free_at_ns; /* ACTION_RATE: when the disk has written all that it was given */
};

/* What happens to one call. */
struct verdict {
    enum action action; /* ACTION_DELAY: nothing but its delay */
    int error;
    int64_t delay_ns;
    bool waits;
};

/* Static, because the replaced calls have no argument that could carry it. */
static struct {
    pthread_mutex_t lock;
    struct stat control;
    struct rule rules[RULES_MAX];
    int rule_count;
} inject = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* -- rules -- */

static int errno_of(const char *text)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}, {"EROFS", EROFS}, {"EXDEV", EXDEV}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, text) == 0)
            return names[i].number;
    return atoi(text);
}

static bool action_of(const char *text, enum action *action_r)
{
    static const char *const names[] = {"fail", "land", "flip", "lose", "short", "wait", "delay", "rate"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], text) == 0) {
            *action_r = (enum action)i;
            return true;
        }
    return false;
}

static void rule_word(struct rule *rule, const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL)
        rule->error = errno_of(word);
    else if (strncmp(word, "after=", 6) == 0)
        rule->after = atoll(equals + 1);
    else if (strncmp(word, "count=", 6) == 0)
        rule->count = atoll(equals + 1);
    else if (strncmp(word, "ms=", 3) == 0)
        rule->ms = atoll(equals + 1);
    else if (strncmp(word, "bytes=", 6) == 0)
        rule->bytes = atoll(equals + 1);
    else if (strncmp(word, "thread=", 7) == 0)
        snprintf(rule->thread, sizeof rule->thread, "%s", equals + 1);
}

static void rule_add(char *line)
{
    struct rule rule = {.count = LLONG_MAX / 2}; /* after + count must not overflow */
    char *rest = NULL;
    char *action = strtok_r(line, " ", &rest);
    char *calls = strtok_r(NULL, " ", &rest);
    char *path = strtok_r(NULL, " ", &rest);
    if (path == NULL || inject.rule_count == RULES_MAX || !action_of(action, &rule.action)) {
        fprintf(stderr, "inject: CHITCHAT_INJECT has a rule that is not understood: %s\n", line);
        abort();
    }
    snprintf(rule.calls, sizeof rule.calls, "%s", calls);
    snprintf(rule.path, sizeof rule.path, "%s", path);
    for (char *word; (word = strtok_r(NULL, " ", &rest)) != NULL;)
        rule_word(&rule, word);
    inject.rules[inject.rule_count++] = rule;
}

/* Under the lock. Plain system calls, as the functions of that name are replaced here. */
static void control_read(void)
{
    const char *path = getenv("CHITCHAT_INJECT");
    char text[CONTROL_BYTES_MAX];
    char *rest = NULL;
    struct stat info;
    if (path == NULL || stat(path, &info) != 0)
        return;
    if (info.st_ino == inject.control.st_ino && info.st_mtim.tv_sec == inject.control.st_mtim.tv_sec
        && info.st_mtim.tv_nsec == inject.control.st_mtim.tv_nsec)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    long bytes = fd < 0 ? -1 : syscall(SYS_read, fd, text, sizeof text - 1);
    if (fd >= 0)
        syscall(SYS_close, fd);
    if (bytes < 0)
        return;
    text[bytes] = '\0';
    inject.control = info;
    inject.rule_count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (line[0] != '#')
            rule_add(line);
}

static bool has_call(const char *calls, const char *call)
{
    size_t bytes = strlen(call);
    if (strcmp(calls, "*") == 0)
        return true;
    for (const char *at = calls; (at = strstr(at, call)) != NULL; at += bytes)
        if ((at == calls || at[-1] == ',') && (at[bytes] == ',' || at[bytes] == '\0'))
            return true;
    return false;
}

/* Under the lock: adds what `rule`, which matches, does to the call. */
static void apply(struct rule *rule, size_t bytes, struct verdict *verdict)
{
    int64_t now = now_ns();
    switch (rule->action) {
    case ACTION_WAIT: verdict->waits = true; return;
    case ACTION_DELAY: verdict->delay_ns += rule->ms * 1000000; return;
    case ACTION_RATE:
        if (rule->free_at_ns < now)
            rule->free_at_ns = now;
        rule->free_at_ns += (int64_t)((double)bytes * 1e9 / (double)rule->bytes);
        verdict->delay_ns += rule->free_at_ns - now;
        return;
    case ACTION_FAIL:
    case ACTION_LAND:
    case ACTION_FLIP:
    case ACTION_LOSE:
    case ACTION_SHORT: break;
    }
    rule->seen++;
    if (verdict->action != ACTION_DELAY || rule->seen <= rule->after || rule->seen > rule->after + rule->count)
        return;
    verdict->action = rule->action;
    verdict->error = rule->error;
}

static struct verdict verdict_now(const char *call, const char *path, size_t bytes)
{
    struct verdict verdict = {.action = ACTION_DELAY};
    char thread[16] = "";
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    pthread_mutex_lock(&inject.lock);
    control_read();
    for (int i = 0; i < inject.rule_count; i++) {
        struct rule *rule = &inject.rules[i];
        bool matches =
            has_call(rule->calls, call) && (strcmp(rule->path, "*") == 0 || strstr(path, rule->path) != NULL);
        if (matches && strncmp(thread, rule->thread, strlen(rule->thread)) == 0)
            apply(rule, bytes, &verdict);
    }
    pthread_mutex_unlock(&inject.lock);
    return verdict;
}

static void sleep_ns(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (ns > 0 && nanosleep(&time, &time) != 0 && errno == EINTR)
        continue;
}

static struct verdict verdict_of_path(const char *call, const char *path, size_t bytes)
{
    struct verdict verdict = verdict_now(call, path, bytes);
    while (verdict.waits) {
        sleep_ns(5000000);
        verdict = verdict_now(call, path, bytes);
    }
    return verdict;
}

/* No rule applies to a descriptor that is no file. */
static struct verdict verdict_of_fd(const char *call, int fd, size_t bytes)
{
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = fd > 2 ? readlink(link, path, sizeof path - 1) : -1;
    if (length <= 0 || path[0] != '/')
        return (struct verdict){.action = ACTION_DELAY};
    path[length] = '\0';
    return verdict_of_path(call, path, bytes);
}

/* The function that ours replaces. */
static void *next_of(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        fprintf(stderr, "inject: no library has %s\n", name);
        abort();
    }
    return function;
}

#define NEXT(type, name) ((type)(uintptr_t)next_of(name))

/* -- plain calls -- */

/* Makes the call after its delay, or fails; `land` makes the call and then reports a failure. */
#define REPLACE(decided, call)                                                                                         \
    do {                                                                                                               \
        struct verdict verdict = decided;                                                                              \
        sleep_ns(verdict.delay_ns);                                                                                    \
        if (verdict.action == ACTION_FAIL || verdict.action == ACTION_LAND) {                                          \
            if (verdict.action == ACTION_LAND)                                                                         \
                (void)!(call);                                                                                         \
            errno = verdict.error;                                                                                     \
            return -1;                                                                                                 \
        }                                                                                                              \
        return call;                                                                                                   \
    } while (0)

static ssize_t write_flipped(ssize_t (*next)(int, const void *, size_t, off_t), int fd, const void *data, size_t bytes,
                             off_t offset)
{
    unsigned char *changed = malloc(bytes);
    if (changed == NULL)
        abort();
    memcpy(changed, data, bytes);
    changed[bytes - (bytes < FLIP_BYTES ? bytes : FLIP_BYTES)] ^= 1;
    ssize_t written = next(fd, changed, bytes, offset);
    free(changed);
    return written;
}

/* LMDB's two meta pages, at the start of its file, have their place on the disk: a full disk takes a change of them. */
static bool has_place(int fd, size_t bytes, off_t offset)
{
    struct stat info;
    return offset + (off_t)bytes <= META_PAGES_BYTES && fstat(fd, &info) == 0 && info.st_size >= META_PAGES_BYTES;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    typedef ssize_t function(int, const void *, size_t, off_t);
    function *const next = NEXT(function *, "pwrite");
    struct verdict lie = verdict_of_fd("pwrite", fd, bytes);
    if (lie.error == ENOSPC && has_place(fd, bytes, offset))
        return next(fd, data, bytes, offset);
    if (lie.action == ACTION_LOSE)
        return (ssize_t)bytes;
    if (lie.action == ACTION_FLIP)
        return write_flipped(next, fd, data, bytes, offset);
    REPLACE(lie, next(fd, data, bytes, offset));
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    typedef ssize_t function(int, const void *, size_t);
    REPLACE(verdict_of_fd("write", fd, bytes), NEXT(function *, "write")(fd, data, bytes));
}

ssize_t writev(int fd, const struct iovec *vectors, int count)
{
    typedef ssize_t function(int, const struct iovec *, int);
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += vectors[i].iov_len;
    REPLACE(verdict_of_fd("writev", fd, bytes), NEXT(function *, "writev")(fd, vectors, count));
}

int fdatasync(int fd)
{
    typedef int function(int);
    REPLACE(verdict_of_fd("fdatasync", fd, 0), NEXT(function *, "fdatasync")(fd));
}

int fsync(int fd)
{
    typedef int function(int);
    REPLACE(verdict_of_fd("fsync", fd, 0), NEXT(function *, "fsync")(fd));
}

int ftruncate(int fd, off_t bytes)
{
    typedef int function(int, off_t);
    REPLACE(verdict_of_fd("ftruncate", fd, 0), NEXT(function *, "ftruncate")(fd, bytes));
}

int link(const char *from, const char *to)
{
    typedef int function(const char *, const char *);
    char both[2 * PATH_MAX];
    snprintf(both, sizeof both, "%s %s", from, to);
    REPLACE(verdict_of_path("link", both, 0), NEXT(function *, "link")(from, to));
}

int unlink(const char *path)
{
    typedef int function(const char *);
    REPLACE(verdict_of_path("unlink", path, 0), NEXT(function *, "unlink")(path));
}

int open(const char *path, int flags, ...)
{
    typedef int function(const char *, int, ...);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    REPLACE(verdict_of_path("open", path, 0), NEXT(function *, "open")(path, flags, mode));
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    typedef void *function(void *, size_t, int, int, int, off_t);
    struct verdict verdict = {.action = ACTION_DELAY};
    if (fd >= 0 && (flags & MAP_ANONYMOUS) == 0)
        verdict = verdict_of_fd("mmap", fd, bytes);
    if (verdict.action == ACTION_FAIL) {
        errno = verdict.error;
        return MAP_FAILED;
    }
    return NEXT(function *, "mmap")(address, bytes, protection, flags, fd, offset);
}

/* -- the WAL: entries of the ring -- */

static void make_nop(struct io_uring_sqe *sqe, int result, uint64_t user_data)
{
    io_uring_prep_nop(sqe);
    sqe->user_data = user_data;
    sqe->len = (uint32_t)result;
    sqe->rw_flags = NOP_INJECT_RESULT;
}

/* The write is done but does not complete; the entry behind it completes instead, with `error`. */
static unsigned land(struct io_uring *ring, unsigned index, int error)
{
    struct io_uring_sqe *behind = sqes_insert(ring, index + 1);
    if (behind == NULL)
        return index;
    struct io_uring_sqe *sqe = sqes_at(ring, index);
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    make_nop(behind, -error, sqe->user_data);
    return index + 1;
}

/* A timer before the write in a chain: the kernel starts the write when the timer has run out. */
static unsigned delay(struct io_uring *ring, unsigned index, int64_t ns, struct __kernel_timespec *time)
{
    struct io_uring_sqe *before = sqes_insert(ring, index);
    if (before == NULL)
        return index;
    *time = (struct __kernel_timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    io_uring_prep_timeout(before, time, 0, IORING_TIMEOUT_ETIME_SUCCESS);
    before->user_data = 0;
    before->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    return index + 1;
}

#define DELAYS_MAX 64

/* Called before each submit. `times` must stay valid until the kernel has read them, during the submit. */
static void change_entries(struct io_uring *ring, struct __kernel_timespec times[DELAYS_MAX])
{
    unsigned time_count = 0;
    for (unsigned i = 0; i < sqes_count(ring); i++) {
        struct io_uring_sqe *sqe = sqes_at(ring, i);
        if (sqe->opcode != IORING_OP_WRITE)
            continue;
        struct verdict verdict = verdict_of_fd("uring", sqe->fd, sqe->len);
        if (verdict.action == ACTION_FAIL)
            make_nop(sqe, -verdict.error, sqe->user_data);
        if (verdict.action == ACTION_SHORT)
            sqe->len = sqe->len / 2 / 512 * 512;
        if (verdict.delay_ns > 0 && time_count < DELAYS_MAX)
            i = delay(ring, i, verdict.delay_ns, &times[time_count++]);
        if (verdict.action == ACTION_LAND)
            i = land(ring, i, verdict.error);
    }
}

int io_uring_submit(struct io_uring *ring)
{
    typedef int function(struct io_uring *);
    struct __kernel_timespec times[DELAYS_MAX];
    change_entries(ring, times);
    return NEXT(function *, "io_uring_submit")(ring);
}

int io_uring_submit_and_get_events(struct io_uring *ring)
{
    typedef int function(struct io_uring *);
    struct __kernel_timespec times[DELAYS_MAX];
    change_entries(ring, times);
    return NEXT(function *, "io_uring_submit_and_get_events")(ring);
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr,
                                     struct __kernel_timespec *time, sigset_t *mask)
{
    typedef int function(struct io_uring *, struct io_uring_cqe **, unsigned, struct __kernel_timespec *, sigset_t *);
    struct __kernel_timespec times[DELAYS_MAX];
    change_entries(ring, times);
    return NEXT(function *, "io_uring_submit_and_wait_timeout")(ring, cqe, wait_nr, time, mask);
}
