#include "server/stop.h"

#include "durability/checkpoint.h"
#include "durability/segment_recycler.h"
#include "server/core.h"

/* How often a shard that waits for the others looks again. */
#define LOOK_AGAIN_US 50000u

/* Those that wait for their output to leave before they move: they stay, so that nobody arrives where all is quiet. */
static void keep_from_moving(struct core *core)
{
    while (!list_is_empty(&core->handover_conns))
        conn_close(core, container_of(core->handover_conns.next, struct conn_work, handover_link)->conn, 1001,
                   "the server goes down");
}

void stop_begin(struct core *core)
{
    if (core->stop_step != STOP_NOT)
        return;
    core->stop_step = STOP_DRAINING;
    keep_from_moving(core);
    io_accept_stop(shard_io(core->shard));
}

void stop_on_quiet(struct core *core)
{
    core->quiet_count++;
}

static bool is_store_failed(const struct core *core)
{
    return atomic_load_explicit(&core->server->store_failed, memory_order_relaxed);
}

/* Every send is answered and every connection on its way has arrived. After a failed log write some stay pending for
 * ever. */
static bool is_drained(const struct core *core)
{
    for (uint32_t i = 0; i < core->server->core_count; i++)
        if (core->peers[i].handovers_out > 0)
            return false;
    if (core->deliveries_out > 0 || !list_is_empty(&core->log_waiting))
        return false;
    return is_store_failed(core) || (core->delivery_pool.taken == 0 && core->arrival_pool.taken == 0);
}

static void say_quiet(struct core *core)
{
    core->stop_step = STOP_QUIET;
    for (uint32_t to = 0; to < core->server->core_count; to++) {
        if (to == core->index)
            continue;
        core->quiet_letters[to].letter = (struct letter){.kind = LETTER_QUIET, .from = (uint16_t)core->index};
        shard_post(core->shard, to, &core->quiet_letters[to]);
    }
    stop_on_quiet(core);
}

static void close_conns(struct core *core)
{
    for (uint32_t slot = 0; slot < core->conns.slot_count; slot++) {
        struct conn *conn = conn_at(&core->conns, slot);
        if (conn == NULL)
            continue;
        if (conn->state == CONN_HTTP)
            conn_drop(core, conn);
        else if (conn->state != CONN_CLOSED)
            conn_close(core, conn, 1001, "the server goes down");
    }
}

/* The last round must begin after all shards are quiet: each says which is its next, and the greatest is the one. */
static void agree_on_round(struct core *core)
{
    unsigned long long wanted = checkpoint_next_round(core);
    unsigned long long seen = atomic_load(&core->server->final_round);
    while (seen < wanted && !atomic_compare_exchange_weak(&core->server->final_round, &seen, wanted))
        continue;
    atomic_fetch_add(&core->server->calm_count, 1);
}

static bool is_last_round_done(struct core *core)
{
    if (is_store_failed(core))
        return true;
    if (atomic_load(&core->server->calm_count) < core->server->core_count)
        return false;
    if (checkpoint_rounds_done(core) >= atomic_load(&core->server->final_round))
        return true;
    checkpoint_want(core);
    return false;
}

static void end_if_done(struct core *core)
{
    if (!is_last_round_done(core) || core->conns.taken > 0 || checkpoint_is_busy(core) || segment_recycler_is_busy(core)
        || worker_jobs_under_way(core->reader_worker) > 0 || io_is_accepting(shard_io(core->shard)))
        return;
    core->stop_step = STOP_ENDED;
    shard_finish(core->shard);
}

void stop_step(struct core *core)
{
    if (core->stop_step == STOP_DRAINING && is_drained(core))
        say_quiet(core);
    if (core->stop_step == STOP_QUIET && core->quiet_count == core->server->core_count) {
        core->stop_step = STOP_CLOSING;
        agree_on_round(core);
        close_conns(core);
    }
    if (core->stop_step == STOP_CLOSING)
        end_if_done(core);
    if (core->stop_step != STOP_ENDED && !timer_is_set(&core->stop_timer))
        timers_set(shard_timers(core->shard), &core->stop_timer, shard_monotonic_us(core->shard) + LOOK_AGAIN_US);
}
