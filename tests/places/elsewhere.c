/*
 * elsewhere.c: a library to be loaded before all others (LD_PRELOAD): files below /sys/fs/cgroup and /proc/self/cgroup,
 * and /proc/sys/kernel/io_uring_disabled, are looked for below the directory in the variable ELSEWHERE. With the
 * variable RINGS the kernel has memory for so many rings of io_uring, as under a limit of locked memory.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static const char *const moved[] = {"/sys/fs/cgroup", "/proc/self/cgroup", "/proc/sys/kernel/io_uring_disabled"};

static int open_moved(const char *symbol, const char *path, int flags, mode_t mode)
{
    int (*next)(const char *, int, ...);
    char other[4096];
    const char *dir = getenv("ELSEWHERE");
    *(void **)&next = dlsym(RTLD_NEXT, symbol);
    for (size_t i = 0; dir != NULL && i < sizeof moved / sizeof moved[0]; i++)
        if (strncmp(path, moved[i], strlen(moved[i])) == 0) {
            (void)snprintf(other, sizeof other, "%s%s", dir, path);
            return next(other, flags, mode);
        }
    return next(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_moved("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_moved("open64", path, flags, mode);
}

struct io_uring;
struct io_uring_params;

/* Main's thread opens them all. */
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    static int opened;
    int (*next)(unsigned, struct io_uring *, struct io_uring_params *);
    const char *most = getenv("RINGS");
    if (most != NULL && opened++ >= atoi(most))
        return -ENOMEM;
    *(void **)&next = dlsym(RTLD_NEXT, "io_uring_queue_init_params");
    return next(entries, ring, params);
}
