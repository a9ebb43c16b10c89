/*
 * io_socket.c: a socket's receive, send and end. Its flags say what is in flight in the kernel and what is wanted;
 * after each completion `step` starts what has become possible.
 */
#include <errno.h>

#include "base/assert.h"
#include "shard/io_private.h"

/* So many sockets that take turns receive at a time. */
#define TURNS_MAX 64u
/* One that receives in small parts counts as so many. */
#define PART_TURNS 8u
/* Once in so many times they receive though they are held. */
#define HELD_MAX 8u
/* So long after turns were held, a socket with more than a buffer goes on taking turns. */
#define CALM_NS UINT64_C(100000000)

enum socket_flag {
    /* In flight in the kernel. */
    SOCKET_RECEIVING = 1 << 0,
    SOCKET_SENDING = 1 << 1,
    SOCKET_CANCELLING = 1 << 2, /* the receive */
    SOCKET_LEAVING = 1 << 3,    /* the last operation: close, or the one that brings on_released */
    /* Wanted. */
    SOCKET_WANTS_ONE = 1 << 4,
    SOCKET_WANTS_ALL = 1 << 5,
    SOCKET_WANTS_SHUTDOWN = 1 << 6,
    SOCKET_CLOSING = 1 << 7,
    SOCKET_RELEASING = 1 << 8,
    /* Known. */
    SOCKET_ENDED = 1 << 9, /* the peer's side: there is nothing more to receive */
    /* The socket is new, or a receive found no buffer, or the caller had too much and stopped it. Until one buffer was
     * enough for what there was, some times in a row, the socket receives one at a time: a multishot receive takes all
     * that has come before other sockets get any. */
    SOCKET_TAKES_TURNS = 1 << 10,
    SOCKET_WAITS = 1 << 11,      /* it has had its turn: in io->waiting */
    SOCKET_ENOUGH_ONE = 1 << 12, /* so many times in a row: the lowest bit of the count */
    SOCKET_ENOUGH_MAX = 7 << 12,
    SOCKET_GAVE_PART = 1 << 15 /* what was received last was too little for the caller */
};

static bool is_any(const struct io_socket *socket, unsigned flags)
{
    return (socket->flags & flags) != 0;
}

static void set(struct io_socket *socket, unsigned flags)
{
    socket->flags = (uint16_t)(socket->flags | flags);
}

static void clear(struct io_socket *socket, unsigned flags)
{
    socket->flags = (uint16_t)(socket->flags & ~flags);
}

static void must_take_turns(struct io_socket *socket)
{
    set(socket, SOCKET_TAKES_TURNS);
    clear(socket, SOCKET_ENOUGH_MAX);
}

static bool is_recv_wanted(const struct io_socket *socket)
{
    return is_any(socket, SOCKET_WANTS_ONE | SOCKET_WANTS_ALL);
}

