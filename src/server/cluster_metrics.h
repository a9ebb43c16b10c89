/*
 * cluster_metrics.h: what a node of a cluster counts beside metrics.h. It is written at /metrics of a server with
 * --cluster alone, by a standby too. Its families are in cluster_families.c.
 */
#ifndef CHITCHAT_SERVER_CLUSTER_METRICS_H
#define CHITCHAT_SERVER_CLUSTER_METRICS_H

#include <stdbool.h>

#include "base/metric.h"
#include "storage/log_remote.h"

struct server;

/* Of the node. Main's thread writes; `depositions`: the shard that finds it out. */
struct cluster_metrics {
    struct metric owner;        /* 1: this node owns the slots */
    struct metric generation;   /* of the newest owner that this node knows */
    struct metric takeovers;    /* by this process, */
    struct metric depositions;  /* of this process, since it was started; they outlive its new beginning as a standby */
    struct metric lag;          /* us, of a standby since it had read all of the log last; 0: it has */
    struct metric clock_ahead;  /* us by which the clock is ahead of that of the log server; */
    struct metric clock_behind; /* or behind it. When they were compared last */
};

/* Of a slot; in struct core. A standby's are written by main's thread, an owner's by the shard's, `log` by whoever
 * makes the calls of the engine. */
struct slot_metrics {
    struct log_remote_metrics log;
    struct metric last;     /* number of the newest batch of the log that the node knows */
    struct metric applied;  /* number of the newest batch that is in its memory or its runs */
    struct metric lag;      /* batches of the log that a standby has not read */
    struct metric in_runs;  /* number of the newest batch that the runs have; for node_report.h, too */
    struct metric barriers; /* answers that had to wait for a batch */
};

/* The process is executed anew: `carry` puts what outlives that into the environment, and `take` gets it from there;
 * false: it was not executed anew. Main's thread. */
void cluster_metrics_carry(const struct cluster_metrics *metrics);
bool cluster_metrics_take(struct cluster_metrics *metrics);

#endif
