#include "base/rate.h"

#include "base/assert.h"

/* One take, in the unit of `used`. A second refills `per_second` takes: per_second units a microsecond. */
#define TAKE 1000000u
/* In that time the slowest bucket refills what the fastest holds, and the product does not overflow. */
#define REFILL_US_MAX (UINT64_C(1000000) * RATE_PER_SECOND_MAX)

static void refill(struct rate *rate, uint32_t per_second, uint64_t now_us)
{
    if (now_us <= rate->at_us)
        return;
    uint64_t passed_us = now_us - rate->at_us;
    rate->at_us = now_us;
    if (passed_us > REFILL_US_MAX)
        passed_us = REFILL_US_MAX;
    uint64_t refilled = passed_us * per_second;
    rate->used = rate->used > refilled ? rate->used - refilled : 0;
}

struct rate rate_begin(uint32_t taken, uint64_t now_us)
{
    ASSERT(taken <= RATE_PER_SECOND_MAX);
    return (struct rate){.at_us = now_us, .used = (uint64_t)taken * TAKE};
}

/* A bucket holds one second's worth: after a second it is full. */
bool rate_is_full(const struct rate *rate, uint64_t now_us)
{
    return rate->used == 0 || now_us >= rate->at_us + TAKE;
}

bool rate_take(struct rate *rate, uint32_t per_second, uint64_t now_us, uint32_t *retry_after_ms_r)
{
    ASSERT(per_second <= RATE_PER_SECOND_MAX);
    if (per_second == 0)
        return true;
    refill(rate, per_second, now_us);
    uint64_t full = (uint64_t)per_second * TAKE;
    if (rate->used + TAKE <= full) {
        rate->used += TAKE;
        return true;
    }
    uint64_t over = rate->used + TAKE - full;
    uint64_t per_ms = (uint64_t)per_second * 1000;
    *retry_after_ms_r = (uint32_t)((over + per_ms - 1) / per_ms);
    return false;
}
