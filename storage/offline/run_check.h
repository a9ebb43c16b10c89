/*
 * run_check.h: checks a whole run: the order of its keys, its rows, its key index, its index by peer, its filter, its
 * checksum, and its entry in the manifest. Only reads. LMDB trusts its pages, so damaged ones can end the process: a
 * caller that must survive this calls run_check in a child process (apart.h). One thread; blocks.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_RUN_CHECK_H
#define CHITCHAT_STORAGE_OFFLINE_RUN_CHECK_H

#include "storage/datadir/datadir.h"
#include "storage/problems.h"
#include "storage/runs/run.h"

#define RUN_ADVICE "restore the data directory from a backup"

struct run_check {
    const struct datadir *datadir; /* for the shard of a user and the key seed */
    uint32_t shard;                /* of the run: one of `datadir` (asserted) */
    const char *path;              /* of the run, for the reports */
    struct problems *problems;
    uint64_t keyed_r; /* run_check adds the rows of the key index */
};

/* Checks `run` and reports at most 20 problems of it. Borrows all. */
void run_check(struct run *run, struct run_check *check);

#endif
