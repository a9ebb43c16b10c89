#include "sim_clock.h"

#include <stdlib.h>

#include "sim_client.h"

static const struct clock_follow *follow_of(const struct sim *sim, uint32_t shard)
{
    return &harness_core(sim->harness, shard)->clock.follow;
}

/* By how much the wall clock is ahead of the monotonic one. */
static uint64_t wall_ahead_us(const struct sim *sim)
{
    return harness_now(sim->harness) - harness_monotonic(sim->harness);
}

static const struct config *config_of(const struct sim *sim)
{
    return harness_core(sim->harness, 0)->server->config;
}

static bool is_leap(const struct sim *sim, int64_t us)
{
    return (uint64_t)llabs(us) > seconds_us(config_of(sim)->clock_leap_s);
}

static bool has_lasted(const struct sim *sim, const struct sim_shard_clock *shard)
{
    return harness_monotonic(sim->harness) - shard->leap_since_us >= seconds_us(config_of(sim)->clock_follow_s);
}

/* The shard has read the clock, for the first time since the last call. */
static void read_clock(struct sim *sim, uint32_t index)
{
    struct sim_shard_clock *shard = &sim->clock.shards[index];
    const struct clock_follow *follow = follow_of(sim, index);
    uint64_t wall_us = wall_ahead_us(sim), ahead_us = follow->now_us - follow->monotonic_us;
    int64_t leap_us = (int64_t)(wall_us - shard->ahead_us);
    if (!is_leap(sim, leap_us)) {
        shard->ahead_us = wall_us;
        shard->leap_us = 0;
    } else {
        if (shard->leap_us == 0 || is_leap(sim, leap_us - shard->leap_us))
            shard->leap_since_us = sim->clock.watched_us;
        shard->leap_us = leap_us;
        if (ahead_us == wall_us && has_lasted(sim, shard)) {
            shard->ahead_us = wall_us;
            shard->leap_us = 0;
        }
    }
    if (ahead_us != shard->ahead_us)
        sim_fail("shard %u takes %llu for the present, and it is %llu", index, (unsigned long long)follow->now_us,
                 (unsigned long long)(shard->ahead_us + follow->monotonic_us));
}

void sim_clock_begin(struct sim *sim)
{
    sim->clock.watched_us = harness_monotonic(sim->harness);
    for (uint32_t i = 0; i < sim->shards; i++) {
        sim->clock.shards[i] = (struct sim_shard_clock){.ahead_us = wall_ahead_us(sim)};
        read_clock(sim, i);
    }
}

void sim_clock_watch(struct sim *sim)
{
    sim->clock.most_us = sim_clock_latest_us(sim);
    for (uint32_t i = 0; i < sim->shards; i++) {
        struct sim_shard_clock *shard = &sim->clock.shards[i];
        const struct clock_follow *follow = follow_of(sim, i);
        if (follow->monotonic_us != shard->read_us || follow->wall_us != shard->read_wall_us)
            read_clock(sim, i);
        shard->read_us = follow->monotonic_us;
        shard->read_wall_us = follow->wall_us;
    }
    sim->clock.watched_us = harness_monotonic(sim->harness);
}

/* Whether a shard that reads the clock now takes the wall clock for the present. */
static bool may_follow(const struct sim *sim, const struct sim_shard_clock *shard)
{
    int64_t leap_us = (int64_t)(wall_ahead_us(sim) - shard->ahead_us);
    return !is_leap(sim, leap_us)
           || (shard->leap_us != 0 && !is_leap(sim, leap_us - shard->leap_us) && has_lasted(sim, shard));
}

uint64_t sim_clock_most_us(const struct sim *sim)
{
    uint64_t wall_us = wall_ahead_us(sim), most_us = 0;
    for (uint32_t i = 0; i < sim->shards; i++) {
        const struct sim_shard_clock *shard = &sim->clock.shards[i];
        uint64_t ahead_us = shard->ahead_us;
        if (wall_us > ahead_us && may_follow(sim, shard))
            ahead_us = wall_us;
        most_us = ahead_us > most_us ? ahead_us : most_us;
    }
    return most_us + harness_monotonic(sim->harness);
}

uint64_t sim_clock_latest_us(const struct sim *sim)
{
    uint64_t now_us = sim_clock_most_us(sim);
    return now_us > sim->clock.most_us ? now_us : sim->clock.most_us;
}
