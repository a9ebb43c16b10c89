#include "server/stop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "durability/checkpoint.h"
#include "durability/log_maintenance.h"
#include "durability/merge_schedule.h"
#include "durability/segment_recycler.h"
#include "server/core.h"

/* How often a stopping shard checks its conditions without another event. */
#define CHECK_AGAIN_US 50000u

int stop_init(struct stop *stop, uint32_t shard_count)
{
    timer_init(&stop->timer);
    stop->letters = calloc(shard_count, sizeof *stop->letters);
    return stop->letters == NULL ? -ENOMEM : 0;
}

void stop_fini(struct stop *stop)
{
    free(stop->letters);
}

/* Connections that wait to be handed over are closed here, so that none arrives at a shard that is quiet. */
static void cancel_handovers(struct core *core)
{
    while (!list_is_empty(&core->handovers.waiting))
        conn_close(core, container_of(core->handovers.waiting.next, struct conn_work, handover_link)->conn, 1001,
                   "the server goes down");
}

void stop_begin(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->stop.step != STOP_NOT)
        return;
    core->stop.step = STOP_DRAINING;
    timers_clear(shard_timers(core->shard), &core->drain.timer);
    health_tick(core);
    cancel_handovers(core);
    io_accept_stop(shard_io(core->shard));
}

void stop_on_quiet(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(core->stop.quiet_count < core->server->core_count);
    core->stop.quiet_count++;
}

/* Every send is answered, every handover has arrived, and no other letter is out. After a failed WAL write some sends
 * stay pending for ever. */
static bool is_drained(const struct core *core)
{
    for (uint32_t i = 0; i < core->server->core_count; i++)
        if (core->peers[i].handovers_out > 0 || core->peers[i].typings_out > 0 || presence_is_out(core, i))
            return false;
    if (core->seens.pool.taken > 0)
        return false;
    if (core->calls.out > 0 || core->posts.group_count > 0 || core->page_reads.active > 0)
        return false;
    if (core->deliveries.out > 0 || !list_is_empty(&core->deliveries.wal_waiting))
        return false;
    if (core->erasures.count > 0 || core->retention.is_writing)
        return core_has_store_failed(core);
    return core_has_store_failed(core)
           || (core->deliveries.pool.taken == 0 && core->deliveries.arrival_pool.taken == 0);
}

static void post_quiet(struct core *core)
{
    ASSERT(core->stop.step == STOP_DRAINING);
    core->stop.step = STOP_QUIET;
    core_post_to_others(core, core->stop.letters, LETTER_QUIET, 0);
    stop_on_quiet(core);
}

/* The last round must begin after all shards are quiet. Each shard proposes its next round; the greatest is the last.
 */
static void choose_last_round(struct core *core)
{
    unsigned long long next = checkpoint_next_round(core);
    unsigned long long seen = atomic_load(&core->server->final_round);
    while (seen < next && !atomic_compare_exchange_weak(&core->server->final_round, &seen, next))
        continue;
    atomic_fetch_add(&core->server->quiet_shards, 1);
}

/* A stop begins no merge. So where a run waits for one, the round never ends: what it would have written stays in the
 * WAL, for the next start. */
static void give_up_last_round(struct core *core)
{
    if (!checkpoint_waits_for_merge(core) || merge_schedule_is_busy(core)
        || atomic_exchange(&core->server->is_final_round_given_up, true))
        return;
    log_line(
        LOG_WARN, "checkpoint_left_out",
        "shard=%u hint=\"there were as many runs as there may be when the server stopped: the next start reads the "
        "newest messages from the WAL\"",
        core->index);
}

static bool is_last_round_done(struct core *core)
{
    give_up_last_round(core);
    if (core_has_store_failed(core) || atomic_load(&core->server->is_final_round_given_up))
        return true;
    if (atomic_load(&core->server->quiet_shards) < core->server->core_count)
        return false;
    if (checkpoint_rounds_done(core) >= atomic_load(&core->server->final_round))
        return true;
    checkpoint_request(core);
    return false;
}

static void end_if_done(struct core *core)
{
    ASSERT(core->stop.step == STOP_CLOSING);
    if (!is_last_round_done(core) || core->conns.table.taken > 0 || checkpoint_is_busy(core)
        || merge_schedule_is_busy(core) || segment_recycler_is_busy(core) || wal_writer_is_busy(core)
        || log_maintenance_is_busy(core) || worker_jobs_under_way(core->reads.worker) > 0 || core->skips.count > 0
        || io_is_accepting(shard_io(core->shard)))
        return;
    core->stop.step = STOP_ENDED;
    shard_finish(core->shard);
}

void stop_step(struct core *core)
{
    ASSERT(core->stop.step != STOP_NOT);
    if (core->stop.step == STOP_DRAINING && is_drained(core))
        post_quiet(core);
    if (core->stop.step == STOP_QUIET && core->stop.quiet_count == core->server->core_count) {
        core->stop.step = STOP_CLOSING;
        choose_last_round(core);
        ASSERT(list_is_empty(&core->handovers.waiting));
        conns_close_all(core, "the server goes down");
    }
    if (core->stop.step == STOP_CLOSING)
        end_if_done(core);
    if (core->stop.step != STOP_ENDED && !timer_is_set(&core->stop.timer))
        timers_set(shard_timers(core->shard), &core->stop.timer, shard_monotonic_us(core->shard) + CHECK_AGAIN_US);
}
