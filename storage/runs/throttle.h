/*
 * throttle.h: how fast the background may write rows, so that the log, which every acknowledgement waits for, has the
 * disk and the core when it needs them. Pure: times and counts come as arguments.
 *
 * What is merged follows from what comes in: a row is written by its checkpoint and once more for each level that it
 * rises, so merges keep up at levels times the rate of the ingest. They go a fifth faster than that; with two thirds of
 * the allowed runs there they hurry, and near the cap they wait for nothing. A checkpoint takes half of the time in
 * which its generation was filled, so that the next generation is never full before it is done.
 *
 * Each thread has a bucket of its own: what it wrote puts off its due time, and it waits until that has come; a pause
 * gives it no more than a tenth of a second of work at once.
 */
#ifndef CHITCHAT_STORAGE_RUNS_THROTTLE_H
#define CHITCHAT_STORAGE_RUNS_THROTTLE_H

#include <stdint.h>

/* Slower is of no use to anybody, rows a second. */
#define THROTTLE_CHECKPOINT_MIN UINT64_C(400000)
#define THROTTLE_MERGE_MIN UINT64_C(200000)
#define THROTTLE_AT_ONCE_US UINT64_C(100000)
/* As fast as it can. */
#define THROTTLE_FREE UINT64_MAX

struct throttle {
    uint64_t due_us; /* when what was written until now should have been */
};

/* `rows` were written until `now_us`, at most `rate` (THROTTLE_FREE: any) a second are allowed: how long to wait, us.
 */
uint64_t throttle_wait_us(struct throttle *throttle, uint64_t now_us, uint64_t rows, uint64_t rate);

/* Rows a second that come in, from the newest generation: `rows` within `us`; `before` is the answer of the time
 * before. It follows a rise at once and a fall by halves, since what fell away may be back. */
uint64_t throttle_ingest(uint64_t before, uint64_t rows, uint64_t us);

/* For a generation of so many rows that was filled within `us`. */
uint64_t throttle_checkpoint_rate(uint64_t rows, uint64_t us);

/* `levels` that a row rises, `run_count` of at most `runs_max`. */
uint64_t throttle_merge_rate(uint64_t ingest, uint32_t levels, uint32_t run_count, uint32_t runs_max);

#endif
