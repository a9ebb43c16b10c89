/*
 * cluster_fill.h: makes a cluster that begins with the content of a data directory, for `chitchat cluster init --from`:
 * the log of each slot gets what the shard of its number has. A message is one record, in the log of its recipient's
 * slot, with the ts, mid and key that it has; a cut and a mark are records, too. So nodes whose data directories are
 * empty make the same timelines of the logs.
 *
 * First the logs are taken, then the meta log is read: so a command that has looked at the logs too early to see that
 * they are taken, and has made the cluster, is found before anything is appended; or it finds the logs taken, and
 * fails. The first batch of the meta log, without which no node starts, is written last: so an import that did not end
 * is not served.
 *
 * Each shard of a node's directory ends where its newest run does, and the log has the rest. So where `from` is of a
 * node whose log is lost, the newest messages and marks may be in one of their two timelines only. They become records,
 * too, and thereby whole.
 *
 * Memory: two batches for each slot, and what offline.h and cross_check.h take. Blocks; main's thread.
 */
#ifndef CHITCHAT_CLI_CLUSTER_FILL_H
#define CHITCHAT_CLI_CLUSTER_FILL_H

#include "storage/datadir/datadir_cluster.h"
#include "storage/log_remote.h"

#define CLUSTER_FILL_ERROR_BYTES 1200u

/* All is borrowed. */
struct cluster_fill {
    const struct datadir_cluster *cluster; /* as many slots as `from` has shards */
    const struct log_engine_options *where;
    const struct datadir *from;      /* opened by datadir_open_read; no server runs on it */
    const struct datadir_meta *meta; /* of `from`, with the epoch that the cluster gets */
};

struct cluster_fill_report {
    uint64_t messages;
    uint64_t one_sided; /* of these: one of their two timelines lacked them */
    uint64_t marks;     /* conversations with marks, as each user has them */
    uint64_t cuts;
};

/* Returns 0 when the cluster is made: all records are acknowledged, `from` was found to be whole, and the meta log has
 * its first batch. Else -errno and one line in `text` (CLUSTER_FILL_ERROR_BYTES): -EEXIST: a log is not empty, or
 * another command has made the cluster; -EBADMSG: the directory is damaged, which may be found only when records were
 * appended; or the engine's error, after it has failed for a minute. Progress goes to stderr. */
int cluster_fill_run(const struct cluster_fill *fill, struct cluster_fill_report *report_r, char *text);

#endif
