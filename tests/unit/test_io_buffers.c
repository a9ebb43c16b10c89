#include <criterion/criterion.h>

#include <liburing.h>

#include "shard/io_buffers.h"

/* The kernel's part, taking buffers off the ring, is played by the test: it calls io_buffers_take. */

#define COUNT 256u
#define BYTES 4096u

static struct io_uring uring;
static struct io_buffers buffers;

static void setup(void)
{
    cr_assert_eq(io_uring_queue_init(4, &uring, 0), 0);
    cr_assert_eq(io_buffers_open(&buffers, &uring, COUNT, BYTES), 0);
}

static void teardown(void)
{
    io_uring_queue_exit(&uring);
    io_buffers_close(&buffers);
}

TestSuite(io_buffers, .init = setup, .fini = teardown);

/* So many receives, each given back before the next. */
static void receive(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        io_buffers_take(&buffers, i % buffers.window);
        io_buffers_give(&buffers, i % buffers.window);
    }
}

Test(io_buffers, only_a_window_is_on_offer)
{
    cr_assert_lt(buffers.offered, COUNT);
    cr_assert_eq(buffers.offered, buffers.window);
    cr_assert_eq(buffers.offered + buffers.rest_count, COUNT);
    receive(10 * COUNT);
    cr_assert_eq(buffers.offered, buffers.window);
    cr_assert_eq(buffers.offered + buffers.rest_count, COUNT);
}

Test(io_buffers, the_window_doubles_once_for_many_receives_that_found_none)
{
    uint32_t window = buffers.window;
    receive(window);
    for (int i = 0; i < 100; i++)
        io_buffers_widen(&buffers, false);
    cr_assert_eq(buffers.window, 2 * window);
    cr_assert_eq(buffers.offered, 2 * window);
    receive(2 * window);
    io_buffers_widen(&buffers, false);
    cr_assert_eq(buffers.window, 4 * window);
}

Test(io_buffers, the_window_never_grows_past_what_there_is)
{
    for (int i = 0; i < 20; i++) {
        receive(COUNT);
        io_buffers_widen(&buffers, false);
    }
    cr_assert_eq(buffers.window, COUNT);
    cr_assert_eq(buffers.offered, COUNT);
    cr_assert_eq(buffers.rest_count, 0);
}

Test(io_buffers, under_pressure_the_window_grows_little_and_halves)
{
    for (int i = 0; i < 20; i++) {
        receive(COUNT);
        io_buffers_widen(&buffers, true);
    }
    uint32_t widest = buffers.window;
    cr_assert_lt(widest, COUNT);
    io_buffers_press(&buffers);
    cr_assert_eq(buffers.window, widest, "no lower");
    receive(COUNT);
    io_buffers_widen(&buffers, false);
    cr_assert_eq(buffers.window, 2 * widest);
    io_buffers_press(&buffers);
    cr_assert_eq(buffers.window, widest);
}

Test(io_buffers, after_a_quiet_time_fewer_are_on_offer_and_their_memory_is_gone)
{
    uint32_t least = buffers.window;
    for (int i = 0; i < 20; i++) {
        receive(COUNT);
        io_buffers_widen(&buffers, false);
    }
    for (uint32_t id = 0; id < COUNT; id++) {
        *io_buffers_take(&buffers, id) = 'x';
        io_buffers_give(&buffers, id);
    }
    io_buffers_trim(&buffers);
    cr_assert_eq(buffers.window, COUNT, "much came since the last trim");
    for (int i = 0; i < 10; i++)
        io_buffers_trim(&buffers);
    cr_assert_eq(buffers.window, least);
    cr_assert_eq(buffers.offered, COUNT, "those that the kernel has stay with it until they are used");
    for (uint32_t id = 0; id < COUNT; id++) {
        io_buffers_take(&buffers, id);
        io_buffers_give(&buffers, id);
    }
    cr_assert_eq(buffers.offered, least);
    io_buffers_trim(&buffers);
    for (uint32_t i = 0; i < buffers.rest_count; i++)
        cr_assert_eq(buffers.data[(size_t)buffers.rest[i] * BYTES], 0, "it went back to the system");
}

Test(io_buffers, a_busy_loop_keeps_its_window)
{
    receive(COUNT);
    io_buffers_widen(&buffers, false);
    uint32_t window = buffers.window;
    for (int i = 0; i < 5; i++) {
        receive(100 * window);
        io_buffers_trim(&buffers);
    }
    cr_assert_eq(buffers.window, window);
}
