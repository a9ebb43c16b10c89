/*
 * memory_fit.h: the server's memory in a control group with a limit (cgroup.h). Of the limit, MEMORY_FIT_PERCENT may be
 * the server's own memory (budget.h). The rest is for what the group pays besides: the kernel's memory of sockets and
 * rings, the filters of runs, and a page cache that suffices to read. A recovery takes less than the server's budget:
 * of each shard one generation, and the records that it is inserting. Main's thread.
 */
#ifndef CHITCHAT_SERVER_MEMORY_FIT_H
#define CHITCHAT_SERVER_MEMORY_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/config.h"
#include "server/cgroup.h"

#define MEMORY_FIT_PERCENT 75u

struct memory_fit {
    struct cgroup_limit limit;
    uint64_t wanted_bytes; /* the default that was lowered; 0: it was not */
};

/* Without --memory: lowers it to the share of the limit, and then, if they were not given either, --memtable-bytes and
 * --connections, as far as needed and sensible. False: the options do not fit into their memory; `text` has one line
 * that says what to do. */
bool memory_fit_apply(struct memory_fit *fit, struct config *config, uint32_t shards, char *text, size_t text_bytes);

/* The lines about what was lowered, or about a --memory beyond the share of the limit. */
void memory_fit_warn(const struct memory_fit *fit, const struct config *config);

#endif
