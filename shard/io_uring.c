/* io_uring.c: the ring of one thread: setup, entries, completions, wake-ups. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "shard/io_private.h"

#define SQ_ENTRIES 2048u
#define CQ_ENTRIES 16384u
#define KIND_SHIFT 56
/* The kernel gives what is ready in portions. A turn takes so many of them before it answers. */
#define GATHER_ROUNDS_MAX 64
/* After this time, and what io_gather_longer adds to it, io_gather asks for no more: nothing else counts what receives
 * of single bytes cost the kernel. The clock is read once for so many completions. */
#define GATHER_NS UINT64_C(100000)
#define GATHER_NS_MAX UINT64_C(3000000)
#define CLOCK_COMPLETIONS 4
/* After io_gather_less, io_gather handles so many more of the completions that are there. */
#define LESS_COMPLETIONS_MAX 16
/* If then more than so many are left, less should be received. */
#define PRESSED_COMPLETIONS 128u
#define SUBMIT_TRIES_MAX 1000
/* While a write is in flight, a thread that has not slept for so long gives way. If it then gets the core back only
 * after the second time, it keeps it for the third. */
#define GIVE_WAY_NS UINT64_C(200000)
#define GAVE_LONG_NS UINT64_C(500000)
#define KEEP_NS UINT64_C(200000000)

static const unsigned setup_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL
                                    | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG
                                    | IORING_SETUP_R_DISABLED;

uint64_t io_user_data(enum io_kind kind, const void *pointer)
{
    return (uint64_t)kind << KIND_SHIFT | (uint64_t)(uintptr_t)pointer;
}

void io_sqe_mark(struct io_uring_sqe *sqe, enum io_kind kind, const void *pointer)
{
    io_uring_sqe_set_data64(sqe, io_user_data(kind, pointer));
}

/* The kernel takes the queued entries and has read their messages. */
static int submit(struct io *io)
{
    int result = io_uring_submit(&io->ring);
    io->message_count = 0;
    return result;
}

struct io_uring_sqe *io_sqe(struct io *io)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
    for (int i = 0; sqe == NULL && i < SUBMIT_TRIES_MAX; i++) {
        submit(io);
        sqe = io_uring_get_sqe(&io->ring);
    }
    ASSERT(sqe != NULL);
    return sqe;
}

static int ring_open(struct io_uring *ring)
{
    struct io_uring_params params = {.flags = setup_flags, .cq_entries = CQ_ENTRIES};
    return io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
}

static int open_all(struct io *io, const struct io_options *options)
{
    io->messages = malloc(SQ_ENTRIES * sizeof *io->messages);
    io->waiting = malloc(IO_WAITING_MAX * sizeof(struct io_socket *));
    io->event_fd = eventfd(0, EFD_CLOEXEC);
    if (io->messages == NULL || io->waiting == NULL)
        return -ENOMEM;
    if (io->event_fd < 0)
        return -errno;
    return io_buffers_open(&io->buffers, &io->ring, options->recv_buffer_count, options->recv_buffer_bytes);
}

int io_open(struct io **io_r, const struct io_options *options, const struct io_handlers *handlers, void *context)
{
    ASSERT(handlers != NULL);
    ASSERT(options->recv_buffer_count > 0 && (options->recv_buffer_count & (options->recv_buffer_count - 1)) == 0);
    struct io *io = calloc(1, sizeof *io);
    if (io == NULL)
        return -ENOMEM;
    io->handlers = handlers;
    io->context = context;
    io->event_fd = -1;
    int status = ring_open(&io->ring);
    if (status != 0) {
        free(io);
        return status;
    }
    status = open_all(io, options);
    if (status != 0) {
        io_close_loop(&io);
        return status;
    }
    *io_r = io;
    return 0;
}

void io_close_loop(struct io **io)
{
    struct io *closing = *io;
    if (closing == NULL)
        return;
    ASSERT(closing->socket_count == 0);
    io_uring_queue_exit(&closing->ring);
    if (closing->event_fd >= 0)
        close(closing->event_fd);
    io_buffers_close(&closing->buffers);
    free(closing->messages);
    free(closing->waiting);
    free(closing);
    *io = NULL;
}

