/*
 * clock.h: the one door to time. The real one asks the kernel; the simulator and the tests give their own,
 * which may jump. Any thread may ask; the clock outlives all that hold it.
 */
#ifndef CHITCHAT_BASE_CLOCK_H
#define CHITCHAT_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*wall_us)(struct clock *clock);      /* since the Unix epoch; may step back */
    uint64_t (*monotonic_us)(struct clock *clock); /* since some start; never steps back */
    void (*sleep_us)(struct clock *clock, uint64_t us);
};

static inline uint64_t clock_wall_us(struct clock *clock)
{
    return clock->wall_us(clock);
}

static inline uint64_t clock_monotonic_us(struct clock *clock)
{
    return clock->monotonic_us(clock);
}

/* The calling thread, which may block, waits for so long. */
static inline void clock_sleep_us(struct clock *clock, uint64_t us)
{
    clock->sleep_us(clock, us);
}

/* Fills `clock` with the kernel's clocks. */
void clock_init_system(struct clock *clock);

#endif
