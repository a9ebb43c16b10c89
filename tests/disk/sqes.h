/*
 * sqes.h: the entries of an io_uring that the next submit hands to the kernel. For libraries that are loaded before
 * liburing (LD_PRELOAD) and replace its submit functions: they inspect and change these entries.
 *
 * Only the ring's thread, from within a submit. An index counts from the oldest entry that is not submitted yet.
 */
#ifndef CHITCHAT_TESTS_DISK_SQES_H
#define CHITCHAT_TESTS_DISK_SQES_H

#include <liburing.h>
#include <stddef.h>

static inline unsigned sqes_count(const struct io_uring *ring)
{
    return ring->sq.sqe_tail - ring->sq.sqe_head;
}

static inline struct io_uring_sqe *sqes_at(const struct io_uring *ring, unsigned index)
{
    return &ring->sq.sqes[(ring->sq.sqe_head + index) & *ring->sq.kring_mask];
}

/* A new entry before entry `index` (sqes_count: behind the last); the entries from there on move by one. NULL: the
 * queue is full. */
static inline struct io_uring_sqe *sqes_insert(struct io_uring *ring, unsigned index)
{
    unsigned count = sqes_count(ring);
    if (io_uring_get_sqe(ring) == NULL)
        return NULL;
    for (unsigned at = count; at > index; at--)
        *sqes_at(ring, at) = *sqes_at(ring, at - 1);
    return sqes_at(ring, index);
}

#endif
