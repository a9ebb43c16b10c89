/*
 * cluster.h: what a server with --cluster has beside its data directory: the log engine, and who it is in the cluster.
 * Set at the start, then only read: any thread. The functions block; main's thread.
 */
#ifndef CHITCHAT_SERVER_CLUSTER_H
#define CHITCHAT_SERVER_CLUSTER_H

#include "cli/config.h"
#include "storage/datadir/datadir_meta.h"
#include "storage/log_engine.h"

/* Of each call of the engine. Longer than the engine needs to notice that its server is gone, and to find another. */
#define CLUSTER_TIMEOUT_MS 5000u
/* A node whose clock is further from the engine's takes no slot. Ahead: its ts would push those of all later messages.
 * Behind: its ts would be no times for as long, since a ts is never below the one before. */
#define CLUSTER_CLOCK_OFF_US UINT64_C(60000000)

struct clock;
struct cluster_metrics;

struct cluster {
    const struct log_engine *engine; /* the plug-in; stays loaded */
    struct log_engine_options where;
    const char *node;
    char address[CONFIG_ADDRESS_BYTES]; /* where clients reach the node; "": not known */
    struct datadir_meta meta;           /* of the data directories of the cluster */
    struct log_engine_report report;
};

/* For a start: cluster_load, then cluster_ask for `report` and `meta`. Refuses a clock that is far ahead. Borrows
 * `config`. 0; or -errno with one line in `text` (room for `text_bytes`). */
int cluster_open(struct cluster *cluster, const struct config *config, struct clock *clock, char *text,
                 size_t text_bytes);
/* Loads the plug-in of the log; connects to nothing, so `report` and `meta` are not known. Returns as cluster_open. */
int cluster_load(struct cluster *cluster, const struct config *config, char *text, size_t text_bytes);
/* Connects to the log servers, checks what they promise, and reads what the cluster is. 0, or an error of the engine
 * (storage/log_engine.h) and *error_r. */
int cluster_ask(const struct cluster *cluster, struct log_engine_report *report_r, struct datadir_meta *meta_r,
                struct log_engine_error *error_r);

/* Compares the wall clock with the engine's, by a report that was made just now, and counts it. Whether it is within
 * CLUSTER_CLOCK_OFF_US; if not, `text` says how far off it is. Any thread. */
bool cluster_clock_is_right(const struct log_engine_report *report, uint64_t wall_us, struct cluster_metrics *metrics,
                            char *text, size_t text_bytes);

#endif
