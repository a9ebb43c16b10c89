/*
 * io.h: the only way to sockets, wake-ups and WAL writes: one io_uring of one thread (io_uring.c, io_accept.c,
 * io_socket.c), or the simulator's double. The first thread that calls io_wait or io_gather owns the loop. From then on
 * all calls are the owner's, except io_wake_from_thread and io_close_loop; calls that change something assert it. Only
 * io_gather makes callbacks.
 *
 * A socket has at most one receive, one send and one cancel in flight. Its memory (struct io_socket, embedded in a
 * connection) must stand until on_closed or on_released. A socket closes in steps: io_close; the kernel completes the
 * receive and the send; the descriptor is closed; on_closed. After io_close the socket has no other callback than
 * on_closed. io_release does the same without closing: on_released gives the descriptor back to the caller, for another
 * loop's io_adopt. Bytes that arrive before on_released still go to on_recv; an end or an error of the connection is
 * left to the next owner. io_close may follow io_release; then on_closed comes instead of on_released.
 *
 * Operations are queued, and io_wait and io_gather submit them all in one system call. Earlier than that, the queue is
 * submitted by io_write_submit, io_submit and when it is full. Nothing here blocks but io_wait and io_gather with a
 * timeout; io_gather may give the core to others for a moment.
 */
#ifndef CHITCHAT_SHARD_IO_H
#define CHITCHAT_SHARD_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/address.h"

struct io;

struct io_socket {
    /* Owned by io_socket.c; others use the functions below. */
    int fd;
    uint16_t flags;      /* receiving, sending, cancelling, closing, … */
    uint16_t count;      /* the caller's, for any use: io_adopt sets it to 0 */
    uint32_t send_bytes; /* of the send in flight, or of the last one */
};

/* One write of the WAL. The struct and `data` are borrowed until on_written. If the descriptor is O_DSYNC, the bytes
 * are durable when on_written reports `bytes`. */
struct io_write {
    int fd;
    const void *data;
    uint32_t bytes;
    uint64_t offset;
};

struct io_handlers {
    /* The listener number `listener` accepted a connection: the callee owns `fd`, a blocking descriptor. A negative
     * `fd` is -errno (no descriptors or no memory): accepting continues after a pause. Connections that the kernel
     * accepted before io_accept_stop are still given. */
    void (*on_accept)(void *context, uint32_t listener, int fd);
    /* `result` > 0: so many bytes at `data`, borrowed until the callback returns; the callee may change them in place.
     * 0: the peer ended its side. < 0: -errno, the connection is dead. After 0 or < 0 there is no further on_recv. */
    void (*on_recv)(void *context, struct io_socket *socket, char *data, int result);
    /* 0: all bytes of io_send are sent. Else -errno: the connection is dead (a short send is -EPIPE). */
    void (*on_sent)(void *context, struct io_socket *socket, int result);
    /* After io_close: the descriptor is closed and the kernel uses nothing of the socket any more. */
    void (*on_closed)(void *context, struct io_socket *socket);
    /* After io_release: nothing is in flight, the callee owns `fd`, and socket->fd is -1. */
    void (*on_released)(void *context, struct io_socket *socket, int fd);
    /* A write of io_write_submit is complete: `result` is the bytes written or -errno. */
    void (*on_written)(void *context, struct io_write *write, int result);
};

struct io_options {
    uint32_t recv_buffer_bytes; /* of each provided buffer */
    uint32_t
        recv_buffer_count; /* a power of two, at most 32768. Memory is used as far as it is needed (io_buffers.h) */
};

/* Checks that the kernel has what io needs. 0, or -ENOSYS with one line in `text` (room for `text_bytes`) that says
 * what is missing. Any thread. */
int io_check_kernel(char *text, size_t text_bytes);

#define IO_ADVICE_BYTES 160u
/* What to do about `status` of io_open, behind a sentence that ends without a full stop: "; the limit of locked
 * memory…" where that may be the cause, else "". Room for IO_ADVICE_BYTES. Any thread. */
void io_advise(int status, char *text, size_t text_bytes);

/* Opens a loop. Any thread, while the loop has no owner yet. Borrows `handlers` and `context` until io_close_loop,
 * copies `options`. 0 or -errno. The caller closes *io_r. */
int io_open(struct io **io_r, const struct io_options *options, const struct io_handlers *handlers, void *context);
/* Closes the loop, whose sockets must all be closed or released (asserted). Nulls *io; NULL is fine. On any thread,
 * when the owner's thread does not use the loop any more. */
void io_close_loop(struct io **io);

