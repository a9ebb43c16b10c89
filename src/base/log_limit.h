/*
 * log_limit.h: a log line that may come very often is written once per interval, and then says how many were left out.
 * One limit for each kind of line. One thread. A struct of zeros is a limit that has left nothing out.
 */
#ifndef CHITCHAT_BASE_LOG_LIMIT_H
#define CHITCHAT_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct log_limit {
    uint64_t next_us;  /* monotonic: not before this time */
    uint32_t left_out; /* since the last line */
};

/* True if the line may be written at `now_us` (monotonic): *left_out_r lines were left out since the last one. False:
 * this line is counted as left out, and *left_out_r is not set. */
static inline bool log_limit_take(struct log_limit *limit, uint64_t now_us, uint64_t interval_us, uint32_t *left_out_r)
{
    if (now_us < limit->next_us) {
        limit->left_out++;
        return false;
    }
    *left_out_r = limit->left_out;
    limit->left_out = 0;
    limit->next_us = now_us + interval_us;
    return true;
}

#endif
