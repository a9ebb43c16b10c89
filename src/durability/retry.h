/*
 * retry.h: what failed and is to be tried again: after 1, 2, 4, … seconds, up to a limit. Shard's thread.
 */
#ifndef CHITCHAT_DURABILITY_RETRY_H
#define CHITCHAT_DURABILITY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log_limit.h"

struct retry {
    uint32_t failures; /* in a row */
    uint32_t wait_s;
    uint32_t left_s;
    struct log_limit limit; /* of the lines that say so */
};

/* Once more without success: waits twice as long as before, `wait_max_s` at most. */
static inline void retry_failed(struct retry *retry, uint32_t wait_max_s)
{
    retry->failures++;
    retry->wait_s =
        retry->failures > 6 || 1u << (retry->failures - 1) > wait_max_s ? wait_max_s : 1u << (retry->failures - 1);
    retry->left_s = retry->wait_s;
}

/* Once a second: whether it is time. */
static inline bool retry_is_due(struct retry *retry)
{
    if (retry->left_s > 0)
        retry->left_s--;
    return retry->left_s == 0;
}

#endif
