#include "shard/timers.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct fired {
    struct timers timers;
    struct timer *last;
    uint32_t count;
    uint64_t now_us;
    struct timer *set_again; /* on_timer sets it anew, so much later */
    uint64_t again_us;
};

static void on_timer(void *context, struct timer *timer)
{
    struct fired *fired = context;
    fired->last = timer;
    fired->count++;
    cr_assert(timer->at_us <= fired->now_us, "a timer fires never before its time");
    cr_assert_not(timer_is_set(timer));
    if (timer == fired->set_again)
        timers_set(&fired->timers, timer, fired->now_us + fired->again_us);
}

static void advance(struct fired *fired, uint64_t now_us)
{
    fired->now_us = now_us;
    (void)timers_advance(&fired->timers, now_us, UINT32_MAX, on_timer, fired);
}

static struct fired *begin(uint64_t now_us)
{
    struct fired *fired = calloc(1, sizeof *fired);
    timers_init(&fired->timers, now_us);
    return fired;
}

Test(timers, one_fires_at_its_time_or_up_to_one_slot_later)
{
    struct fired *fired = begin(1000000);
    struct timer timer;
    timer_init(&timer);
    timers_set(&fired->timers, &timer, 2000000);
    advance(fired, 1999999);
    cr_assert_eq(fired->count, 0);
    advance(fired, 2000000 + TIMERS_SLOT_US);
    cr_assert_eq(fired->count, 1);
    cr_assert_eq(fired->last, &timer);
    free(fired);
}

Test(timers, one_that_is_cleared_does_not_fire)
{
    struct fired *fired = begin(0);
    struct timer timer;
    timer_init(&timer);
    timers_clear(&fired->timers, &timer);
    timers_set(&fired->timers, &timer, 100000);
    cr_assert(timer_is_set(&timer));
    timers_clear(&fired->timers, &timer);
    advance(fired, 10000000);
    cr_assert_eq(fired->count, 0);
    cr_assert_eq(fired->timers.count, 0);
    free(fired);
}

Test(timers, one_that_is_moved_fires_at_the_new_time_only)
{
    struct fired *fired = begin(0);
    struct timer timer;
    timer_init(&timer);
    timers_set(&fired->timers, &timer, 100000);
    timers_set(&fired->timers, &timer, 5000000);
    advance(fired, 4999999);
    cr_assert_eq(fired->count, 0);
    advance(fired, 5200000);
    cr_assert_eq(fired->count, 1);
    free(fired);
}

Test(timers, one_further_than_a_turn_of_the_wheel_goes_round)
{
    const uint64_t far_us = UINT64_C(3) * TIMERS_SLOTS * TIMERS_SLOT_US + 12345;
    struct fired *fired = begin(0);
    struct timer timer;
    timer_init(&timer);
    timers_set(&fired->timers, &timer, far_us);
    for (uint64_t now = 0; now < far_us; now += 1000003)
        advance(fired, now);
    cr_assert_eq(fired->count, 0);
    advance(fired, far_us + TIMERS_SLOT_US);
    cr_assert_eq(fired->count, 1);
    free(fired);
}

Test(timers, a_long_sleep_fires_all_that_became_due)
{
    enum { COUNT = 500 };
    struct fired *fired = begin(0);
    struct timer *timers = calloc(COUNT, sizeof *timers);
    for (uint32_t i = 0; i < COUNT; i++) {
        timer_init(&timers[i]);
        timers_set(&fired->timers, &timers[i], (uint64_t)i * 700001);
    }
    advance(fired, UINT64_C(1000000000));
    cr_assert_eq(fired->count, COUNT);
    free(timers);
    free(fired);
}

Test(timers, one_that_sets_itself_anew_fires_once_in_each_round)
{
    struct fired *fired = begin(0);
    struct timer timer;
    timer_init(&timer);
    fired->set_again = &timer;
    fired->again_us = 1;
    timers_set(&fired->timers, &timer, 1);
    for (uint64_t i = 1; i <= 10; i++) {
        advance(fired, i * 2 * TIMERS_SLOT_US);
        cr_assert_eq(fired->count, i);
    }
    free(fired);
}

Test(timers, the_wait_reaches_to_the_next_timer_and_not_past_it)
{
    struct fired *fired = begin(0);
    struct timer timer;
    timer_init(&timer);
    cr_assert_eq(timers_wait_us(&fired->timers, 0, 1000000), 1000000);
    timers_set(&fired->timers, &timer, 400000);
    uint64_t wait_us = timers_wait_us(&fired->timers, 0, 1000000);
    cr_assert(wait_us >= 400000 && wait_us <= 400000 + TIMERS_SLOT_US);
    advance(fired, wait_us);
    cr_assert_eq(fired->count, 1, "having waited so long, it is due");
    free(fired);
}

Test(timers, many_at_random_fire_each_once_and_never_early)
{
    enum { COUNT = 2000 };
    struct fired *fired = begin(123456789);
    struct timer *timers = calloc(COUNT, sizeof *timers);
    uint32_t cleared = 0;
    srand(7);
    for (uint32_t i = 0; i < COUNT; i++) {
        timer_init(&timers[i]);
        timers_set(&fired->timers, &timers[i], 123456789 + (uint64_t)(rand() % 200000000));
        if (rand() % 4 == 0) {
            timers_clear(&fired->timers, &timers[i]);
            cleared++;
        }
    }
    for (uint64_t now = 123456789; now < 123456789 + UINT64_C(201000000); now += (uint64_t)(rand() % 300000))
        advance(fired, now);
    cr_assert_eq(fired->count, COUNT - cleared);
    cr_assert_eq(fired->timers.count, 0);
    free(timers);
    free(fired);
}

Test(timers, more_than_a_turn_takes_fire_in_the_next_ones_and_none_is_late_or_lost)
{
    enum { COUNT = 10 };
    struct fired *fired = begin(0);
    struct timer timers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        timer_init(&timers[i]);
        timers_set(&fired->timers, &timers[i], 1000);
    }
    fired->now_us = 2 * TIMERS_SLOT_US;
    cr_assert(timers_advance(&fired->timers, fired->now_us, 4, on_timer, fired), "more are due");
    cr_assert_eq(fired->count, 4);
    cr_assert_eq(timers_wait_us(&fired->timers, fired->now_us, 1000000), 0, "nobody sleeps on them");
    timers_clear(&fired->timers, &timers[9]);
    timers_set(&fired->timers, &timers[8], 10 * TIMERS_SLOT_US);
    cr_assert_not(timers_advance(&fired->timers, fired->now_us, 4, on_timer, fired));
    cr_assert_eq(fired->count, 8, "one was cleared and one set anew while they waited");
    advance(fired, 11 * TIMERS_SLOT_US);
    cr_assert_eq(fired->count, 9);
    cr_assert_eq(fired->last, &timers[8]);
    free(fired);
}
