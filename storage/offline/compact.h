/*
 * compact.h: rewrites all runs of a data directory on which no server runs, without what was erased or is older than
 * --retention (storage/runs/cuts.h), keyed sends of the last 24 hours too, and removes the files of the WAL that are
 * not in use: they may have it, too. Each run is rewritten alone, so there must be room for the largest. A crash leaves
 * old and new runs, all of them whole. Blocks.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_COMPACT_H
#define CHITCHAT_STORAGE_OFFLINE_COMPACT_H

#include <stdint.h>

struct datadir;

struct compact_report {
    uint64_t rows_before; /* of timelines, in all runs */
    uint64_t rows_after;
};

struct compact_error {
    char text[2304]; /* one line: what is wrong, where, and what to do */
};

/* Whether all of the directory is in runs: a WAL with records would not be reached. `datadir` was opened for reading.
 * 0; or -errno and *error_r. */
int compact_check(const struct datadir *datadir, struct compact_error *error_r);
/* `datadir` was opened by datadir_open. 0 and *report_r; or -errno and *error_r. */
int compact_make(const struct datadir *datadir, struct compact_report *report_r, struct compact_error *error_r);

#endif