#define IO_LISTENERS_MAX 24
/* An io_gather accepts at most so many connections of a listener. */
#define IO_ACCEPTS_MAX 8
/* Starts to accept on a listening socket; on_accept is given the number `listener`. Borrows `fd` until io_is_accepting
 * is false. At most IO_LISTENERS_MAX calls in the life of a loop (asserted). */
void io_accept_start(struct io *io, uint32_t listener, int fd);
/* Stops all listeners: they have stopped when io_is_accepting is false. */
void io_accept_stop(struct io *io);
bool io_is_accepting(const struct io *io);

/* The address of the peer of an accepted descriptor. Unknown if the connection has ended. */
struct address io_peer_address(int fd);

/* Makes `socket` the one of descriptor `fd`, which the socket owns from now on. `fd` must not be O_NONBLOCK: the kernel
 * would not wait for bytes. */
void io_adopt(struct io *io, struct io_socket *socket, int fd);
/* Receives once, at most one buffer; or all that comes (multishot) until io_recv_stop. A repeated call while the
 * receive is in flight changes nothing. Not after io_close or io_release (asserted). */
void io_recv_once(struct io *io, struct io_socket *socket);
void io_recv_start(struct io *io, struct io_socket *socket);
/* From on_recv: what came is a small part of what the caller waits for. The socket's next receive, which the caller has
 * started or starts, stands behind those of others, and few such receive at a time: each byte may come alone, and costs
 * as much as a whole message. Changes nothing after io_close or io_release. */
void io_recv_in_turn(struct io *io, struct io_socket *socket);
/* Ends the receive. Bytes that the kernel has already taken may still go to on_recv. io_recv_start may be called at any
 * time: a new receive starts when the old one has ended. */
void io_recv_stop(struct io *io, struct io_socket *socket);
/* Whether a send is in flight. */
bool io_is_sending(const struct io_socket *socket);
/* Bytes of the send in flight, or of the last one. */
uint32_t io_sent_bytes(const struct io_socket *socket);
#define IO_SEND_VECTORS_MAX 16
/* Sends all of `vectors` (1 to IO_SEND_VECTORS_MAX, copied). Borrows their bytes until on_sent. No other send of the
 * socket may be in flight (asserted). */
void io_send(struct io *io, struct io_socket *socket, const struct iovec *vectors, uint32_t count);
/* Ends the server's side (TCP FIN) when the send in flight is complete, so that the peer can read to the end. */
void io_shutdown_send(struct io *io, struct io_socket *socket);
/* Starts to close the socket, once. A send in flight is aborted: a caller whose last bytes must be sent waits for
 * on_sent before. */
void io_close(struct io *io, struct io_socket *socket);
/* Starts to release the socket, once, while no send is in flight (asserted). */
void io_release(struct io *io, struct io_socket *socket);

/* Gives memory of receive buffers that were not needed since the last call back to the system. Call it about once a
 * second. */
void io_trim(struct io *io);

/* Submits a write at once, with all operations that are queued. Several writes may be in flight. Borrows `write` until
 * on_written. */
void io_write_submit(struct io *io, struct io_write *write);

/* The kernel takes what is queued now, and not when the loop waits next. */
void io_submit(struct io *io);

/* Queues a wake-up of another loop, which sleeps in io_wait or io_gather. */
void io_wake(struct io *io, struct io *target);
/* Wakes a loop. Any thread. */
void io_wake_from_thread(struct io *target);

/* Submits what is queued, then waits up to `wait_us` (0: not at all) for a first completion. Makes no callback: the
 * caller can read its clock between io_wait and io_gather. 0, or -errno if the loop is broken. */
int io_wait(struct io *io, uint64_t wait_us);
/* io_wait, then a callback for each completion, and again as long as the kernel has more (bounded): the more a turn
 * gathers before it answers, the less a message costs. Returns the number of completions, or -errno. */
int io_gather(struct io *io, uint64_t wait_us);
/* From a callback: this io_gather asks the kernel for no more completions and soon returns. The next one continues.
 * Meanwhile the kernel gets no more receive buffers than it has: what it received must not queue up. */
void io_gather_less(struct io *io);
/* From a callback: this io_gather may go on for `ns` longer, up to a limit, since what it gathers becomes part of a
 * batch. Between two calls of io_gather it changes nothing. */
void io_gather_longer(struct io *io, uint32_t ns);
/* While `is_held`, sockets whose input comes faster than the caller takes it receive nothing: their input waits in the
 * kernel, not in the caller's memory. The others receive as always. Called once a turn; once in many turns the hold has
 * a gap, so that nobody waits for ever. */
void io_hold_turns(struct io *io, bool is_held);

#endif
