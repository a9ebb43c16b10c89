/*
 * io_private.h: what io_uring.c (the ring and its loop), io_accept.c (the listeners), io_socket.c (the steps of a
 * socket) and io_check.c (whether the kernel allows it) share. No other file includes it. All functions are for the
 * thread that owns the loop.
 */
#ifndef CHITCHAT_SHARD_IO_PRIVATE_H
#define CHITCHAT_SHARD_IO_PRIVATE_H

#include <liburing.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "shard/io.h"
#include "shard/io_buffers.h"

/* What a completion belongs to: the upper byte of user_data. The lower bytes are a pointer to the type of the line. */
enum io_kind {
    IO_RECV = 1,    /* struct io_socket */
    IO_SEND,        /* struct io_socket */
    IO_RECV_CANCEL, /* struct io_socket */
    IO_CLOSE,       /* struct io_socket */
    IO_RELEASE,     /* struct io_socket */
    IO_WRITE,       /* struct io_write */
    IO_ACCEPT,      /* struct io_listener, here and in the next two */
    IO_ACCEPT_CANCEL,
    IO_ACCEPT_PAUSE,
    IO_WAKE,       /* struct io, the target: only if the wake-up failed */
    IO_WOKEN,      /* NULL: another loop's message */
    IO_WOKEN_EVENT /* NULL: the eventfd was read */
};

enum io_listener_state { LISTENER_ACCEPTING, LISTENER_PAUSED, LISTENER_STOPPED };

struct io_listener {
    int fd;
    uint32_t number;
    uint32_t in_flight; /* accepts */
    enum io_listener_state state;
};

/* The header of a send with several vectors. The kernel has read it when it has taken the entry. */
struct io_message {
    struct msghdr header;
    struct iovec vectors[IO_SEND_VECTORS_MAX];
};

/* Sockets that take turns. More receive without a turn. */
#define IO_WAITING_MAX 16384u

struct io {
    /* Set by io_open, then only read. */
    const struct io_handlers *handlers;
    void *context;
    int event_fd; /* written by any thread */

    /* Set by the first io_wait, then only read. */
    bool is_enabled;
    pthread_t owner; /* once enabled */

    /* Owned by the owner's thread. */
    struct io_uring ring;
    struct io_buffers buffers;
    bool is_stopping_accept;
    bool gathers_less;
    bool holds_turns;
    uint32_t held_count;      /* of io_hold_turns in a row */
    uint64_t gather_begun_ns; /* of CLOCK_MONOTONIC */
    uint64_t gather_ns;       /* how long this io_gather may go on */
    uint64_t calm_from_ns;    /* some time after turns were held the last time */
    uint32_t writes_in_flight;
    uint64_t give_way_at_ns; /* of CLOCK_MONOTONIC */
    uint64_t sleeps;         /* of the thread when it gave way, or did not because it had slept, the last time */
    uint32_t listener_count;
    uint32_t socket_count;  /* adopted, neither closed nor released */
    uint32_t message_count; /* of `messages`: those of entries that are not submitted yet */
    struct io_message *messages;
    /* Of `waiting`, a ring of IO_WAITING_MAX: sockets that wait for their turn to receive. NULL: one has left. */
    uint32_t waiting_begin;
    uint32_t waiting_count;
    struct io_socket **waiting;
    uint64_t event_value; /* where the eventfd is read to */
    struct io_listener listeners[IO_LISTENERS_MAX];
};

/* The calling thread owns the loop, or nobody does yet: then only the thread that opened it knows of it. */
#define ASSERT_ON_OWNER(io) ASSERT(!(io)->is_enabled || pthread_equal((io)->owner, pthread_self()))

/* An empty entry of the submission queue, never NULL: a full queue is submitted to make room. The caller prepares the
 * entry, then marks it with io_sqe_mark. */
struct io_uring_sqe *io_sqe(struct io *io);
void io_sqe_mark(struct io_uring_sqe *sqe, enum io_kind kind, const void *pointer);
uint64_t io_user_data(enum io_kind kind, const void *pointer);

/* Completions of a socket, whose memory the callbacks may free: nothing uses it after these return. */
void io_socket_on_recv(struct io *io, struct io_socket *socket, const struct io_uring_cqe *cqe);
void io_socket_on_send(struct io *io, struct io_socket *socket, int result);
void io_socket_on_recv_cancel(struct io *io, struct io_socket *socket, int result);
void io_socket_on_close(struct io *io, struct io_socket *socket);
void io_socket_on_release(struct io *io, struct io_socket *socket);
/* The completions that are there are handled: some of those that take turns receive again (io_socket.c). True: there is
 * something to submit for them. */
bool io_socket_take_turns(struct io *io);
/* Whether a socket has a turn that io_socket_take_turns gives it. */
bool io_socket_has_turns(const struct io *io);

/* The completions of this io_gather are handled: accepts that have ended are armed again. */
void io_accept_continue(struct io *io);
/* Completions of a listener. */
void io_accept_on_accept(struct io *io, struct io_listener *listener, const struct io_uring_cqe *cqe);
void io_accept_on_pause(struct io *io, struct io_listener *listener);

#endif
