#include "server/drain.h"

#include "server/core.h"

/* How often a draining shard closes some connections, and how many at most. */
#define STEP_US 10000u
#define STEP_CLOSES_MAX 512u

uint64_t drain_time_us(uint32_t drain_s, uint32_t connections)
{
    uint64_t needed_us = (uint64_t)connections * (1000000 / DRAIN_RATE_MIN);
    uint64_t most_us = seconds_us(drain_s);
    return needed_us < most_us ? needed_us : most_us;
}

uint32_t drain_due(uint32_t count, uint64_t elapsed_us, uint64_t duration_us)
{
    if (elapsed_us >= duration_us)
        return count;
    return (uint32_t)((uint64_t)count * elapsed_us / duration_us);
}

void drain_init(struct drain *drain)
{
    *drain = (struct drain){0};
    timer_init(&drain->timer);
}

static bool can_close(const struct conn *conn)
{
    return conn != NULL && conn->unanswered == 0
           && (conn->state == CONN_OPEN || conn->state == CONN_REPLAY || conn->state == CONN_LIVE);
}

/* Looks at each slot once at most. */
static void close_some(struct core *core, uint32_t due)
{
    struct drain *drain = &core->drain;
    const struct conn_table *table = &core->conns.table;
    uint32_t closes = 0;
    for (uint32_t looked = 0; looked < table->slot_count && drain->closed < due && closes < STEP_CLOSES_MAX; looked++) {
        drain->slot = drain->slot + 1 < table->slot_count ? drain->slot + 1 : 0;
        struct conn *conn = conn_at(table, drain->slot);
        if (!can_close(conn))
            continue;
        conn_close(core, conn, 1001, "the server goes down");
        drain->closed++;
        closes++;
    }
}

void drain_step(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    struct drain *drain = &core->drain;
    uint64_t now_us = shard_monotonic_us(core->shard);
    if (timer_is_set(&drain->timer))
        return;
    if (drain->begin_us == 0) {
        drain->begin_us = now_us;
        drain->count = core->conns.table.taken;
    }
    uint64_t duration_us = atomic_load_explicit(&core->server->drain_us, memory_order_relaxed);
    close_some(core, drain_due(drain->count, now_us - drain->begin_us, duration_us));
    if (core->conns.table.taken > 0)
        timers_set(shard_timers(core->shard), &drain->timer, now_us + STEP_US);
}
