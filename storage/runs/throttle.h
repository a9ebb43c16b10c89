/*
 * throttle.h: how fast checkpoints and merges may write rows, so that the WAL, for which every acknowledgement waits,
 * gets the disk and the core when it needs them. Pure: times and counts are arguments. A struct throttle is for one
 * thread.
 *
 * The rate of merges follows from the ingest: a row is written by its checkpoint and once more for each level that it
 * rises, so merges keep up at levels times the rate of the ingest. They run a fifth faster than that. With more than
 * two thirds of the allowed runs they run faster still, and near the cap without a limit. A checkpoint takes half of
 * the time in which its generation was filled, so that it ends before the next generation is full.
 *
 * Each writing thread has a struct throttle: what it writes postpones its due time, and it waits until then. After an
 * idle time it may write at most a tenth of a second's worth at once.
 */
#ifndef CHITCHAT_STORAGE_RUNS_THROTTLE_H
#define CHITCHAT_STORAGE_RUNS_THROTTLE_H

#include <stdint.h>

/* No rate is lower, rows a second. */
#define THROTTLE_CHECKPOINT_MIN UINT64_C(400000)
#define THROTTLE_MERGE_MIN UINT64_C(200000)
#define THROTTLE_AT_ONCE_US UINT64_C(100000)
/* A rate without a limit. */
#define THROTTLE_FREE UINT64_MAX

struct throttle {
    uint64_t due_us; /* when the rows written so far were due, monotonic */
};

/* `rows` more were written by `now_us`, at most `rate` a second are allowed: returns how long to wait, us. `rate` is
 * not 0 (asserted). */
uint64_t throttle_wait_us(struct throttle *throttle, uint64_t now_us, uint64_t rows, uint64_t rate);

/* The ingest, rows a second, when a generation of `rows` was filled within `us`; `before` is the result of the
 * generation before. A rise counts at once; a fall at most halves the result, because the load may return. */
uint64_t throttle_ingest(uint64_t before, uint64_t rows, uint64_t us);

/* The rate for the checkpoint of a generation of `rows` that was filled within `us`, rows a second. */
uint64_t throttle_checkpoint_rate(uint64_t rows, uint64_t us);

/* The rate for merges, rows a second: a row rises `levels` levels, and there are `run_count` of at most `runs_max` runs
 * (more than 2, asserted). */
uint64_t throttle_merge_rate(uint64_t ingest, uint32_t levels, uint32_t run_count, uint32_t runs_max);

#endif
