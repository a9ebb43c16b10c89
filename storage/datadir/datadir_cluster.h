/*
 * datadir_cluster.h: what a cluster is: the META of its data directories (datadir_meta.h), in the first batch of the
 * meta log. So a node whose data directory is empty makes it with the seeds and the epoch of the cluster, and users are
 * divided among the slots as on any other node. Blocks; main's thread of a server that starts, or of a command.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_DATADIR_CLUSTER_H
#define CHITCHAT_STORAGE_DATADIR_DATADIR_CLUSTER_H

#include "storage/datadir/datadir_meta.h"
#include "storage/log_engine.h"

/* The meta log of a cluster, and who asks. All is borrowed. */
struct datadir_cluster {
    const struct log_engine *engine;
    struct log_session *session;
    const char *name;    /* of the cluster */
    const char *node;    /* who writes: "init" for the command that makes the cluster */
    uint32_t slots;      /* of the engine's report; the number of the meta log, too */
    uint32_t timeout_ms; /* of each call of the engine */
};

/* Writes the first batch of the meta log, with a new epoch and new seeds; or with those of `from`, whose content the
 * logs of the slots have. If the log has one, nothing is changed. 0 and *meta_r, what the log has now; -EEXIST: not of
 * the epoch of `from`; or -errno and *error_r: it may be written nevertheless, and a call with the same `from` finds
 * out. */
int datadir_cluster_create(const struct datadir_cluster *cluster, uint64_t wall_us, const struct datadir_meta *from,
                           struct datadir_meta *meta_r, struct log_engine_error *error_r);
/* 0 and *meta_r; -ENOENT: the meta log is empty; -EBADMSG: it begins with something else; or -errno of the engine. */
int datadir_cluster_read(const struct datadir_cluster *cluster, struct datadir_meta *meta_r,
                         struct log_engine_error *error_r);

#endif
