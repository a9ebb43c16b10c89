/*
 * io_private.h: what io_uring.c (the ring and its loop) and io_socket.c (the steps of a socket) share. Nobody else
 * includes it. All on the owner's thread.
 */
#ifndef CHITCHAT_SHARD_IO_PRIVATE_H
#define CHITCHAT_SHARD_IO_PRIVATE_H

#include <liburing.h>
#include <sys/socket.h>

#include "shard/io.h"
#include "shard/io_buffers.h"

/* What a completion is of: the upper byte of user_data. The rest is a pointer, of what the line says. */
enum io_kind {
    IO_RECV = 1,    /* struct io_socket */
    IO_SEND,        /* struct io_socket */
    IO_RECV_CANCEL, /* struct io_socket */
    IO_CLOSE,       /* struct io_socket */
    IO_RELEASE,     /* struct io_socket */
    IO_WRITE,       /* struct io_write */
    IO_ACCEPT,      /* struct io_listener */
    IO_ACCEPT_CANCEL,
    IO_ACCEPT_PAUSE,
    IO_WAKE,       /* struct io, the target: only if it failed */
    IO_WOKEN,      /* nothing: another loop's message */
    IO_WOKEN_EVENT /* nothing: the eventfd was read */
};

enum io_listener_state { LISTENER_IDLE, LISTENER_ACCEPTING, LISTENER_PAUSED, LISTENER_STOPPING };

struct io_listener {
    int fd;
    uint32_t number;
    enum io_listener_state state;
};

/* The header of a send with several vectors; the kernel has read it when it has taken the entry. */
struct io_message {
    struct msghdr header;
    struct iovec vectors[IO_SEND_VECTORS_MAX];
};

struct io {
    /* Set by io_open, then only read. */
    const struct io_handlers *handlers;
    void *context;
    int event_fd; /* written by any thread */

    /* Owned by the thread of the loop. */
    struct io_uring ring;
    struct io_buffers buffers;
    bool is_enabled;
    bool is_stopping_accept;
    bool gathers_less;
    uint32_t listener_count;
    uint32_t socket_count;  /* adopted, neither closed nor released */
    uint32_t message_count; /* in use, of messages: those not submitted yet */
    struct io_message *messages;
    uint64_t event_value; /* the eventfd is read into it */
    struct io_listener listeners[IO_LISTENERS_MAX];
};

/* An empty entry of the submission queue, which is submitted to make room if it is full: never NULL. The caller
 * prepares it, then gives it its kind and pointer. */
struct io_uring_sqe *io_sqe(struct io *io);
void io_sqe_mark(struct io_uring_sqe *sqe, enum io_kind kind, const void *pointer);
uint64_t io_user_data(enum io_kind kind, const void *pointer);

/* Completions of a socket. It may be gone when these return. */
void io_socket_on_recv(struct io *io, struct io_socket *socket, const struct io_uring_cqe *cqe);
void io_socket_on_send(struct io *io, struct io_socket *socket, int result);
void io_socket_on_recv_cancel(struct io *io, struct io_socket *socket, int result);
void io_socket_on_close(struct io *io, struct io_socket *socket);
void io_socket_on_release(struct io *io, struct io_socket *socket);

/* Completions of a listener. */
void io_accept_on_accept(struct io *io, struct io_listener *listener, const struct io_uring_cqe *cqe);
void io_accept_on_pause(struct io *io, struct io_listener *listener);

#endif
