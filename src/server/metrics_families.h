/*
 * metrics_families.h: the table of all metric families: name, help, type, labels, and where the numbers are. Pure; any
 * thread.
 *
 * A family is the samples of one name: of each shard, if its numbers are in struct core, else of the process. Names and
 * units follow the conventions of Prometheus: seconds and bytes, and `_total` for counters.
 */
#ifndef CHITCHAT_SERVER_METRICS_FAMILIES_H
#define CHITCHAT_SERVER_METRICS_FAMILIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metric.h"

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM };

struct family {
    const char *name;
    const char *help; /* one line without backslashes */
    enum family_type type;
    bool is_us;        /* the numbers are microseconds, and are written as seconds */
    const char *label; /* that tells the numbers apart; NULL: there is one */
    const char *(*value)(uint32_t index);
    size_t offset; /* of the first struct metric or struct histogram */
    uint32_t count;
    const struct histogram_shape *shape; /* of a histogram */
};

/* Of each shard: offsets in struct core. *count_r families, static. */
const struct family *metrics_shard_families(uint32_t *count_r);
/* Of the process: offsets in struct server_metrics. */
const struct family *metrics_process_families(uint32_t *count_r);
/* With --cluster (cluster_families.c). Of the node: offsets in struct cluster_metrics. */
const struct family *metrics_node_families(uint32_t *count_r);
/* Of each slot: offsets in struct core. */
const struct family *metrics_slot_families(uint32_t *count_r);

#endif
