/*
 * log_double.h: a log engine (storage/log_engine.h) in memory, with the troubles of a real one: an append that is lost,
 * that lands and is not acknowledged, that lands later, or that is visible and not durable; a failover, which drops
 * what is not durable; a session that reaches nothing; and a tail that is lost, which no engine may do. One thread.
 */
#ifndef CHITCHAT_TESTS_SIM_LOG_DOUBLE_H
#define CHITCHAT_TESTS_SIM_LOG_DOUBLE_H

#include "storage/log_batch.h"
#include "storage/log_engine.h"

/* Random numbers that a seed decides. */
struct dice {
    uint64_t state;
};
/* From 0 to below `below`, which is not 0. */
uint32_t dice_below(struct dice *dice, uint32_t below);
/* True once in `in` times, on average. */
static inline bool dice_hits(struct dice *dice, uint32_t in)
{
    return dice_below(dice, in) == 0;
}

struct log_double;

struct log_double_options {
    uint32_t logs;
    struct dice dice;
    uint32_t trouble_in;     /* an append has trouble once in so many times; 0: never */
    bool compares_positions; /* alone, neither hashes nor generations, and it never drops what was visible: as an engine
                                whose appends name the number that they expect */
};

/* The caller closes it. */
struct log_double *log_double_open(const struct log_double_options *options);
void log_double_close(struct log_double **log_double);

/* The table. Its `open` takes the double that log_double_use named last. */
extern const struct log_engine log_double_engine;
void log_double_use(struct log_double *log_double);

/* The session reaches nothing, from now on or not any more. */
void log_double_cut(struct log_session *session, bool is_cut);
/* Some time passes: what is late may land, what is not durable may become so. */
void log_double_step(struct log_double *log_double);
/* The servers fail over: what is not durable is gone. */
void log_double_fail_over(struct log_double *log_double);
/* The last `count` batches of a log are gone, acknowledged or not. */
void log_double_drop(struct log_double *log_double, uint32_t log, uint32_t count);
/* No trouble any more: what is late lands or never will, and all is durable. */
void log_double_calm(struct log_double *log_double);

/* The number of the last batch, and one of them: its bytes, which are borrowed until the log changes; NULL: purged. */
uint64_t log_double_last(const struct log_double *log_double, uint32_t log);
const void *log_double_batch(const struct log_double *log_double, uint32_t log, uint64_t number, uint32_t *bytes_r);

#endif
