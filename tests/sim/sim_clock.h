/*
 * sim_clock.h: the time that each shard takes for the present (base/clock_follow.h), as the simulator knows it: which
 * clocks the shard could read, and when it last did. A shard follows a small step when it reads the clock next, and a
 * leap when it has lasted; until then its time goes on with the monotonic clock. So after a leap, or steps that add up,
 * it may be far from the wall clock.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_CLOCK_H
#define CHITCHAT_TESTS_SIM_SIM_CLOCK_H

#include <stdint.h>

#define SIM_SHARDS_MAX 4u

struct sim;

struct sim_clock {
    /* All times are monotonic, but for those that say wall. */
    struct sim_shard_clock {
        uint64_t ahead_us;      /* the shard's time less the monotonic clock */
        int64_t leap_us;        /* of the wall clock, as the shard last read it; 0: none */
        uint64_t leap_since_us; /* not later than the shard knows of it */
        uint64_t read_us;       /* when the shard last read the clock */
        uint64_t read_wall_us;  /* the wall clock then */
    } shards[SIM_SHARDS_MAX];
    uint64_t watched_us; /* when sim_clock_watch was last called */
    uint64_t most_us;    /* wall: the latest that any shard may have taken for the present, in all lives */
};

/* A life has begun: each shard believes the wall clock. */
void sim_clock_begin(struct sim *sim);
/* To be called before the wall clock and the monotonic clock change by different amounts. Ends the run if the time of a
 * shard has changed as it may not. */
void sim_clock_watch(struct sim *sim);
/* The latest time that a shard may take for the present, should it read the clock now. Microseconds. */
uint64_t sim_clock_most_us(const struct sim *sim);
/* The latest that any shard may have taken for the present until now. Microseconds. */
uint64_t sim_clock_latest_us(const struct sim *sim);

#endif