static void recv_arm(struct io *io, struct io_socket *socket)
{
    struct io_uring_sqe *sqe = io_sqe(io);
    if (is_any(socket, SOCKET_WANTS_ALL) && !is_any(socket, SOCKET_TAKES_TURNS))
        io_uring_prep_recv_multishot(sqe, socket->fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, socket->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_sqe_mark(sqe, IO_RECV, socket);
    set(socket, SOCKET_RECEIVING);
}

static void recv_cancel(struct io *io, struct io_socket *socket)
{
    struct io_uring_sqe *sqe = io_sqe(io);
    io_uring_prep_cancel64(sqe, io_user_data(IO_RECV, socket), 0);
    io_sqe_mark(sqe, IO_RECV_CANCEL, socket);
    set(socket, SOCKET_CANCELLING);
}

/* The socket leaves before its next turn. */
static void stop_waiting(struct io *io, struct io_socket *socket)
{
    uint32_t i = 0;
    while (i < io->waiting_count && io->waiting[(io->waiting_begin + i) % IO_WAITING_MAX] != socket)
        i++;
    ASSERT(i < io->waiting_count);
    io->waiting[(io->waiting_begin + i) % IO_WAITING_MAX] = NULL;
    clear(socket, SOCKET_WAITS);
}

/* Nothing else of the socket is in flight. The completion of this brings the last callback. */
static void leave(struct io *io, struct io_socket *socket)
{
    struct io_uring_sqe *sqe = io_sqe(io);
    if (is_any(socket, SOCKET_CLOSING)) {
        io_uring_prep_close(sqe, socket->fd);
        io_sqe_mark(sqe, IO_CLOSE, socket);
    } else {
        io_uring_prep_nop(sqe);
        io_sqe_mark(sqe, IO_RELEASE, socket);
    }
    set(socket, SOCKET_LEAVING);
    if (is_any(socket, SOCKET_WAITS))
        stop_waiting(io, socket);
}

/* A receive is armed only when no cancel is in flight, which could cancel the new one. */
static void step(struct io *io, struct io_socket *socket)
{
    if (is_any(socket, SOCKET_CANCELLING | SOCKET_LEAVING))
        return;
    if (is_any(socket, SOCKET_CLOSING | SOCKET_RELEASING)) {
        if (!is_any(socket, SOCKET_RECEIVING | SOCKET_SENDING))
            leave(io, socket);
    } else if (is_recv_wanted(socket) && !is_any(socket, SOCKET_RECEIVING | SOCKET_WAITS)) {
        recv_arm(io, socket);
    }
}

void io_adopt(struct io *io, struct io_socket *socket, int fd)
{
    ASSERT_ON_OWNER(io);
    ASSERT(fd >= 0);
    *socket = (struct io_socket){.fd = fd, .flags = SOCKET_TAKES_TURNS | SOCKET_ENOUGH_ONE};
    io->socket_count++;
}

/* The next receive of the socket stands behind those of all that wait. Else the sockets that had buffers would take the
 * next ones too, and each of the others would cost a receive that finds none, again and again. */
static void wait_for_turn(struct io *io, struct io_socket *socket)
{
    if (!is_any(socket, SOCKET_TAKES_TURNS) || is_any(socket, SOCKET_RECEIVING | SOCKET_LEAVING | SOCKET_WAITS)
        || io->waiting_count == IO_WAITING_MAX)
        return;
    io->waiting[(io->waiting_begin + io->waiting_count++) % IO_WAITING_MAX] = socket;
    set(socket, SOCKET_WAITS);
}

static void recv_want(struct io *io, struct io_socket *socket, enum socket_flag want)
{
    ASSERT_ON_OWNER(io);
    ASSERT(!is_any(socket, SOCKET_CLOSING | SOCKET_RELEASING));
    if (is_any(socket, SOCKET_ENDED))
        return;
    if (!is_any(socket, SOCKET_ENOUGH_MAX))
        wait_for_turn(io, socket);
    set(socket, want);
    step(io, socket);
}

void io_recv_once(struct io *io, struct io_socket *socket)
{
    recv_want(io, socket, SOCKET_WANTS_ONE);
}

void io_recv_start(struct io *io, struct io_socket *socket)
{
    recv_want(io, socket, SOCKET_WANTS_ALL);
}

void io_recv_stop(struct io *io, struct io_socket *socket)
{
    ASSERT_ON_OWNER(io);
    ASSERT(!is_any(socket, SOCKET_CLOSING | SOCKET_RELEASING));
    clear(socket, SOCKET_WANTS_ONE | SOCKET_WANTS_ALL);
    must_take_turns(socket);
    if (is_any(socket, SOCKET_RECEIVING) && !is_any(socket, SOCKET_CANCELLING))
        recv_cancel(io, socket);
}

void io_recv_in_turn(struct io *io, struct io_socket *socket)
{
    ASSERT_ON_OWNER(io);
    if (is_any(socket, SOCKET_CLOSING | SOCKET_RELEASING | SOCKET_ENDED))
        return;
    must_take_turns(socket);
    set(socket, SOCKET_GAVE_PART);
    if (!is_any(socket, SOCKET_RECEIVING))
        wait_for_turn(io, socket);
    else if (!is_any(socket, SOCKET_CANCELLING))
        recv_cancel(io, socket);
}

uint32_t io_sent_bytes(const struct io_socket *socket)
{
    return socket->send_bytes;
}

bool io_is_sending(const struct io_socket *socket)
{
    return is_any(socket, SOCKET_SENDING);
}

/* The message stands until the kernel has taken the entry (IORING_FEAT_SUBMIT_STABLE). Then its place is free again. */
static const struct msghdr *message_make(struct io *io, const struct iovec *vectors, uint32_t count)
{
    struct io_message *message = &io->messages[io->message_count++];
    for (uint32_t i = 0; i < count; i++)
        message->vectors[i] = vectors[i];
    message->header = (struct msghdr){.msg_iov = message->vectors, .msg_iovlen = count};
    return &message->header;
}

void io_send(struct io *io, struct io_socket *socket, const struct iovec *vectors, uint32_t count)
{
    ASSERT_ON_OWNER(io);
    ASSERT(count >= 1 && count <= IO_SEND_VECTORS_MAX);
    ASSERT(!is_any(socket, SOCKET_SENDING | SOCKET_CLOSING | SOCKET_RELEASING));
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += vectors[i].iov_len;
    ASSERT(bytes > 0 && bytes <= INT32_MAX);
    int flags = MSG_WAITALL | MSG_NOSIGNAL;
    struct io_uring_sqe *sqe = io_sqe(io); /* first: io_sqe may submit, which frees the places of all messages */
    if (count == 1)
        io_uring_prep_send(sqe, socket->fd, vectors[0].iov_base, vectors[0].iov_len, flags);
    else
        io_uring_prep_sendmsg(sqe, socket->fd, message_make(io, vectors, count), (unsigned)flags);
    io_sqe_mark(sqe, IO_SEND, socket);
    socket->send_bytes = (uint32_t)bytes;
    set(socket, SOCKET_SENDING);
}

/* A direct call: the ring would give shutdown to a kernel thread. An error means that the connection is gone already.
 */
void io_shutdown_send(struct io *io, struct io_socket *socket)
{
    ASSERT_ON_OWNER(io);
    ASSERT(!is_any(socket, SOCKET_CLOSING | SOCKET_RELEASING));
    if (is_any(socket, SOCKET_SENDING))
        set(socket, SOCKET_WANTS_SHUTDOWN);
    else
        (void)shutdown(socket->fd, SHUT_WR);
}

/* The shutdown completes receive and send; a cancel would search the kernel's lists for them. */
void io_close(struct io *io, struct io_socket *socket)
{
    ASSERT_ON_OWNER(io);
    ASSERT(!is_any(socket, SOCKET_CLOSING));
    set(socket, SOCKET_CLOSING);
    clear(socket, SOCKET_WANTS_ONE | SOCKET_WANTS_ALL | SOCKET_WANTS_SHUTDOWN);
    if (is_any(socket, SOCKET_RECEIVING | SOCKET_SENDING))
        (void)shutdown(socket->fd, SHUT_RDWR);
    step(io, socket);
}

void io_release(struct io *io, struct io_socket *socket)
{
    ASSERT_ON_OWNER(io);
    ASSERT(!is_any(socket, SOCKET_SENDING | SOCKET_CLOSING | SOCKET_RELEASING));
    set(socket, SOCKET_RELEASING);
    clear(socket, SOCKET_WANTS_ONE | SOCKET_WANTS_ALL);
    if (is_any(socket, SOCKET_RECEIVING) && !is_any(socket, SOCKET_CANCELLING))
        recv_cancel(io, socket);
    step(io, socket);
}

/* Where nothing was held for a while, the shard takes whatever comes. */
static void count_enough(const struct io *io, struct io_socket *socket, int result)
{
    if (result >= (int)io->buffers.bytes && io->gather_begun_ns < io->calm_from_ns)
        clear(socket, SOCKET_ENOUGH_MAX);
    else if ((socket->flags & SOCKET_ENOUGH_MAX) == SOCKET_ENOUGH_MAX)
        clear(socket, SOCKET_TAKES_TURNS | SOCKET_ENOUGH_MAX);
    else
        socket->flags = (uint16_t)(socket->flags + SOCKET_ENOUGH_ONE);
}

/* A wanted multishot receive that ended (no buffer, cancelled, completion queue full) is armed again by `step`. */
static void recv_ended(const struct io *io, struct io_socket *socket, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        clear(socket, SOCKET_RECEIVING);
    if (cqe->res > 0)
        clear(socket, SOCKET_WANTS_ONE);
    if (cqe->res == -ENOBUFS) {
        must_take_turns(socket);
    } else if (cqe->res > 0 && is_any(socket, SOCKET_TAKES_TURNS)) {
        count_enough(io, socket, cqe->res);
    }
}

bool io_socket_has_turns(const struct io *io)
{
    return io->waiting_count > 0 && !io->holds_turns;
}

/* While completions are left, more would only stand behind them. Half of the window is kept for sockets that take no
 * turns: these have little to receive, and their receives must find a buffer at once. */
bool io_socket_take_turns(struct io *io)
{
    uint32_t kept = io->buffers.window / 2, left = io->buffers.offered > kept ? io->buffers.offered - kept : 0;
    if (!io_socket_has_turns(io) || io_uring_cq_ready(&io->ring) > 0)
        return false;
    for (left = left < TURNS_MAX ? left : TURNS_MAX; left > 0 && io->waiting_count > 0; io->waiting_count--) {
        struct io_socket *socket = io->waiting[io->waiting_begin];
        io->waiting_begin = (io->waiting_begin + 1) % IO_WAITING_MAX;
        if (socket == NULL)
            continue;
        uint32_t turns = is_any(socket, SOCKET_GAVE_PART) ? PART_TURNS : 1;
        left -= turns < left ? turns : left;
        clear(socket, SOCKET_WAITS | SOCKET_GAVE_PART);
        step(io, socket);
    }
    return io_uring_sq_ready(&io->ring) > 0;
}

void io_hold_turns(struct io *io, bool is_held)
{
    ASSERT_ON_OWNER(io);
    io->held_count = is_held ? io->held_count + 1 : 0;
    if (is_held) {
        io_buffers_press(&io->buffers);
        io->calm_from_ns = io->gather_begun_ns + CALM_NS;
    }
    io->holds_turns = is_held && io->held_count % HELD_MAX != 0;
}

static bool is_temporary(int result)
{
    return result == -ENOBUFS || result == -ECANCELED || result == -EINTR;
}

static void recv_end(struct io *io, struct io_socket *socket, int result)
{
    if (is_any(socket, SOCKET_CLOSING | SOCKET_RELEASING))
        return;
    set(socket, SOCKET_ENDED);
    clear(socket, SOCKET_WANTS_ONE | SOCKET_WANTS_ALL);
    io->handlers->on_recv(io->context, socket, NULL, result);
}

void io_socket_on_recv(struct io *io, struct io_socket *socket, const struct io_uring_cqe *cqe)
{
    bool has_much = is_any(socket, SOCKET_TAKES_TURNS) && !is_any(socket, SOCKET_ENOUGH_MAX);
    recv_ended(io, socket, cqe);
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t buffer_id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        char *data = io_buffers_take(&io->buffers, buffer_id);
        if (cqe->res >= (int)io->buffers.bytes)
            wait_for_turn(io, socket);
        if (cqe->res > 0 && !is_any(socket, SOCKET_CLOSING))
            io->handlers->on_recv(io->context, socket, data, cqe->res);
        io_buffers_give(&io->buffers, buffer_id);
    }
    if (cqe->res == -ENOBUFS) {
        io_buffers_widen(&io->buffers, io->gathers_less || io->holds_turns);
        if (has_much)
            wait_for_turn(io, socket); /* else it goes first */
    }
    if (cqe->res <= 0 && !is_temporary(cqe->res))
        recv_end(io, socket, cqe->res);
    step(io, socket);
}

