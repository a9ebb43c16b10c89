/*
 * io_accept.c: a few accepts of each listener are in flight. They are armed again when io_gather has handled all
 * completions, so a turn takes no more than these; the rest waits in the listener's queue. A multishot accept would
 * take that whole queue before established connections are served. When descriptors or memory run
 * out, there is a pause.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "shard/io_private.h"

/* Long enough that a process without descriptors does not spin, short enough that no client notices. */
static const struct __kernel_timespec pause_time = {.tv_nsec = 100000000};

static void accept_arm(struct io *io, struct io_listener *listener)
{
    for (; listener->in_flight < IO_ACCEPTS_MAX; listener->in_flight++) {
        struct io_uring_sqe *sqe = io_sqe(io);
        io_uring_prep_accept(sqe, listener->fd, NULL, NULL, SOCK_CLOEXEC);
        io_sqe_mark(sqe, IO_ACCEPT, listener);
    }
}

void io_accept_continue(struct io *io)
{
    for (uint32_t i = 0; i < io->listener_count; i++)
        if (io->listeners[i].state == LISTENER_ACCEPTING)
            accept_arm(io, &io->listeners[i]);
}

void io_accept_start(struct io *io, uint32_t listener, int fd)
{
    ASSERT_ON_OWNER(io);
    ASSERT(fd >= 0);
    ASSERT(!io->is_stopping_accept);
    ASSERT(io->listener_count < IO_LISTENERS_MAX);
    struct io_listener *own = &io->listeners[io->listener_count++];
    *own = (struct io_listener){.fd = fd, .number = listener, .state = LISTENER_ACCEPTING};
    accept_arm(io, own);
}

void io_accept_stop(struct io *io)
{
    ASSERT_ON_OWNER(io);
    io->is_stopping_accept = true;
    for (uint32_t i = 0; i < io->listener_count; i++) {
        struct io_listener *listener = &io->listeners[i];
        listener->state = LISTENER_STOPPED;
        if (listener->in_flight == 0)
            continue;
        struct io_uring_sqe *sqe = io_sqe(io);
        io_uring_prep_cancel64(sqe, io_user_data(IO_ACCEPT, listener), IORING_ASYNC_CANCEL_ALL);
        io_sqe_mark(sqe, IO_ACCEPT_CANCEL, listener);
    }
}

bool io_is_accepting(const struct io *io)
{
    for (uint32_t i = 0; i < io->listener_count; i++)
        if (io->listeners[i].state == LISTENER_ACCEPTING || io->listeners[i].in_flight > 0)
            return true;
    return false;
}

static bool is_out_of_resources(int result)
{
    return result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS;
}

static void accept_pause(struct io *io, struct io_listener *listener)
{
    struct io_uring_sqe *sqe = io_sqe(io);
    io_uring_prep_timeout(sqe, (struct __kernel_timespec *)&pause_time, 0, 0);
    io_sqe_mark(sqe, IO_ACCEPT_PAUSE, listener);
    listener->state = LISTENER_PAUSED;
}

struct address io_peer_address(int fd)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &bytes) != 0)
        peer.ss_family = AF_UNSPEC;
    return address_of(&peer);
}

void io_accept_on_accept(struct io *io, struct io_listener *listener, const struct io_uring_cqe *cqe)
{
    ASSERT(listener->in_flight > 0);
    listener->in_flight--;
    if (cqe->res >= 0 || is_out_of_resources(cqe->res))
        io->handlers->on_accept(io->context, listener->number, cqe->res);
    if (is_out_of_resources(cqe->res) && listener->state == LISTENER_ACCEPTING)
        accept_pause(io, listener);
}

void io_accept_on_pause(struct io *io, struct io_listener *listener)
{
    (void)io;
    if (listener->state == LISTENER_PAUSED)
        listener->state = LISTENER_ACCEPTING;
}
