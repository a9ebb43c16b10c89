/* core_clock.c: the time for stamps and for the age of keys (core.h). */
#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "server/core.h"

/* Less than this is no news: the stamps of a burst run ahead of the clock by some microseconds. */
#define AHEAD_US UINT64_C(1000000)

void core_start_clock(struct core *core)
{
    struct clock *clock = core->server->clock;
    uint64_t wall_us = clock_wall_us(clock);
    uint64_t monotonic_us = clock_monotonic_us(clock);
    core->clock.follow =
        (struct clock_follow){.leap_us = seconds_us(core->server->config->clock_leap_s),
                              .lasts_us = FAULT(LEAP_FOLLOWED) ? 0 : seconds_us(core->server->config->clock_follow_s)};
    (void)clock_follow(&core->clock.follow, wall_us, monotonic_us);
    core->clock.keys_us = core->last_ts > 0 && core->last_ts < wall_us ? core->last_ts : wall_us;
    core->clock.keys_monotonic_us = monotonic_us;
    if (core->last_ts > wall_us + AHEAD_US)
        log_line(LOG_WARN, "ts_ahead",
                 "shard=%u ahead_s=%" PRIu64 " hint=\"a ts was given when the clock was ahead, or the clock is behind "
                 "now: for so long each new ts is the newest one plus 1 us, an order and not the time\"",
                 core->index, (core->last_ts - wall_us) / 1000000);
}

void core_follow_clock(struct core *core)
{
    uint32_t left_out;
    struct clock_follow *follow = &core->clock.follow;
    enum clock_event event = clock_follow(follow, shard_wall_us(core->shard), shard_monotonic_us(core->shard));
    if (event == CLOCK_STEADY)
        return;
    if (event != CLOCK_LEAPT) {
        log_line(LOG_WARN, event == CLOCK_FOLLOWED ? "clock_followed" : "clock_returned", "shard=%u", core->index);
        return;
    }
    if (log_limit_take(&core->clock.limit, follow->monotonic_us, CORE_LOG_INTERVAL_US, &left_out))
        log_line(LOG_WARN, "clock_leap",
                 "shard=%u leap_s=%" PRId64 " follow_s=%u hint=\"ts go on without the leap, and follow it if it lasts "
                 "that long; a clock beyond every ts is never followed: look at the system's clock\" left_out=%u",
                 core->index, follow->leap_now_us / 1000000, core->server->config->clock_follow_s, left_out);
}

uint64_t core_keys_now_us(const struct core *core)
{
    return core->clock.keys_us + (shard_monotonic_us(core->shard) - core->clock.keys_monotonic_us);
}
