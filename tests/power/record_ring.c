/*
 * record_ring.c: the part of the recorder that sees io_uring: the library's exported functions, before and after. What
 * stands between the ring's head and tail before a submit is about to be issued; what stands in the completion queue
 * afterwards is done, and is written down before the caller can look at it. Completions come only from within these
 * calls: the server's rings are DEFER_TASKRUN.
 */
#include <liburing.h>
#include <stdlib.h>

#include "../disk/sqes.h"
#include "record.h"

#define RINGS_MAX 256
#define WRITES_MAX 64

struct ring_write {
    uint64_t user_data;
    uint64_t id;
};

/* One for each ring, found by its address; each is used by one thread at a time. */
struct ring_state {
    const struct io_uring *ring;
    unsigned seen; /* completions up to here are recorded */
    int write_count;
    struct ring_write writes[WRITES_MAX];
};

static struct ring_state states[RINGS_MAX];

static struct ring_state *state_of(const struct io_uring *ring)
{
    for (int i = 0; i < RINGS_MAX; i++) {
        const struct io_uring *expected = NULL;
        if (__atomic_load_n(&states[i].ring, __ATOMIC_ACQUIRE) == ring
            || __atomic_compare_exchange_n(&states[i].ring, &expected, ring, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return &states[i];
    }
    record_unknown("more rings than its limit");
}

static void on_write(struct ring_state *state, const struct io_uring_sqe *sqe)
{
    bool is_sync;
    uint64_t node = record_node(sqe->fd, &is_sync);
    struct iovec data = {(void *)(uintptr_t)sqe->addr, sqe->len};
    if (node == 0)
        return;
    if (state->write_count == WRITES_MAX)
        record_unknown("more writes in flight than its limit");
    uint64_t id = record_write(node, is_sync, sqe->off, &data, 1);
    state->writes[state->write_count++] = (struct ring_write){sqe->user_data, id};
}

static void put_send(int fd, const struct iovec *data, size_t count)
{
    record_put((struct trace_record){.kind = TRACE_SEND, .node = (uint64_t)fd}, data, (int)count);
}

static void on_entry(struct ring_state *state, const struct io_uring_sqe *sqe)
{
    struct iovec data = {(void *)(uintptr_t)sqe->addr, sqe->len};
    const struct msghdr *message = (const struct msghdr *)(uintptr_t)sqe->addr;
    bool is_sync;
    switch (sqe->opcode) {
    case IORING_OP_WRITE: on_write(state, sqe); return;
    case IORING_OP_SEND: put_send(sqe->fd, &data, 1); return;
    case IORING_OP_SENDMSG: put_send(sqe->fd, message->msg_iov, message->msg_iovlen); return;
    case IORING_OP_CLOSE:
        record_put((struct trace_record){.kind = TRACE_CLOSE, .node = (uint64_t)sqe->fd}, NULL, 0);
        return;
    case IORING_OP_NOP:
    case IORING_OP_READ:
    case IORING_OP_RECV:
    case IORING_OP_ACCEPT:
    case IORING_OP_TIMEOUT:
    case IORING_OP_ASYNC_CANCEL:
    case IORING_OP_MSG_RING: return;
    default:
        if (record_node(sqe->fd, &is_sync) != 0 || sqe->opcode >= IORING_OP_RENAMEAT)
            record_unknown("an operation of io_uring that changes files");
    }
}

static void before(struct io_uring *ring)
{
    struct ring_state *state = state_of(ring);
    unsigned count = sqes_count(ring);
    for (unsigned i = 0; record_is_on() && i < count; i++)
        on_entry(state, sqes_at(ring, i));
}

static void on_completion(struct ring_state *state, const struct io_uring_cqe *cqe)
{
    for (int i = 0; i < state->write_count; i++) {
        if (state->writes[i].user_data != cqe->user_data)
            continue;
        record_written(state->writes[i].id, cqe->res);
        state->writes[i] = state->writes[--state->write_count];
        return;
    }
}

static void after(struct io_uring *ring)
{
    struct ring_state *state = state_of(ring);
    unsigned tail = __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE);
    for (; record_is_on() && state->seen != tail; state->seen++)
        on_completion(state, &ring->cq.cqes[state->seen & ring->cq.ring_mask]);
}

#define REAL(name)                                                                                                     \
    static __typeof__(&name) real_##name;                                                                              \
    if (real_##name == NULL)                                                                                           \
    *(void **)&real_##name = record_real(#name)

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    REAL(io_uring_queue_init_params);
    struct ring_state *state = state_of(ring);
    state->seen = 0;
    state->write_count = 0;
    return real_io_uring_queue_init_params(entries, ring, params);
}

int io_uring_submit(struct io_uring *ring)
{
    REAL(io_uring_submit);
    before(ring);
    int result = real_io_uring_submit(ring);
    after(ring);
    return result;
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr)
{
    REAL(io_uring_submit_and_wait);
    before(ring);
    int result = real_io_uring_submit_and_wait(ring, wait_nr);
    after(ring);
    return result;
}

int io_uring_submit_and_get_events(struct io_uring *ring)
{
    REAL(io_uring_submit_and_get_events);
    before(ring);
    int result = real_io_uring_submit_and_get_events(ring);
    after(ring);
    return result;
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr,
                                     struct __kernel_timespec *time, sigset_t *signals)
{
    REAL(io_uring_submit_and_wait_timeout);
    before(ring);
    int result = real_io_uring_submit_and_wait_timeout(ring, cqe, wait_nr, time, signals);
    after(ring);
    return result;
}

int io_uring_get_events(struct io_uring *ring)
{
    REAL(io_uring_get_events);
    int result = real_io_uring_get_events(ring);
    after(ring);
    return result;
}

int __io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit, unsigned wait_nr,
                       sigset_t *signals)
{
    REAL(__io_uring_get_cqe);
    before(ring);
    int result = real___io_uring_get_cqe(ring, cqe, submit, wait_nr, signals);
    after(ring);
    return result;
}
