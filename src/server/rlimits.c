#include "server/rlimits.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "base/log.h"
#include "server/core.h"

/* WAL segments, runs, rings, and connections that get a 503. */
#define DESCRIPTORS_RESERVED 64u
#define DESCRIPTORS_PER_SHARD (256u + CORE_TURNED_AWAY_MAX)
/* Connections of the admin listeners, with those that are closing, and the listeners. */
#define DESCRIPTORS_ADMIN (2 * EXCHANGES_MAX + CONFIG_ADMINS_MAX)

/* Descriptors that are not counted connections, of a server of so many shards. */
static uint64_t reserved_for(const struct config *config, uint32_t shard_count)
{
    uint32_t admin = config->admin_count > 0 ? DESCRIPTORS_ADMIN : 0;
    return DESCRIPTORS_RESERVED + (uint64_t)(DESCRIPTORS_PER_SHARD + admin) * shard_count;
}

/* The hard limit, which is the soft one then, too. */
static rlim_t raise_limit(__rlimit_resource_t resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0)
        return RLIM_INFINITY;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(resource, &limit);
    return limit.rlim_max;
}

bool rlimits_fit_connections(struct config *config, uint32_t shard_count, char *text, size_t text_bytes)
{
    uint64_t reserved = reserved_for(config, shard_count);
    rlim_t files = raise_limit(RLIMIT_NOFILE);
    ASSERT(shard_count > 0);
    if (files == RLIM_INFINITY || files >= reserved + config->connections)
        return true;
    uint32_t carried = files > reserved ? (uint32_t)(files - reserved) : 0;
    uint64_t needed = reserved + config->connections;
    if (config_is_given(config, "connections")) {
        char other[40] = "";
        if (carried > 0)
            (void)snprintf(other, sizeof other, ", or give --connections %u", carried);
        (void)snprintf(text, text_bytes,
                       "--connections %u needs a limit of open files of %" PRIu64 ", and it is %" PRIu64
                       ": raise it (ulimit -Hn, LimitNOFILE= of systemd)%s",
                       config->connections, needed, (uint64_t)files, other);
        return false;
    }
    config->connections_wanted = config->connections;
    config->connections = carried > 0 ? carried : 1;
    return true;
}

static void warn_of_files(const struct config *config, uint32_t shard_count)
{
    struct rlimit limit = {0};
    if (config->connections_wanted <= config->connections || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    log_line(LOG_WARN, "few_descriptors",
             "limit=%" PRIu64 " needed=%" PRIu64 " connections=%u hint=\"the limit of open files is too low for the "
             "default of --connections: raise it (ulimit -Hn, LimitNOFILE= of systemd) to what is needed, or give "
             "--connections\"",
             (uint64_t)limit.rlim_cur, reserved_for(config, shard_count) + config->connections_wanted,
             config->connections);
}

void rlimits_warn(const struct config *config, uint32_t shard_count)
{
    rlim_t file_bytes = raise_limit(RLIMIT_FSIZE);
    rlim_t address_bytes = raise_limit(RLIMIT_AS);
    rlim_t cpu_s = raise_limit(RLIMIT_CPU);
    warn_of_files(config, shard_count);
    if (file_bytes != RLIM_INFINITY)
        log_line(LOG_WARN, "file_size_limit",
                 "bytes=%" PRIu64
                 " hint=\"files of messages grow with what is stored; past the limit the server does as "
                 "with a full disk: start it without one (ulimit -f, LimitFSIZE=)\"",
                 (uint64_t)file_bytes);
    if (address_bytes != RLIM_INFINITY)
        log_line(LOG_WARN, "address_space_limit",
                 "bytes=%" PRIu64
                 " hint=\"all stored messages are mapped; past the limit they cannot be read: start the "
                 "server without one (ulimit -v, LimitAS=)\"",
                 (uint64_t)address_bytes);
    if (cpu_s != RLIM_INFINITY)
        log_line(LOG_WARN, "cpu_time_limit",
                 "seconds=%" PRIu64
                 " hint=\"the system kills the server when they are used up: start it without a limit "
                 "(ulimit -t, LimitCPU=)\"",
                 (uint64_t)cpu_s);
}
