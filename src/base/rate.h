/*
 * rate.h: a token bucket: at most so many takes a second, with bursts of one second's worth. Pure; one thread.
 *
 * A struct rate of zeros is a full bucket. The counts are integers, so nothing is lost to rounding.
 */
#ifndef CHITCHAT_BASE_RATE_H
#define CHITCHAT_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_PER_SECOND_MAX 1000000u

struct rate {
    uint64_t at_us; /* when `used` was counted */
    uint64_t used;  /* millionths of a take that are not refilled yet */
};

/* A bucket from which `taken`, at most RATE_PER_SECOND_MAX (asserted), were taken at `now_us` (monotonic, here and
 * below). */
struct rate rate_begin(uint32_t taken, uint64_t now_us);
/* Whether the bucket is full at `now_us`, if the rate did not change: then a struct of zeros serves as well. */
bool rate_is_full(const struct rate *rate, uint64_t now_us);
/* Takes one. False: nothing was taken, and after *retry_after_ms_r (at least 1) one can be taken, if nobody else takes;
 * else *retry_after_ms_r is not set. `per_second` is at most RATE_PER_SECOND_MAX (asserted); 0 means no limit. Calls
 * may give different rates. */
bool rate_take(struct rate *rate, uint32_t per_second, uint64_t now_us, uint32_t *retry_after_ms_r);

#endif
