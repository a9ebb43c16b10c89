/* io_check.c: whether the kernel lets this process use io_uring, and if not, what to allow. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "shard/io_private.h"

#define ALLOW                                                                                                          \
    "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container or service "   \
    "(docker run --security-opt seccomp=PROFILE)"
/* More than the rings and buffers of all shards take, with what else their user has locked. */
#define MEMLOCK_BYTES (UINT64_C(512) << 20)

static int refuse_kernel(char *text, size_t text_bytes, const char *what)
{
    struct utsname name = {.release = "unknown"};
    uname(&name);
    snprintf(text, text_bytes, "the kernel (%s) %s; Linux 6.1 or newer with io_uring is needed", name.release, what);
    return -ENOSYS;
}

/* kernel.io_uring_disabled: 0, 1 or 2; 0 where the kernel has no such setting. */
static int disabled_setting(void)
{
    char digit = '0';
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t bytes = read(fd, &digit, 1);
    close(fd);
    return bytes == 1 && digit >= '0' && digit <= '2' ? digit - '0' : 0;
}

static int refuse_forbidden(char *text, size_t text_bytes)
{
    int setting = disabled_setting();
    if (setting == 0)
        snprintf(text, text_bytes, "this process may not use io_uring, which the server needs: " ALLOW);
    else
        snprintf(text, text_bytes,
                 "this process may not use io_uring, which the server needs, since kernel.io_uring_disabled is %d: set "
                 "it to 0 (sysctl kernel.io_uring_disabled=0)%s",
                 setting,
                 setting == 1 ? ", or put the user of the server into the group of kernel.io_uring_group" : "");
    return -ENOSYS;
}

void io_advise(int status, char *text, size_t text_bytes)
{
    struct rlimit locked;
    ASSERT(text_bytes > 0);
    text[0] = '\0';
    if (status == -ENOMEM && getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur < MEMLOCK_BYTES)
        snprintf(text, text_bytes,
                 "; the limit of locked memory, which is %" PRIu64 " bytes, may be the cause: raise it (ulimit -l, "
                 "LimitMEMLOCK=)",
                 (uint64_t)locked.rlim_cur);
}

static int refuse_resources(int status, char *text, size_t text_bytes)
{
    char memlock[IO_ADVICE_BYTES];
    io_advise(status, memlock, sizeof memlock);
    snprintf(text, text_bytes, "io_uring cannot be set up: %s: raise the limits of memory and open files%s",
             strerror(-status), memlock);
    return -ENOSYS;
}

static const char *missing_operation(struct io_uring *ring)
{
    static const struct {
        int operation;
        const char *name;
    } wanted[] = {
        {IORING_OP_ACCEPT, "cannot accept through io_uring"},  {IORING_OP_RECV, "cannot receive through io_uring"},
        {IORING_OP_SEND, "cannot send through io_uring"},      {IORING_OP_SENDMSG, "has no sendmsg in io_uring"},
        {IORING_OP_READ, "cannot read through io_uring"},      {IORING_OP_WRITE, "cannot write through io_uring"},
        {IORING_OP_CLOSE, "cannot close through io_uring"},    {IORING_OP_TIMEOUT, "has no timeouts in io_uring"},
        {IORING_OP_ASYNC_CANCEL, "cannot cancel in io_uring"}, {IORING_OP_MSG_RING, "has no messages between rings"},
    };
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    const char *missing = probe == NULL ? "cannot be asked for its io_uring operations" : NULL;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && missing == NULL; i++)
        if (!io_uring_opcode_supported(probe, wanted[i].operation))
            missing = wanted[i].name;
    if (probe != NULL)
        io_uring_free_probe(probe);
    return missing;
}

int io_check_kernel(char *text, size_t text_bytes)
{
    static const struct io_handlers handlers = {0};
    static const struct io_options options = {.recv_buffer_bytes = 64, .recv_buffer_count = 4};
    struct io *io;
    int status = io_open(&io, &options, &handlers, NULL);
    if (status == -EPERM || status == -EACCES)
        return refuse_forbidden(text, text_bytes);
    if (status == -ENOSYS)
        return refuse_kernel(text, text_bytes, "has no io_uring, or a filter hides it: " ALLOW);
    if (status == -EINVAL)
        return refuse_kernel(text, text_bytes,
                             "lacks io_uring's DEFER_TASKRUN, SINGLE_ISSUER or provided buffer rings");
    if (status != 0)
        return refuse_resources(status, text, text_bytes);
    const char *missing = missing_operation(&io->ring);
    io_close_loop(&io);
    return missing == NULL ? 0 : refuse_kernel(text, text_bytes, missing);
}
