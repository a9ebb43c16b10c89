/*
 * io.h: the one door to sockets, wake-ups and log writes: one io_uring of one thread (io_uring.c, io_socket.c), or the
 * simulator's double. All calls on the owner's thread but io_wake_from_thread; callbacks come only from within
 * io_gather, on the owner's thread.
 *
 * A socket has at most one receive, one send and one cancel under way. Its memory (struct io_socket, embedded in a
 * connection) must stand until on_closed. Closing goes in steps: io_close says so; the kernel lets go of receive
 * and send; then the descriptor is closed and on_closed comes. No other callback of that socket comes after
 * io_close, but for on_closed. io_release is the same without closing: the descriptor, quiet, is the caller's again,
 * for another shard's io_adopt; bytes that come in the meantime are still given to on_recv, while an end or an error is
 * left for the next owner to find. io_close may still come after io_release; on_closed then comes instead of
 * on_released.
 *
 * What is asked for is queued and leaves with the next io_gather, all in one system call. Nothing here blocks but
 * io_wait and io_gather with a timeout.
 */
#ifndef CHITCHAT_SHARD_IO_H
#define CHITCHAT_SHARD_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct io;

struct io_socket {
    /* Owned by io_socket.c; read with the functions below. */
    int fd;
    uint16_t flags;      /* receiving, sending, cancelling, closing, … */
    uint32_t send_bytes; /* of the send in flight */
};

/* One write of the log, durable when on_written tells it (the descriptor is O_DSYNC). Must stand until then. */
struct io_write {
    int fd;
    const void *data;
    uint32_t bytes;
    uint64_t offset;
};

struct io_handlers {
    /* A connection was accepted by listener number `listener`; owns `fd` (non-blocking not needed). A negative `fd` is
     * -errno: out of descriptors, say; accepting goes on after a pause. Those that the kernel had accepted before
     * io_accept_stop still come. */
    void (*on_accept)(void *context, uint32_t listener, int fd);
    /* `result` > 0: that many bytes at `data`, which may be changed in place and stand until the callback returns.
     * 0: the peer has ended its side. < 0: -errno, the connection is dead. After 0 or < 0 no more comes. */
    void (*on_recv)(void *context, struct io_socket *socket, char *data, int result);
    /* 0: all that io_send was given is sent; else -errno, the connection is dead (a short send is -EPIPE). */
    void (*on_sent)(void *context, struct io_socket *socket, int result);
    /* After io_close: the kernel holds nothing of the socket any more and the descriptor is closed. */
    void (*on_closed)(void *context, struct io_socket *socket);
    /* After io_release: the descriptor is quiet and the caller's; socket->fd is -1. */
    void (*on_released)(void *context, struct io_socket *socket, int fd);
    /* A write of io_write_submit is done: bytes or -errno. */
    void (*on_written)(void *context, struct io_write *write, int result);
};

struct io_options {
    uint32_t recv_buffer_bytes; /* provided buffers; 4096 */
    uint32_t recv_buffer_count; /* power of two, at most 32768; 1024. Used as far as it is needed (io_buffers.h) */
};

/* Checks that the kernel has what io needs. 0, or -ENOSYS with a line in `text` (of `text_bytes`) that says what is
 * missing. */
int io_check_kernel(char *text, size_t text_bytes);

/* A loop for the calling thread's later use; it becomes the property of the thread that first calls io_gather.
 * The handlers table and context are borrowed until io_close_loop. 0 or -errno. */
int io_open(struct io **io_r, const struct io_options *options, const struct io_handlers *handlers, void *context);
/* All sockets must be closed or released. Nulls *io. */
void io_close_loop(struct io **io);

/* Accepts on a listening socket from now on (`listener` is given back to on_accept). Borrows fd until io_is_accepting
 * is false. At most IO_LISTENERS_MAX in the life of a loop. */
#define IO_LISTENERS_MAX 16
void io_accept_start(struct io *io, uint32_t listener, int fd);
/* Stops all accepting; complete when io_is_accepting is false. */
void io_accept_stop(struct io *io);
bool io_is_accepting(const struct io *io);

/* Makes `socket` that of descriptor `fd`, which it owns from now on and which must not be O_NONBLOCK (the kernel would
 * not wait for bytes then). */
void io_adopt(struct io *io, struct io_socket *socket, int fd);
/* One buffer's worth (one shot), or all that comes (multishot) until io_recv_stop. Asking again for what is under way
 * changes nothing. */
void io_recv_once(struct io *io, struct io_socket *socket);
void io_recv_start(struct io *io, struct io_socket *socket);
/* Ends a multishot receive; bytes already taken in by the kernel still come to on_recv for a moment. io_recv_start
 * may be called again at any time and is carried out when the old one has ended. */
void io_recv_stop(struct io *io, struct io_socket *socket);
/* Whether a send is in flight. */
bool io_is_sending(const struct io_socket *socket);
/* Of the send in flight, or of the last one. */
uint32_t io_sent_bytes(const struct io_socket *socket);
/* Sends all of `vectors` (1 to IO_SEND_VECTORS_MAX, copied); the bytes stand until on_sent. None may be in flight. */
#define IO_SEND_VECTORS_MAX 16
void io_send(struct io *io, struct io_socket *socket, const struct iovec *vectors, uint32_t count);
/* Ends our side after what is being sent (TCP FIN), so that the peer can read to the end. */
void io_shutdown_send(struct io *io, struct io_socket *socket);
/* Once. What is in flight is broken off: a caller that wants its last bytes to go out waits for on_sent first. */
void io_close(struct io *io, struct io_socket *socket);
/* Once, while no send is in flight. */
void io_release(struct io *io, struct io_socket *socket);

/* Now and then, once a second, say: gives back the memory of buffers that were not needed since the last call. */
void io_trim(struct io *io);

/* Log writes; several may be in flight (the shard keeps to one). Given to the kernel at once, with all that is queued.
 */
void io_write_submit(struct io *io, struct io_write *write);

/* Wakes another loop that sleeps in io_gather, from this loop; rides on the next io_gather. */
void io_wake(struct io *io, struct io *target);
/* Wakes a loop from a thread that has none. Any thread. */
void io_wake_from_thread(struct io *target);

/* Submits what is queued; if nothing is there then, it waits up to `wait_us` (0: does not wait). Calls nothing back:
 * that is left to io_gather, so that a caller can read its clock in between. 0, or -errno if the loop is broken. */
int io_wait(struct io *io, uint64_t wait_us);
/* io_wait, then takes in what is there, asking the kernel for more as long as it has some (bounded): what a turn
 * gathers before it answers decides what a message costs. Calls back. Returns the number of completions, or -errno. */
int io_gather(struct io *io, uint64_t wait_us);
/* From a callback of io_gather: it asks the kernel for no more and soon returns; the rest comes with the next one. */
void io_gather_less(struct io *io);

#endif
