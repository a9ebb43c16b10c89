/*
 * rate.h: so many a second, with bursts of one second's worth (a bucket that is full at the start). Pure; one thread.
 *
 * A struct rate of zeros is a full bucket too. Whole numbers only: no drift, nothing lost to rounding.
 */
#ifndef CHITCHAT_BASE_RATE_H
#define CHITCHAT_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_PER_SECOND_MAX 1000000u

struct rate {
    uint64_t at_us; /* when `used` was counted */
    uint64_t used;  /* millionths of a take that are not yet made good */
};

/* `now_us` is monotonic, here and below. */
void rate_init(struct rate *rate, uint64_t now_us);

/* Whether all is made good by now, if it was taken at a rate that has not changed: then a struct of zeros is as good.
 */
bool rate_is_full(const struct rate *rate, uint64_t now_us);
/* Takes one. True, or false and *retry_after_ms_r (at least 1): nothing was taken, and after that time, if nobody else
 * takes, one can be. `per_second` 0: always true; at most RATE_PER_SECOND_MAX. It may change between calls. */
bool rate_take(struct rate *rate, uint32_t per_second, uint64_t now_us, uint32_t *retry_after_ms_r);

#endif
