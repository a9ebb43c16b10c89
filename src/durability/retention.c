#include "durability/retention.h"

#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "durability/segment_recycler.h"
#include "server/core.h"

#define STEP_MIN_US UINT64_C(1000000)
#define STEP_MAX_US UINT64_C(3600000000)
/* How far the clock may be ahead of the cut's own progress before a warning says so. */
#define LAG_WARN_US (UINT64_C(2) * 86400 * 1000000)

/* A cut that is late by so many steps waits for its rate, for room or for the disk: it is not about to be written. */
#define HIDE_STEPS 2u

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

static bool is_cut_due(uint64_t ts, uint64_t cut, uint64_t retention_us)
{
    return ts >= cut + step_us(retention_us) && ts <= LIMIT_TS_MAX;
}

/* Where the cut should be by the clock. A leap counts when stamps follow it. */
static uint64_t wanted_cut(const struct core *core)
{
    uint64_t retention_us = seconds_us(core->server->config->retention_s);
    return minus(core->clock.follow.now_us, FAULT(RETENTION_TOO_NEW) ? 0 : retention_us);
}

/* Hides what is too old, if the cut is at least `steps` behind. */
static void hide(struct core *core, uint64_t cut, uint32_t steps)
{
    struct retention *retention = &core->retention;
    uint64_t step = step_us(seconds_us(core->server->config->retention_s));
    uint64_t shown = retention->hidden_ts > cut ? retention->hidden_ts : cut;
    uint64_t wanted = wanted_cut(core);
    if (core->last_ts > 0 && wanted >= shown + steps * step && wanted <= LIMIT_TS_MAX)
        retention->hidden_ts = wanted;
}

int retention_start(struct core *core, struct store_error *error_r)
{
    struct retention *retention = &core->retention;
    uint64_t retention_us = seconds_us(core->server->config->retention_s);
    uint64_t cut = store_cut_ts(core->runs.store, all_users);
    uint64_t wanted = wanted_cut(core);
    uint64_t by_entries = minus(core->last_ts, retention_us);
    bool is_empty = core->last_ts == 0;
    ASSERT(core->clock.follow.now_us > 0);
    retention->limit_us = core->clock.follow.monotonic_us;
    retention->limit_ts = cut > 0 ? cut : is_empty || by_entries > wanted ? wanted : by_entries;
    if (retention_us > 0)
        hide(core, cut, 1);
    if (retention_us == 0 || cut > 0 || is_empty || !is_cut_due(retention->limit_ts, 0, retention_us))
        return 0;
    return store_cut_saved(core->runs.store, all_users, retention->limit_ts, error_r);
}

static void warn_behind(struct core *core, uint64_t behind_us)
{
    uint32_t left_out;
    if (behind_us > LAG_WARN_US
        && log_limit_take(&core->retention.log_limit, shard_monotonic_us(core->shard), STEP_MAX_US, &left_out))
        log_line(LOG_WARN, "retention_behind",
                 "shard=%u behind_s=%" PRIu64
                 " hint=\"the server was down for long, or the clock is ahead: messages that "
                 "are too old are hidden, and dropped %u times as fast as time passes; if the clock is wrong, stop the "
                 "server, correct the clock and start it again\"",
                 core->index, behind_us / 1000000, RETENTION_RATE);
}

/* The limit follows the clock, by no more than RETENTION_RATE times what has passed since the last tick: time in which
 * it needed less is not saved up. A store without entries has nothing to lose. */
static void move_limit(struct core *core, uint64_t cut)
{
    struct retention *retention = &core->retention;
    uint64_t now_us = shard_monotonic_us(core->shard);
    uint64_t wanted = wanted_cut(core);
    uint64_t fastest = retention->limit_ts + RETENTION_RATE * (now_us - retention->limit_us);
    bool is_behind = wanted > fastest && core->last_ts > 0;
    if (is_behind)
        warn_behind(core, wanted - fastest);
    retention->limit_us = now_us;
    retention->limit_ts = is_behind ? fastest : wanted < cut ? cut : wanted;
}

static void move_cut(struct core *core, uint64_t cut)
{
    struct retention *retention = &core->retention;
    uint64_t retention_us = seconds_us(core->server->config->retention_s);
    uint64_t ts = retention->limit_ts;
    if (core->last_ts == 0 || !is_cut_due(ts, cut, retention_us) || core->stop.step != STOP_NOT)
        return;
    retention->is_writing = log_append_cut(&core->wal_writer.log, all_users, ts, &retention->sequence) == 0;
    retention->ts = ts;
}

void retention_tick(struct core *core)
{
    const struct config *config = core->server->config;
    ASSERT_ON_SHARD(core->shard);
    store_set_cut_time(core->runs.store, shard_wall_us(core->shard), core_keys_now_us(core),
                       seconds_us(config->erase_within_s));
    if (config->retention_s == 0)
        return;
    uint64_t cut = store_cut_ts(core->runs.store, all_users);
    move_limit(core, cut);
    hide(core, cut, HIDE_STEPS);
    if (!core->retention.is_writing && !core_has_store_failed(core))
        move_cut(core, cut);
}

void retention_on_durable(struct core *core, uint64_t sequence)
{
    struct retention *retention = &core->retention;
    if (!retention->is_writing || retention->sequence > sequence)
        return;
    retention->is_writing = false;
    int status = store_cut(core->runs.store, all_users, retention->ts);
    ASSERT(status == 0);
    segment_recycler_on_cut(core);
    if (core->last_ts < retention->ts)
        core->last_ts = retention->ts;
}
