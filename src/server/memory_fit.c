#include "server/memory_fit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "server/budget.h"

#define MIB (UINT64_C(1) << 20)
/* Smaller memtables make very many small runs; fewer connections are hardly meant. */
#define MEMTABLE_BYTES_MIN (32 * MIB)
#define CONNECTIONS_MIN 1000u

static uint64_t share_of(const struct cgroup_limit *limit)
{
    return limit->bytes / 100 * MEMORY_FIT_PERCENT;
}

/* What the options need in the least; 0: they fit. */
static uint64_t bytes_needed(const struct config *config, uint32_t shards)
{
    struct budget budget;
    return budget_make(config, shards, &budget);
}

static void lower_memtables(struct config *config, uint32_t shards)
{
    uint64_t needed = bytes_needed(config, shards);
    if (needed == 0 || config_is_given(config, "memtable-bytes"))
        return;
    uint64_t less = (needed - config->memory_bytes) / (2 * shards) + 1;
    uint64_t left = config->memtable_bytes > less ? (config->memtable_bytes - less) / MIB * MIB : 0;
    config->memtable_bytes = left > MEMTABLE_BYTES_MIN ? left : MEMTABLE_BYTES_MIN;
}

static void lower_connections(struct config *config, uint32_t shards)
{
    while (!config_is_given(config, "connections") && bytes_needed(config, shards) > 0
           && config->connections >= 2 * CONNECTIONS_MIN)
        config->connections /= 2;
}

static void explain(const struct memory_fit *fit, const struct config *config, uint32_t shards, char *text,
                    size_t text_bytes)
{
    uint64_t needed = bytes_needed(config, shards);
    uint64_t needed_mib = (needed + MIB - 1) / MIB;
    if (fit->wanted_bytes != 0)
        (void)snprintf(
            text, text_bytes,
            "the memory limit of %s is %" PRIu64 "M, of which the server may take %u percent: too little for "
            "%u shards with --memtable-bytes %" PRIu64 "M and %u connections, which need %" PRIu64
            "M: raise the limit to %" PRIu64 "M, or lower --shards, --memtable-bytes or --connections",
            fit->limit.file, fit->limit.bytes / MIB, MEMORY_FIT_PERCENT, shards, config->memtable_bytes / MIB,
            config->connections, needed_mib, needed_mib * 100 / MEMORY_FIT_PERCENT + 1);
    else
        (void)snprintf(text, text_bytes,
                       "--memory %" PRIu64 "M is too little for %u shards with --memtable-bytes %" PRIu64
                       "M and %u connections, which need %" PRIu64
                       "M: give --memory at least that, or lower --memtable-bytes or --connections",
                       config->memory_bytes / MIB, shards, config->memtable_bytes / MIB, config->connections,
                       needed_mib);
}

bool memory_fit_apply(struct memory_fit *fit, struct config *config, uint32_t shards, char *text, size_t text_bytes)
{
    ASSERT(shards > 0);
    uint64_t wanted = budget_total(config, shards);
    fit->wanted_bytes = 0;
    if (fit->limit.bytes != 0 && config->memory_bytes == 0 && wanted > share_of(&fit->limit)) {
        fit->wanted_bytes = wanted;
        config->memory_bytes = share_of(&fit->limit);
        lower_memtables(config, shards);
        lower_connections(config, shards);
    }
    if (bytes_needed(config, shards) == 0)
        return true;
    explain(fit, config, shards, text, text_bytes);
    return false;
}

void memory_fit_warn(const struct memory_fit *fit, const struct config *config)
{
    if (fit->wanted_bytes != 0)
        log_line(LOG_INFO, "memory_limit",
                 "file=\"%s\" limit=%" PRIu64 "M wanted=%" PRIu64 "M memory=%" PRIu64 "M memtable=%" PRIu64
                 "M connections=%u hint=\"the defaults follow the limit of the container\"",
                 fit->limit.file, fit->limit.bytes / MIB, fit->wanted_bytes / MIB, config->memory_bytes / MIB,
                 config->memtable_bytes / MIB, config->connections);
    else if (fit->limit.bytes != 0 && config->memory_bytes > share_of(&fit->limit))
        log_line(LOG_WARN, "memory_over_limit",
                 "file=\"%s\" limit=%" PRIu64 "M memory=%" PRIu64 "M hint=\"the system kills the server when the limit "
                 "is reached: give --memory %" PRIu64 "M, leave it out, or raise the limit\"",
                 fit->limit.file, fit->limit.bytes / MIB, config->memory_bytes / MIB, share_of(&fit->limit) / MIB);
}
