/*
 * clock_follow.h: the time for stamps: the wall clock, but for its leaps. A difference of more than `leap_us` between
 * what the wall clock says and what the monotonic clock adds up to is a leap. A leap is followed when it has lasted
 * `lasts_us`; until then the monotonic clock goes on from before it. A time that no `ts` can have (above LIMIT_TS_MAX)
 * is never followed. Smaller steps are followed at once. At the first call the wall clock is believed. Pure; one
 * thread.
 *
 * So one moment with a clock that is a year ahead does not stamp users a year ahead.
 */
#ifndef CHITCHAT_BASE_CLOCK_FOLLOW_H
#define CHITCHAT_BASE_CLOCK_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

struct clock_follow {
    /* Set before the first call, then only read. */
    uint64_t leap_us;
    uint64_t lasts_us;

    /* Read only. Zeroed: not called yet. */
    uint64_t wall_us;       /* of the last call */
    uint64_t monotonic_us;  /* of the last call */
    uint64_t now_us;        /* what the last call returned */
    int64_t leap_now_us;    /* how far the wall clock is ahead of now_us, while a leap lasts; else 0 */
    uint64_t leap_since_us; /* monotonic */
};

enum clock_event {
    CLOCK_STEADY,   /* no change */
    CLOCK_LEAPT,    /* a leap has begun, or has changed */
    CLOCK_RETURNED, /* the leap is over: the wall clock is back */
    CLOCK_FOLLOWED, /* the leap has lasted long enough and counts from now on */
};

/* Takes the two clocks into account; follow->now_us is the time. */
enum clock_event clock_follow(struct clock_follow *follow, uint64_t wall_us, uint64_t monotonic_us);

#endif
