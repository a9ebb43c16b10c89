#include "server/health.h"

#include <errno.h>

#include "server/core.h"

static const struct health_report reports[HEALTH_STATES] = {
    [HEALTH_STARTING] = {HEALTH_STARTING, "starting", "the server reads its data: wait"},
    [HEALTH_READY] = {HEALTH_READY, "ready", "the server takes messages"},
    [HEALTH_DRAINING] = {HEALTH_DRAINING, "draining", "the server stops: use another one, or wait for its restart"},
    [HEALTH_FULL] = {HEALTH_FULL, "full_disk", "the disk of the data has no room, so sends are refused: make room"},
    [HEALTH_BEHIND] = {HEALTH_BEHIND, "disk_behind",
                       "the disk is slow or full, so sends are refused: see the log for errors of the disk"},
    [HEALTH_LOG_BEHIND] = {HEALTH_LOG_BEHIND, "log_behind",
                           "the log of the cluster does not answer, so sends are refused: do what event=log_unsure "
                           "of this node says"},
    [HEALTH_FAILED] = {HEALTH_FAILED, "store_failed",
                       "no message can be stored any more: do what event=wal_failed, or event=log_damaged, says"},
};

static enum health_state state_of(struct core *core)
{
    struct health *health = &core->health;
    if (core_has_store_failed(core))
        return HEALTH_FAILED;
    if (core->stop.step != STOP_NOT || core_is_draining(core))
        return HEALTH_DRAINING;
    health->refusing_ticks = core_refuses_sends(core) ? health->refusing_ticks + 1 : 0;
    if (log_can_append(&core->wal_writer.log, LIMIT_RECORD_BYTES) == -ENOSPC)
        return HEALTH_FULL;
    if (health->refusing_ticks < HEALTH_BEHIND_TICKS)
        return HEALTH_READY;
    return core->wal_writer.log.remote != NULL && core_is_log_slow(core) ? HEALTH_LOG_BEHIND : HEALTH_BEHIND;
}

void health_on_recovered(struct server *server)
{
    for (uint32_t i = 0; i < server->core_count; i++)
        atomic_store_explicit(&server->cores[i]->health.state, HEALTH_READY, memory_order_relaxed);
}

void health_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    atomic_store_explicit(&core->health.state, (unsigned)state_of(core), memory_order_relaxed);
    atomic_store_explicit(&core->health.turned_s, core_now_s(core), memory_order_relaxed);
}

/* States in the order of what an operator must know first. */
static unsigned weight_of(enum health_state state)
{
    static const uint8_t weights[HEALTH_STATES] = {
        [HEALTH_READY] = 0,    [HEALTH_BEHIND] = 1,   [HEALTH_LOG_BEHIND] = 2, [HEALTH_FULL] = 3,
        [HEALTH_STARTING] = 4, [HEALTH_DRAINING] = 5, [HEALTH_FAILED] = 6,
    };
    return weights[state];
}

struct health_report health_report(const struct server *server)
{
    enum health_state worst = HEALTH_READY;
    if (atomic_load_explicit(&server->is_draining, memory_order_relaxed))
        worst = HEALTH_DRAINING;
    if (atomic_load_explicit(&server->store_failed, memory_order_relaxed))
        worst = HEALTH_FAILED;
    for (uint32_t i = 0; i < server->core_count; i++) {
        enum health_state state =
            (enum health_state)atomic_load_explicit(&server->cores[i]->health.state, memory_order_relaxed);
        ASSERT(state < HEALTH_STATES);
        if (weight_of(state) > weight_of(worst))
            worst = state;
    }
    return reports[worst];
}

const char *health_not_ready(const void *server)
{
    struct health_report report = health_report(server);
    return report.state == HEALTH_READY ? NULL : report.message;
}

bool health_is_alive(const struct server *server, uint32_t now_s, uint32_t *shard_r)
{
    for (uint32_t i = 0; i < server->core_count; i++) {
        uint32_t turned_s = atomic_load_explicit(&server->cores[i]->health.turned_s, memory_order_relaxed);
        if (turned_s != 0 && now_s > turned_s + HEALTH_TURN_S) {
            *shard_r = i;
            return false;
        }
    }
    return true;
}
