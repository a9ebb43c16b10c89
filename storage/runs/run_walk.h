/*
 * run_walk.h: the rows of one run in key order, read ahead of themselves: for a merge, and for who checks or dumps
 * all. A run's environment reads nothing ahead, which suits pages drawn at random; its pages stand in the order of
 * their keys, so the place of a row tells how far a walk has come. One thread; the run must stand longer.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_WALK_H
#define CHITCHAT_STORAGE_RUNS_RUN_WALK_H

#include "storage/runs/run.h"

struct run_walk {
    /* The row that it stands at, borrowed from the map until the next step; nothing at the end. */
    bool is_at_end;
    struct span key;
    struct span value;

    MDB_txn *txn;
    MDB_cursor *cursor;
    uintptr_t ahead; /* up to this address of the map the kernel was asked to read */
};

/* Stands at the first row at or above `from`; an empty one: at the first of all, key index included. 0 or an error of
 * LMDB (manifest_errno knows them); to be closed in either case. */
int run_walk_open(struct run_walk *walk, struct run *run, struct span from);
/* To the next row; the end is where the filter begins. 0 or an error of LMDB. */
int run_walk_step(struct run_walk *walk);
/* One of zeros is closed already. */
void run_walk_close(struct run_walk *walk);

/* For who goes through a run with a cursor of his own and is at `row`, in its map; *ahead, 0 at first, is how far it
 * has come. */
void run_read_ahead(uintptr_t *ahead, const void *row);

#endif