void io_trim(struct io *io)
{
    ASSERT_ON_OWNER(io);
    io_buffers_trim(&io->buffers);
}

void io_write_submit(struct io *io, struct io_write *write)
{
    ASSERT_ON_OWNER(io);
    ASSERT(write->fd >= 0);
    ASSERT(write->bytes > 0);
    struct io_uring_sqe *sqe = io_sqe(io);
    io_uring_prep_write(sqe, write->fd, write->data, write->bytes, write->offset);
    io_sqe_mark(sqe, IO_WRITE, write);
    io->writes_in_flight++;
    /* The kernel starts block I/O only when it has taken all entries of a submission: behind a turn's sends, some 7 us
     * each, the disk would be idle. */
    submit(io);
}

void io_submit(struct io *io)
{
    ASSERT_ON_OWNER(io);
    if (io_uring_sq_ready(&io->ring) > 0)
        submit(io);
}

void io_wake(struct io *io, struct io *target)
{
    ASSERT_ON_OWNER(io);
    ASSERT(target != io);
    struct io_uring_sqe *sqe = io_sqe(io);
    io_uring_prep_msg_ring(sqe, target->ring.ring_fd, 0, io_user_data(IO_WOKEN, NULL), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_sqe_mark(sqe, IO_WAKE, target);
}

void io_wake_from_thread(struct io *target)
{
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(target->event_fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
}

static void event_arm(struct io *io)
{
    struct io_uring_sqe *sqe = io_sqe(io);
    io_uring_prep_read(sqe, io->event_fd, &io->event_value, sizeof io->event_value, 0);
    io_sqe_mark(sqe, IO_WOKEN_EVENT, NULL);
}

/* The calling thread owns the loop from now on. */
static int enable(struct io *io)
{
    /* liburing 2.3 declares io_uring_enable_rings, but does not export it. */
    if (syscall(__NR_io_uring_register, io->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0)
        return -errno;
    int status = io_uring_register_ring_fd(&io->ring);
    if (status < 0)
        return status;
    io->owner = pthread_self();
    io->is_enabled = true;
    event_arm(io);
    return 0;
}

static bool has_kernel_more(const struct io *io)
{
    unsigned flags = IO_URING_READ_ONCE(*io->ring.sq.kflags);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static int broken(int result)
{
    bool is_fine = result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY;
    return is_fine ? 0 : result;
}

int io_wait(struct io *io, uint64_t wait_us)
{
    ASSERT_ON_OWNER(io);
    if (!io->is_enabled) {
        int status = enable(io);
        if (status != 0)
            return status;
    }
    int result;
    if (wait_us == 0 || io_uring_cq_ready(&io->ring) > 0 || io_socket_has_turns(io)) {
        result = io_uring_submit_and_get_events(&io->ring);
    } else {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec time = {.tv_sec = (long long)(wait_us / 1000000),
                                         .tv_nsec = (long long)(wait_us % 1000000) * 1000};
        result = io_uring_submit_and_wait_timeout(&io->ring, &cqe, 1, &time, NULL);
    }
    io->message_count = 0;
    return broken(result);
}

static void complete(struct io *io, const struct io_uring_cqe *cqe)
{
    void *pointer = (void *)(uintptr_t)(cqe->user_data & ((UINT64_C(1) << KIND_SHIFT) - 1));
    switch ((enum io_kind)(cqe->user_data >> KIND_SHIFT)) {
    case IO_RECV: io_socket_on_recv(io, pointer, cqe); return;
    case IO_SEND: io_socket_on_send(io, pointer, cqe->res); return;
    case IO_RECV_CANCEL: io_socket_on_recv_cancel(io, pointer, cqe->res); return;
    case IO_CLOSE: io_socket_on_close(io, pointer); return;
    case IO_RELEASE: io_socket_on_release(io, pointer); return;
    case IO_WRITE:
        io->writes_in_flight--;
        io->handlers->on_written(io->context, pointer, cqe->res);
        return;
    case IO_ACCEPT: io_accept_on_accept(io, pointer, cqe); return;
    case IO_ACCEPT_PAUSE: io_accept_on_pause(io, pointer); return;
    case IO_WAKE: io_wake_from_thread(pointer); return;
    case IO_WOKEN_EVENT: event_arm(io); return;
    case IO_ACCEPT_CANCEL:
    case IO_WOKEN: return;
    }
    ASSERT(false); /* a completion of an unknown kind */
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool has_gathered_long(const struct io *io)
{
    return now_ns() - io->gather_begun_ns > io->gather_ns;
}

/* Each entry is copied, so that its place is free before a callback queues more. */
static int take_completions(struct io *io)
{
    struct io_uring_cqe *cqe;
    int count = 0, left = LESS_COMPLETIONS_MAX;
    while (left > 0 && io_uring_peek_cqe(&io->ring, &cqe) == 0 && cqe != NULL) {
        struct io_uring_cqe copy = {.user_data = cqe->user_data, .res = cqe->res, .flags = cqe->flags};
        io_uring_cqe_seen(&io->ring, cqe);
        complete(io, &copy);
        count++;
        if (io->gathers_less)
            left--;
        else if (count % CLOCK_COMPLETIONS == 0)
            io->gathers_less = has_gathered_long(io);
        if (io_uring_cq_ready(&io->ring) == 0)
            break;
    }
    return count;
}

/* How often this thread has slept: switched to another one by its own will. */
static uint64_t count_sleeps(void)
{
    struct rusage usage;
    int status = getrusage(RUSAGE_THREAD, &usage);
    ASSERT(status == 0);
    return (uint64_t)usage.ru_nvcsw;
}

/* Where the disk has a cache and cannot write through it (FUA), threads of the kernel complete a write, on the core
 * that takes the disk's interrupt, in several steps of some microseconds. If that is this core, and this thread does
 * not sleep, each step may wait for the next tick of the scheduler: 4 ms at 250 Hz. If another thread took the core for
 * long, that was none of them: to such a one a thread that gives way again and again would lose more than its share. A
 * thread that has slept does not give way either. */
static void give_way(struct io *io)
{
    if (io->writes_in_flight == 0)
        return;
    uint64_t now = now_ns();
    if (now < io->give_way_at_ns)
        return;
    uint64_t sleeps = count_sleeps();
    if (sleeps == io->sleeps) {
        io_submit(io);
        uint64_t begun = now_ns();
        sched_yield();
        now = now_ns();
        if (now - begun > GAVE_LONG_NS)
            now += KEEP_NS;
    }
    io->give_way_at_ns = now + GIVE_WAY_NS;
    io->sleeps = sleeps;
}

int io_gather(struct io *io, uint64_t wait_us)
{
    int count = 0;
    give_way(io);
    io->gathers_less = false;
    bool is_idle = io_uring_cq_ready(&io->ring) == 0 || !io->is_enabled;
    if (wait_us > 0 || is_idle || io_uring_sq_ready(&io->ring) > 0) {
        int status = io_wait(io, wait_us);
        if (status != 0)
            return status;
    }
    io->gather_begun_ns = now_ns();
    io->gather_ns = GATHER_NS;
    for (int round = 0; round < GATHER_ROUNDS_MAX; round++) {
        if (io_uring_cq_ready(&io->ring) > 0)
            count += take_completions(io);
        bool has_turns = io_socket_take_turns(io);
        if (io->gathers_less || !(has_turns || has_kernel_more(io)) || has_gathered_long(io))
            break;
        int status = io_wait(io, 0); /* queued cancels are submitted first: a stopped receive takes no more */
        if (status != 0)
            return status;
    }
    io_accept_continue(io);
    if (io->gathers_less && io_uring_cq_ready(&io->ring) > PRESSED_COMPLETIONS)
        io_buffers_press(&io->buffers);
    return count;
}

void io_gather_less(struct io *io)
{
    ASSERT_ON_OWNER(io);
    io->gathers_less = true;
}

void io_gather_longer(struct io *io, uint32_t ns)
{
    ASSERT_ON_OWNER(io);
    if (io->gather_ns < GATHER_NS_MAX)
        io->gather_ns += ns;
}