void io_socket_on_send(struct io *io, struct io_socket *socket, int result)
{
    ASSERT(is_any(socket, SOCKET_SENDING));
    clear(socket, SOCKET_SENDING);
    if (is_any(socket, SOCKET_WANTS_SHUTDOWN)) {
        clear(socket, SOCKET_WANTS_SHUTDOWN);
        (void)shutdown(socket->fd, SHUT_WR);
    }
    if (!is_any(socket, SOCKET_CLOSING)) {
        int status = result < 0 ? result : (uint32_t)result < socket->send_bytes ? -EPIPE : 0;
        io->handlers->on_sent(io->context, socket, status);
    }
    step(io, socket);
}

/* The receive reports its own end. But between two portions of what it reads the kernel may not find the receive to
 * cancel, which then continues: the cancel is repeated. */
void io_socket_on_recv_cancel(struct io *io, struct io_socket *socket, int result)
{
    ASSERT(is_any(socket, SOCKET_CANCELLING));
    clear(socket, SOCKET_CANCELLING);
    if (result == -ENOENT && is_any(socket, SOCKET_RECEIVING) && !is_recv_wanted(socket)
        && !is_any(socket, SOCKET_CLOSING))
        recv_cancel(io, socket);
    step(io, socket);
}

void io_socket_on_close(struct io *io, struct io_socket *socket)
{
    ASSERT(is_any(socket, SOCKET_LEAVING));
    ASSERT(io->socket_count > 0);
    socket->fd = -1;
    io->socket_count--;
    io->handlers->on_closed(io->context, socket);
}

void io_socket_on_release(struct io *io, struct io_socket *socket)
{
    ASSERT(is_any(socket, SOCKET_LEAVING));
    ASSERT(io->socket_count > 0);
    clear(socket, SOCKET_LEAVING);
    if (is_any(socket, SOCKET_CLOSING)) { /* io_close was called meanwhile */
        step(io, socket);
        return;
    }
    int fd = socket->fd;
    socket->fd = -1;
    io->socket_count--;
    io->handlers->on_released(io->context, socket, fd);
}
