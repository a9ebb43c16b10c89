#include "base/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return seconds_us((uint64_t)now.tv_sec) + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t system_wall_us(struct clock *clock)
{
    (void)clock;
    return read_us(CLOCK_REALTIME);
}

static uint64_t system_monotonic_us(struct clock *clock)
{
    (void)clock;
    return read_us(CLOCK_MONOTONIC);
}

static void system_sleep_us(struct clock *clock, uint64_t us)
{
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    (void)clock;
    while (nanosleep(&left, &left) != 0)
        continue;
}

void clock_init_system(struct clock *clock)
{
    clock->sleep_us = system_sleep_us;
    clock->wall_us = system_wall_us;
    clock->monotonic_us = system_monotonic_us;
}
