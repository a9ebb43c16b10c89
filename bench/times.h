/*
 * times.h: the kernel's clocks in the units that the programs of this folder count in. Any thread.
 */
#ifndef CHITCHAT_BENCH_TIMES_H
#define CHITCHAT_BENCH_TIMES_H

#include <errno.h>
#include <stdint.h>
#include <time.h>

/* Microseconds and seconds of a clock that never steps back. */
static inline uint64_t times_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Seconds of any clock; 0 if it cannot be read. */
static inline double times_clock_s(clockid_t clock)
{
    struct timespec read;
    return clock_gettime(clock, &read) == 0 ? (double)read.tv_sec + (double)read.tv_nsec / 1e9 : 0;
}

static inline double times_now_s(void)
{
    return times_clock_s(CLOCK_MONOTONIC);
}

static inline struct timespec times_of_us(uint64_t us)
{
    return (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
}

/* The calling thread waits for `us`, even if signals come. */
static inline void times_sleep_us(uint64_t us)
{
    struct timespec wait = times_of_us(us);
    while (nanosleep(&wait, &wait) != 0 && errno == EINTR)
        continue;
}

#endif
