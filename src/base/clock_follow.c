#include "base/clock_follow.h"

#include "base/limits.h"

static uint64_t distance(int64_t us)
{
    return us < 0 ? -(uint64_t)us : (uint64_t)us;
}

/* A new leap, or one more on top of the one that lasts, begins to last now. */
static bool has_leapt(const struct clock_follow *follow, int64_t leap_us)
{
    return follow->leap_now_us == 0 || distance(leap_us - follow->leap_now_us) > follow->leap_us;
}

static enum clock_event follow_wall(struct clock_follow *follow, enum clock_event event)
{
    follow->now_us = follow->wall_us;
    follow->leap_now_us = 0;
    return event;
}

enum clock_event clock_follow(struct clock_follow *follow, uint64_t wall_us, uint64_t monotonic_us)
{
    bool is_first = follow->now_us == 0;
    uint64_t now_us = follow->now_us + (monotonic_us - follow->monotonic_us);
    int64_t leap_us = (int64_t)(wall_us - now_us);
    follow->wall_us = wall_us;
    follow->monotonic_us = monotonic_us;
    if (is_first)
        return follow_wall(follow, CLOCK_STEADY);
    if (distance(leap_us) <= follow->leap_us)
        return follow_wall(follow, follow->leap_now_us == 0 ? CLOCK_STEADY : CLOCK_RETURNED);
    follow->now_us = now_us;
    bool is_new = has_leapt(follow, leap_us);
    if (is_new)
        follow->leap_since_us = monotonic_us;
    follow->leap_now_us = leap_us;
    if (monotonic_us - follow->leap_since_us >= follow->lasts_us && wall_us <= LIMIT_TS_MAX)
        return follow_wall(follow, CLOCK_FOLLOWED);
    return is_new ? CLOCK_LEAPT : CLOCK_STEADY;
}
