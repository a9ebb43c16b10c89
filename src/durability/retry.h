/*
 * retry.h: when to try again what failed: after 1, 2, 4, … seconds, up to a limit. Zeroed memory is a retry that has
 * not failed. Shard's thread.
 */
#ifndef CHITCHAT_DURABILITY_RETRY_H
#define CHITCHAT_DURABILITY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/log_limit.h"

struct retry {
    uint32_t failures;      /* in a row */
    uint32_t left_s;        /* until the next try */
    struct log_limit limit; /* of the lines that report a failure */
};

/* One more failure: the next try comes after twice the wait before, `wait_max_s` (at least 1) at most. */
static inline void retry_failed(struct retry *retry, uint32_t wait_max_s)
{
    ASSERT(wait_max_s > 0);
    retry->failures++;
    retry->left_s =
        retry->failures > 6 || 1u << (retry->failures - 1) > wait_max_s ? wait_max_s : 1u << (retry->failures - 1);
}

/* Called once a second: whether the time has come, or nothing has failed. */
static inline bool retry_is_due(struct retry *retry)
{
    if (retry->left_s > 0)
        retry->left_s--;
    return retry->left_s == 0;
}

#endif
