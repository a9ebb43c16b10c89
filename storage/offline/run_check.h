/*
 * run_check.h: one run looked at whole: its order, its rows, its key index, its filter, its checksum, and what the
 * manifest says of it. Reads only. LMDB trusts its pages: damaged ones can end the process, so a caller who is to
 * survive that calls from a process that may end. One thread.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_RUN_CHECK_H
#define CHITCHAT_STORAGE_OFFLINE_RUN_CHECK_H

#include "storage/datadir/datadir.h"
#include "storage/problems.h"
#include "storage/runs/run.h"

#define RUN_ADVICE "restore the data directory from a backup"

struct run_check {
    const struct datadir *datadir; /* whose shard of users and key seed it is */
    uint32_t shard;
    const char *path; /* of the run, for what is told */
    struct problems *problems;
    uint64_t keyed_r; /* rows of the key index */
};

/* Tells at most a few problems of each kind. */
void run_check(struct run *run, struct run_check *check);

#endif
