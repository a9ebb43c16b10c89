/*
 * clock.h: the only way to the time. The system's clock asks the kernel; the simulator and the tests have clocks of
 * their own, which may jump. Any thread may call these. Users borrow the clock, which outlives them.
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

/* Blocks the calling thread for `us` microseconds. Never on a shard's thread. */
static inline void clock_sleep_us(struct clock *clock, uint64_t us)
{
    clock->sleep_us(clock, us);
}

/* Options are in whole seconds, all clocks in microseconds. */
static inline uint64_t seconds_us(uint64_t seconds)
{
    return seconds * 1000000;
}

/* Fills `clock` with the kernel's clocks. */
void clock_init_system(struct clock *clock);

#endif
