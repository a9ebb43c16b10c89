#include "durability/retention.h"

#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "server/core.h"

#define STEP_MIN_US UINT64_C(1000000)
#define STEP_MAX_US UINT64_C(3600000000)
/* How far the clock may be ahead of the cut's own progress before a warning says so. */
#define LAG_WARN_US (UINT64_C(2) * 86400 * 1000000)

static const struct span all_users = {"", 0};

static uint64_t step_us(uint64_t retention_us)
{
    uint64_t step = retention_us / 64;
    return step < STEP_MIN_US ? STEP_MIN_US : step > STEP_MAX_US ? STEP_MAX_US : step;
}

static uint64_t minus(uint64_t at_us, uint64_t us)
{
    return at_us > us ? at_us - us : 0;
}

/* The cut from which it moves on: that of the store. A store that has none begins with what is older than the retention
 * by the clock and by its newest entry. */
static void set_base(struct core *core, uint64_t wanted, uint64_t retention_us)
{
    struct retention *retention = &core->retention;
    uint64_t cut = store_cut_ts(core->runs.store, all_users);
    uint64_t by_entries = minus(core->last_ts, retention_us);
    bool is_empty = core->last_ts == 0;
    retention->has_base = true;
    retention->base_us = shard_monotonic_us(core->shard);
    retention->base_ts = cut > 0 ? cut : is_empty || by_entries > wanted ? wanted : by_entries;
}

/* Where the cut should be now. */
static uint64_t wanted_cut(struct core *core)
{
    struct retention *retention = &core->retention;
    uint64_t retention_us = seconds_us(core->server->config->retention_s);
    uint64_t wanted = minus(shard_wall_us(core->shard), FAULT(RETENTION_TOO_NEW) ? 0 : retention_us);
    uint32_t left_out;
    if (!retention->has_base)
        set_base(core, wanted, retention_us);
    uint64_t elapsed_us = shard_monotonic_us(core->shard) - retention->base_us;
    uint64_t fastest = retention->base_ts + RETENTION_RATE * elapsed_us;
    if (wanted <= fastest)
        return wanted;
    if (wanted - fastest > LAG_WARN_US
        && log_limit_take(&retention->log_limit, shard_monotonic_us(core->shard), STEP_MAX_US, &left_out))
        log_line(LOG_WARN, "retention_behind",
                 "shard=%u behind_s=%" PRIu64 " hint=\"the server was down for long, or the clock is ahead: messages "
                 "are dropped %u times as fast as time passes; if the clock is wrong, stop the server and correct it\"",
                 core->index, (wanted - fastest) / 1000000, RETENTION_RATE);
    return fastest;
}

static void move_cut(struct core *core)
{
    struct retention *retention = &core->retention;
    uint64_t retention_us = seconds_us(core->server->config->retention_s);
    uint64_t wanted = wanted_cut(core);
    uint64_t cut = store_cut_ts(core->runs.store, all_users);
    if (wanted < cut + step_us(retention_us) || wanted > LIMIT_TS_MAX || core->stop.step != STOP_NOT)
        return;
    retention->is_writing = wal_append_cut(core->wal_writer.wal, all_users, wanted, &retention->sequence) == 0;
    retention->ts = wanted;
}

void retention_tick(struct core *core)
{
    const struct config *config = core->server->config;
    ASSERT_ON_SHARD(core->shard);
    store_set_cut_time(core->runs.store, shard_wall_us(core->shard), seconds_us(config->erase_within_s));
    if (config->retention_s > 0 && !core->retention.is_writing && !core_has_store_failed(core))
        move_cut(core);
}

void retention_on_durable(struct core *core, uint64_t sequence)
{
    struct retention *retention = &core->retention;
    if (!retention->is_writing || retention->sequence > sequence)
        return;
    retention->is_writing = false;
    int status = store_cut(core->runs.store, all_users, retention->ts);
    ASSERT(status == 0);
    if (core->last_ts < retention->ts)
        core->last_ts = retention->ts;
}
