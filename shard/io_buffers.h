/*
 * io_buffers.h: the buffers into which the kernel puts received bytes. Only a window of them is offered to the kernel
 * and the rest are not touched: so a quiet server uses the memory of a few buffers, and a busy one's buffers stay in
 * the processor's cache.
 *
 * The window doubles when the kernel found no buffer left, unless the caller has more input than it can take. It halves
 * with io_buffers_trim when few buffers were used since the last trim; the memory of buffers outside it goes back to
 * the system. One thread, the owner of the loop; only io_uring.c and io_socket.c use this.
 */
#ifndef CHITCHAT_SHARD_IO_BUFFERS_H
#define CHITCHAT_SHARD_IO_BUFFERS_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

struct io_buffers {
    /* Set by open, then only read. */
    struct io_uring_buf_ring *ring;
    char *data;
    uint32_t count;
    uint32_t bytes; /* of each */

    /* Owned by the owner's thread. */
    uint32_t window;
    uint32_t offered;    /* that the kernel has; the caller's are not counted */
    uint32_t rest_count; /* of `rest`: a stack of the numbers of buffers that nobody has */
    uint16_t *rest;
    bool *is_touched; /* of buffers in `rest`: they have memory to give back */
    uint64_t taken;   /* filled by the kernel, ever */
    uint64_t taken_at_trim;
    uint64_t taken_at_widening;
};

/* Registers `count` (a power of two) buffers of `bytes` with `uring` as group 0. 0 or -errno; io_buffers_close in
 * either case. */
int io_buffers_open(struct io_buffers *buffers, struct io_uring *uring, uint32_t count, uint32_t bytes);
/* Frees the memory. The ring of `uring` must be gone. */
void io_buffers_close(struct io_buffers *buffers);

/* The memory of buffer `id`, which the kernel has filled: the caller's until io_buffers_give. */
char *io_buffers_take(struct io_buffers *buffers, uint32_t id);
void io_buffers_give(struct io_buffers *buffers, uint32_t id);
/* A receive found no buffer: doubles the window, if as many buffers as it has were used since the last doubling.
 * `is_pressed`: more has been received than the caller can take, so only a narrow window gets wider. */
void io_buffers_widen(struct io_buffers *buffers, bool is_pressed);
/* More has been received than the caller can take, and queues up: halves a wide window. */
void io_buffers_press(struct io_buffers *buffers);
/* Halves the window if few buffers were used since the last call, and gives memory back. */
void io_buffers_trim(struct io_buffers *buffers);

#endif
