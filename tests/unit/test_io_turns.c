/* test_io_turns.c: sockets whose input comes faster than it is taken, beside one with little. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "shard/io.h"

#define BUFFER_BYTES 256
#define MUCH_BYTES ((size_t)64 * BUFFER_BYTES)
#define TURNS_AT_MOST 10000
#define SLOW_US 1000 /* more than an io_gather takes by itself */
#define MANY 32

struct side {
    struct io_socket socket;
    int peer;
    size_t bytes; /* received */
    bool is_closed;
    bool gives_parts; /* the caller waits for more than it receives */
    bool is_slow;     /* the caller takes some time for what it receives */
};

static struct io *io;
static struct side much, few;

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    (void)context;
    (void)data;
    cr_assert_gt(result, 0);
    struct side *side = container_of(socket, struct side, socket);
    side->bytes += (size_t)result;
    if (side->gives_parts)
        io_recv_in_turn(io, socket);
    if (side->is_slow)
        usleep(SLOW_US);
}

static void on_closed(void *context, struct io_socket *socket)
{
    (void)context;
    container_of(socket, struct side, socket)->is_closed = true;
}

static const struct io_handlers handlers = {.on_recv = on_recv, .on_closed = on_closed};

static void turn(void)
{
    cr_assert_geq(io_gather(io, 1000), 0);
}

static void turn_until_bytes(const struct side *side, size_t bytes)
{
    for (int i = 0; i < TURNS_AT_MOST && side->bytes < bytes; i++)
        turn();
    cr_assert_eq(side->bytes, bytes);
}

static void open_side(struct side *side, size_t bytes)
{
    static const char zeros[MUCH_BYTES];
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    *side = (struct side){.peer = ends[1]};
    io_adopt(io, &side->socket, ends[0]);
    io_recv_start(io, &side->socket);
    cr_assert_eq(write(side->peer, zeros, bytes), (ssize_t)bytes);
}

static void close_side(struct side *side)
{
    io_close(io, &side->socket);
    for (int i = 0; i < TURNS_AT_MOST && !side->is_closed; i++)
        turn();
    cr_assert(side->is_closed);
    close(side->peer);
}

static void open_loop_with(uint32_t buffers)
{
    struct io_options options = {.recv_buffer_bytes = BUFFER_BYTES, .recv_buffer_count = buffers};
    cr_assert_eq(io_open(&io, &options, &handlers, NULL), 0);
}

static void open_loop(void)
{
    open_loop_with(4);
}

static void close_loop(void)
{
    io_close_loop(&io);
}

TestSuite(io_turns, .init = open_loop, .fini = close_loop);

/* A peer that has much takes all buffers; the other one's few bytes are in the second gather all the same. */
Test(io_turns, sockets_take_turns_when_buffers_are_short)
{
    open_side(&much, MUCH_BYTES);
    open_side(&few, 3);
    turn();
    turn();
    cr_assert_eq(few.bytes, 3);
    turn_until_bytes(&much, MUCH_BYTES);
    close_side(&much);
    close_side(&few);
}

Test(io_turns, a_hold_leaves_input_in_the_kernel_but_not_that_of_others)
{
    io_hold_turns(io, true);
    open_side(&much, MUCH_BYTES);
    turn();
    turn();
    size_t before = much.bytes;
    cr_assert_lt(before, MUCH_BYTES);
    open_side(&few, 3);
    turn_until_bytes(&few, 3);
    cr_assert_eq(much.bytes, before);
    io_hold_turns(io, false);
    turn_until_bytes(&much, MUCH_BYTES);
    close_side(&much);
    close_side(&few);
}

Test(io_turns, a_hold_that_lasts_has_gaps)
{
    open_side(&much, MUCH_BYTES);
    for (int i = 0; i < TURNS_AT_MOST && much.bytes < MUCH_BYTES; i++) {
        io_hold_turns(io, true);
        cr_assert_geq(io_gather(io, 0), 0);
    }
    cr_assert_eq(much.bytes, MUCH_BYTES);
    close_side(&much);
}

/* A socket that the caller has stopped has much: its next receive waits for its turn. */
Test(io_turns, a_stopped_socket_waits_for_its_turn)
{
    open_side(&few, 3);
    turn_until_bytes(&few, 3);
    io_recv_stop(io, &few.socket);
    turn();
    io_hold_turns(io, true);
    io_recv_start(io, &few.socket);
    cr_assert_eq(write(few.peer, "few", 3), 3);
    turn();
    turn();
    cr_assert_eq(few.bytes, 3);
    io_hold_turns(io, false);
    turn_until_bytes(&few, 6);
    close_side(&few);
}

/* The peer of `few` sends a byte, which is received, and another one, which is not before the hold ends. */
static void expect_that_few_waits(void)
{
    size_t bytes = few.bytes;
    turn();
    io_hold_turns(io, true);
    cr_assert_eq(write(few.peer, "f", 1), 1);
    turn_until_bytes(&few, bytes + 1);
    cr_assert_eq(write(few.peer, "f", 1), 1);
    turn();
    turn();
    cr_assert_eq(few.bytes, bytes + 1);
    io_hold_turns(io, false);
    turn_until_bytes(&few, bytes + 2);
}

/* Each byte of the peer comes alone, and the caller waits for more. What is in flight already still receives. */
Test(io_turns, a_socket_that_gave_a_part_waits_for_its_turn)
{
    open_side(&few, 1);
    few.gives_parts = true;
    turn_until_bytes(&few, 1);
    expect_that_few_waits();
    close_side(&few);
}

/* A multishot receive ends then. */
Test(io_turns, a_socket_that_took_no_turns_takes_them_after_a_part)
{
    open_side(&few, 1);
    for (size_t bytes = 1; bytes < 24; bytes++) {
        turn_until_bytes(&few, bytes);
        few.gives_parts = bytes >= 20;
        cr_assert_eq(write(few.peer, "f", 1), 1);
    }
    turn_until_bytes(&few, 24);
    expect_that_few_waits();
    close_side(&few);
}

/* What takes long is not taken all at once, unless it is worth it (io_gather_longer). */
Test(io_turns, a_gather_in_which_time_passes_leaves_the_rest_to_the_next_one)
{
    static struct side sides[MANY];
    uint32_t served = 0;
    close_loop();
    open_loop_with(MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        open_side(&sides[i], 1);
        sides[i].is_slow = true;
    }
    turn();
    for (uint32_t i = 0; i < MANY; i++)
        served += sides[i].bytes > 0;
    cr_assert_lt(served, MANY);
    for (uint32_t i = 0; i < MANY; i++)
        turn_until_bytes(&sides[i], 1);
    for (uint32_t i = 0; i < MANY; i++)
        close_side(&sides[i]);
}
