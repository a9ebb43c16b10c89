/* cluster_families.c: the metric families of a node of a cluster (metrics_families.h). */
#include "server/core.h"
#include "server/metrics_families.h"

static const char *append_value(uint32_t index)
{
    static const char *const values[LOG_APPEND_RESULTS] = {[LOG_APPEND_ACKED] = "acked",
                                                           [LOG_APPEND_REFUSED] = "refused",
                                                           [LOG_APPEND_UNKNOWN] = "unknown",
                                                           [LOG_APPEND_FAILED] = "failed"};
    ASSERT(index < LOG_APPEND_RESULTS);
    return values[index];
}

#define NODE(field) .offset = offsetof(struct cluster_metrics, field), .count = 1
#define SLOT(field) .offset = offsetof(struct core, slot_metrics.field), .count = 1
#define GAUGE .type = FAMILY_GAUGE
#define COUNTER .type = FAMILY_COUNTER
#define SECONDS .is_us = true

static const struct family node_families[] = {
    {"chitchat_cluster_owner", "1: this node owns the slots of the cluster. 0: it is a standby.", GAUGE, NODE(owner)},
    {"chitchat_cluster_generation",
     "Generation of the newest owner that this node knows: it grows with each take-over.", GAUGE, NODE(generation)},
    {"chitchat_cluster_takeovers_total", "Times at which this node has taken the slots over.", COUNTER,
     NODE(takeovers)},
    {"chitchat_cluster_depositions_total", "Times at which another node has taken the slots from this one.", COUNTER,
     NODE(depositions)},
    {"chitchat_cluster_lag_seconds", "Time since a standby had read all of the log. 0: it has, or owns the slots.",
     GAUGE, SECONDS, NODE(lag)},
    {"chitchat_cluster_clock_ahead_seconds", "By how much the clock was ahead of the log server's, when compared last.",
     GAUGE, SECONDS, NODE(clock_ahead)},
    {"chitchat_cluster_clock_behind_seconds", "By how much the clock was behind the log server's.", GAUGE, SECONDS,
     NODE(clock_behind)},
};

static const struct family slot_families[] = {
    {"chitchat_log_connected", "1: the log server has answered the newest call. 0: it has not.", GAUGE,
     SLOT(log.connected)},
    {"chitchat_log_last_batch", "Number of the newest batch of the slot's log that this node knows.", GAUGE,
     SLOT(last)},
    {"chitchat_log_applied_batch", "Number of the newest batch that this node has in memory or runs.", GAUGE,
     SLOT(applied)},
    {"chitchat_log_run_batch", "Number of the newest batch that the runs of this node have: purges keep the rest.",
     GAUGE, SLOT(in_runs)},
    {"chitchat_log_lag_batches", "Batches of the slot's log that a standby has not read.", GAUGE, SLOT(lag)},
    {"chitchat_log_appends_total", "Appends to the slot's log, by outcome; one of unknown outcome is tried again.",
     COUNTER, .offset = offsetof(struct core, slot_metrics.log.appends), .count = LOG_APPEND_RESULTS,
     .label = "outcome", .value = append_value},
    {"chitchat_log_append_seconds", "Calls of the log server that append, whatever their outcome.",
     .type = FAMILY_HISTOGRAM, SECONDS, .offset = offsetof(struct core, slot_metrics.log.append), .count = 1,
     .shape = &log_remote_append_shape},
    {"chitchat_barrier_waits_total", "Logins and reads that waited for a batch, to be sure that the node is the owner.",
     COUNTER, SLOT(barriers)},
};

const struct family *metrics_node_families(uint32_t *count_r)
{
    *count_r = sizeof node_families / sizeof node_families[0];
    return node_families;
}

const struct family *metrics_slot_families(uint32_t *count_r)
{
    *count_r = sizeof slot_families / sizeof slot_families[0];
    return slot_families;
}
