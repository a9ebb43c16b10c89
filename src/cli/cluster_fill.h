/*
 * cluster_fill.h: appends the content of a data directory to the empty logs of a new cluster, for `chitchat cluster
 * init
 * --from`: each slot gets what the shard of its number has. A message is one record, in the log of its recipient's
 * slot, with the ts, mid and key that it has; a cut and a mark are records, too. So nodes whose data directories are
 * empty make the same timelines of the logs.
 *
 * The logs are whole only when cluster_fill_run has returned 0. The caller then writes the first batch of the meta log,
 * without which no node starts: so an import that did not end is never served.
 *
 * Memory: two batches for each slot, and what offline.h and cross_check.h take. Blocks; main's thread.
 */
#ifndef CHITCHAT_CLI_CLUSTER_FILL_H
#define CHITCHAT_CLI_CLUSTER_FILL_H

#include "storage/datadir/datadir.h"
#include "storage/log_remote.h"

#define CLUSTER_FILL_ERROR_BYTES 1200u

/* All is borrowed. */
struct cluster_fill {
    const struct log_engine *engine;
    const struct log_engine_options *where; /* a cluster with as many slots as `from` has shards */
    const struct datadir *from;             /* opened by datadir_open_read; no server runs on it */
    uint32_t timeout_ms;                    /* of each call of the engine */
};

struct cluster_fill_report {
    uint64_t messages;
    uint64_t marks; /* conversations with marks, as each user has them */
    uint64_t cuts;
};

/* Returns 0 when all records are acknowledged, and `from` was found to be whole. Else -errno and one line in `text`
 * (CLUSTER_FILL_ERROR_BYTES): -EEXIST: a log is not empty; -EBADMSG: the directory is damaged, which may be found only
 * when records were appended; or the engine's error, after it has failed for a minute. Progress goes to stderr. */
int cluster_fill_run(const struct cluster_fill *fill, struct cluster_fill_report *report_r, char *text);

#endif
