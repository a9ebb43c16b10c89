/*
 * log_limit.h: a line of the log that may come very often is written once in a while, and then says how many were left
 * out. One limit for each kind of line; one thread. Zeroed memory is a limit that has told nothing yet.
 */
#ifndef CHITCHAT_BASE_LOG_LIMIT_H
#define CHITCHAT_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct log_limit {
    uint64_t next_us;
    uint32_t left_out;
};

/* Whether the line may be written now, monotonic time; then *left_out_r says how many were not since the last one. */
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
