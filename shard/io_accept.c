/* io_accept.c: multishot accepts, with a pause when descriptors or memory run out. */
#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "shard/io_private.h"

/* Long enough that a process without descriptors does not spin, short enough that no client notices. */
static const struct __kernel_timespec pause_time = {.tv_nsec = 100000000};

static void accept_arm(struct io *io, struct io_listener *listener)
{
    struct io_uring_sqe *sqe = io_sqe(io);
    io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL, SOCK_CLOEXEC);
    io_sqe_mark(sqe, IO_ACCEPT, listener);
    listener->state = LISTENER_ACCEPTING;
}

void io_accept_start(struct io *io, uint32_t listener, int fd)
{
    ASSERT_ON_OWNER(io);
    ASSERT(fd >= 0);
    ASSERT(!io->is_stopping_accept);
    ASSERT(io->listener_count < IO_LISTENERS_MAX);
    struct io_listener *own = &io->listeners[io->listener_count++];
    *own = (struct io_listener){.fd = fd, .number = listener};
    accept_arm(io, own);
}

void io_accept_stop(struct io *io)
{
    ASSERT_ON_OWNER(io);
    io->is_stopping_accept = true;
    for (uint32_t i = 0; i < io->listener_count; i++) {
        struct io_listener *listener = &io->listeners[i];
        if (listener->state == LISTENER_PAUSED)
            listener->state = LISTENER_IDLE;
        if (listener->state != LISTENER_ACCEPTING)
            continue;
        listener->state = LISTENER_STOPPING;
        struct io_uring_sqe *sqe = io_sqe(io);
        io_uring_prep_cancel64(sqe, io_user_data(IO_ACCEPT, listener), 0);
        io_sqe_mark(sqe, IO_ACCEPT_CANCEL, listener);
    }
}

bool io_is_accepting(const struct io *io)
{
    for (uint32_t i = 0; i < io->listener_count; i++)
        if (io->listeners[i].state == LISTENER_ACCEPTING || io->listeners[i].state == LISTENER_STOPPING)
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
    if (cqe->res >= 0 || is_out_of_resources(cqe->res))
        io->handlers->on_accept(io->context, listener->number, cqe->res);
    if ((cqe->flags & IORING_CQE_F_MORE) != 0)
        return;
    if (io->is_stopping_accept)
        listener->state = LISTENER_IDLE;
    else if (is_out_of_resources(cqe->res))
        accept_pause(io, listener);
    else
        accept_arm(io, listener);
}

void io_accept_on_pause(struct io *io, struct io_listener *listener)
{
    if (listener->state == LISTENER_PAUSED)
        accept_arm(io, listener);
}
