/*
 * io_buffers.h: the buffers that the kernel puts received bytes into. Of all there are, only a window is on offer; the
 * rest lies untouched, so that a quiet server's memory is that of a few buffers and a busy one's stay in the cache.
 *
 * The window doubles when the kernel found none left, and halves with io_buffers_trim when little came since the last
 * one. What lies behind it goes back to the system. One thread; only io_uring.c and io_socket.c use it.
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

    /* Owned by the thread of the loop. */
    uint32_t window;
    uint32_t offered;    /* the kernel's; what is with the caller not counted */
    uint32_t rest_count; /* those not on offer: a stack of their numbers */
    uint16_t *rest;
    bool *is_touched; /* of the resting ones: memory to be given back */
    uint64_t taken;   /* by the kernel, ever */
    uint64_t taken_at_trim;
    uint64_t taken_at_widening;
};

/* Registers `count` (a power of two) buffers of `bytes` with `uring` as group 0. 0 or -errno; close in any case. */
int io_buffers_open(struct io_buffers *buffers, struct io_uring *uring, uint32_t count, uint32_t bytes);
/* When the ring of `uring` is gone. */
void io_buffers_close(struct io_buffers *buffers);

/* The kernel has filled buffer `id`: where it lies. Until io_buffers_give it is the caller's. */
char *io_buffers_take(struct io_buffers *buffers, uint32_t id);
void io_buffers_give(struct io_buffers *buffers, uint32_t id);
/* A receive found none: offers twice as many, if those offered have been used since that was done last. */
void io_buffers_widen(struct io_buffers *buffers);
/* Now and then: offers fewer if few were used since the last call, and gives memory back. */
void io_buffers_trim(struct io_buffers *buffers);

#endif
