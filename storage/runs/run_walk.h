/*
 * run_walk.h: reads all rows of one run in key order, with read-ahead: for merges and for commands that read all. A
 * run's environment is opened without read-ahead, which is right for random reads. The pages of a run are in the order
 * of their keys, so the address of a row says how far a walk has come. One thread a walk; the run must stand longer.
 * Blocks.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_WALK_H
#define CHITCHAT_STORAGE_RUNS_RUN_WALK_H

#include "storage/runs/run.h"

struct run_walk {
    /* The current row, borrowed from the run's map; not set at the end. */
    bool is_at_end;
    struct span key;
    struct span value;

    MDB_txn *txn;
    MDB_cursor *cursor;
    uintptr_t ahead; /* the end of what the kernel was asked to read, an address in the map */
};

/* Starts at the first row at or above `from`, or with an empty `from` at the first row of all, which may be of the key
 * index. 0 or LMDB's error (for manifest_errno). The caller closes the walk in both cases. */
int run_walk_open(struct run_walk *walk, struct run *run, struct span from);
/* Moves to the next row; is_at_end is set where the filter begins. 0 or LMDB's error. */
int run_walk_step(struct run_walk *walk);
/* A walk of zeros is fine. */
void run_walk_close(struct run_walk *walk);

/* For a walk with a cursor of its own, which is at `row` in the map: asks the kernel to read ahead. *ahead is 0 at
 * first, then kept by this function. */
void run_read_ahead(uintptr_t *ahead, const void *row);

#endif
