/* io.h: a thread that does not sleep gives way to the kernel's threads, which complete its write. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "shard/io.h"

struct fixture {
    struct io *io;
    int written_result;
    uint32_t written_calls;
};

static void on_written(void *context, struct io_write *write, int result)
{
    struct fixture *fixture = context;
    (void)write;
    fixture->written_calls++;
    fixture->written_result = result;
}

static const struct io_handlers handlers = {.on_written = on_written};

static struct fixture *fixture_open(void)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct io_options options = {.recv_buffer_bytes = 256, .recv_buffer_count = 4};
    cr_assert_eq(io_open(&fixture->io, &options, &handlers, fixture), 0);
    return fixture;
}

static void fixture_close(struct fixture *fixture)
{
    io_close_loop(&fixture->io);
    free(fixture);
}

/* Takes the place of the function of the C library: io gives the core to threads of the kernel by it. */
static uint32_t yields;
int sched_yield(void)
{
    yields++;
    return 0;
}

#define NS_PER_S 1000000000L

static long ns_since(const struct timespec *begun)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - begun->tv_sec) * NS_PER_S + now.tv_nsec - begun->tv_nsec;
}

/* Gathers without sleeping until `wanted` yields, or for `ns`: 2 ms are longer than a thread may keep the core while a
 * write is in flight. The yields. */
static uint32_t gather_awake(struct fixture *fixture, uint32_t wanted, long ns)
{
    struct timespec begun;
    yields = 0;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    do
        cr_assert_geq(io_gather(fixture->io, 0), 0);
    while (yields < wanted && ns_since(&begun) < ns);
    return yields;
}

/* A write of PIPE_BYTES to a pipe that is full is in flight until that is read. */
#define PIPE_BYTES 4096
struct full_pipe {
    int ends[2];
    char data[PIPE_BYTES];
    struct io_write write;
};

static void pipe_fill(struct full_pipe *pipe_r)
{
    memset(pipe_r, 0, sizeof *pipe_r);
    cr_assert_eq(pipe(pipe_r->ends), 0);
    cr_assert_eq(fcntl(pipe_r->ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    cr_assert_eq(write(pipe_r->ends[1], pipe_r->data, PIPE_BYTES), PIPE_BYTES);
    pipe_r->write = (struct io_write){.fd = pipe_r->ends[1], .data = pipe_r->data, .bytes = PIPE_BYTES};
}

static void pipe_drain(struct fixture *fixture, struct full_pipe *pipe)
{
    char data[PIPE_BYTES];
    cr_assert_eq(fixture->written_calls, 0, "the write is in flight");
    cr_assert_eq(read(pipe->ends[0], data, sizeof data), PIPE_BYTES);
    for (int turn = 0; turn < 1000 && fixture->written_calls == 0; turn++)
        cr_assert_geq(io_gather(fixture->io, 50000), 0);
    cr_assert_eq(fixture->written_result, PIPE_BYTES);
    close(pipe->ends[0]);
    close(pipe->ends[1]);
}

Test(io, a_thread_that_stays_awake_gives_way_while_a_write_is_in_flight)
{
    struct fixture *fixture = fixture_open();
    struct full_pipe pipe;
    pipe_fill(&pipe);
    cr_assert_eq(gather_awake(fixture, 1, 2000000), 0);
    io_write_submit(fixture->io, &pipe.write);
    cr_assert_eq(gather_awake(fixture, 3, 10 * NS_PER_S), 3);
    pipe_drain(fixture, &pipe);
    cr_assert_eq(gather_awake(fixture, 1, 2000000), 0);
    fixture_close(fixture);
}

Test(io, a_thread_that_sleeps_does_not_give_way)
{
    struct fixture *fixture = fixture_open();
    struct full_pipe pipe;
    pipe_fill(&pipe);
    io_write_submit(fixture->io, &pipe.write);
    for (int turn = 0; turn < 20; turn++) {
        cr_assert_eq(io_wait(fixture->io, 1000), 0);
        cr_assert_eq(io_gather(fixture->io, 0), 0);
    }
    cr_assert_leq(yields, 1, "of 20 turns, if a wait of one was over before it slept");
    pipe_drain(fixture, &pipe);
    fixture_close(fixture);
}
