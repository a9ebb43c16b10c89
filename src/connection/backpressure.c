#include "connection/backpressure.h"

#include <inttypes.h>

#include "base/log.h"
#include "server/core.h"

/* Slots that one turn visits to continue deferred work. */
#define STEP_SLOTS_MAX 1024u

uint64_t backpressure_output_bytes(const struct core *core)
{
    return (uint64_t)core->conns.chunk_pool.taken * CONN_CHUNK_BYTES
           + (uint64_t)core->conns.small_chunk_pool.taken * CONN_CHUNK_SMALL_BYTES;
}

bool backpressure_is_tight(const struct core *core)
{
    return backpressure_output_bytes(core) >= core->budget.output_bytes / 2;
}

bool backpressure_is_full(const struct core *core)
{
    return backpressure_output_bytes(core) >= core->budget.output_bytes / 8 * 7;
}

void backpressure_defer(struct core *core)
{
    core->backpressure.has_deferred = true;
}

uint32_t backpressure_pause_bytes(struct core *core, uint32_t bytes)
{
    ASSERT(bytes > 0);
    if (!backpressure_is_tight(core))
        return bytes;
    if (!backpressure_is_full(core))
        return 1;
    backpressure_defer(core);
    return 0;
}

bool backpressure_may_push(const struct core *core, const struct conn *conn, size_t bytes)
{
    uint64_t used = backpressure_output_bytes(core);
    uint64_t limit = core->server->config->output_bytes;
    if (backpressure_is_tight(core)) {
        uint64_t left = core->budget.output_bytes > used ? (core->budget.output_bytes - used) / 8 : 0;
        limit = left < limit ? left : limit;
    }
    return conn->out_bytes + bytes <= limit;
}

static void continue_deferred(struct core *core, struct conn *conn)
{
    if (conn == NULL)
        return;
    core->conns.callbacks->on_room(core, conn);
    conn_queue_resume(core, conn);
}

/* A pass visits each slot once, over several turns. It ends early when something is deferred again. */
bool backpressure_step(struct core *core)
{
    ASSERT(core->backpressure.left <= core->conns.table.slot_count);
    bool has_room = backpressure_output_bytes(core) < core->budget.output_bytes / 4 * 3;
    if (core->backpressure.has_deferred && has_room) {
        core->backpressure.has_deferred = false;
        core->backpressure.left = core->conns.table.slot_count;
        core->conns.callbacks->on_room_for_reads(core);
    }
    for (uint32_t i = 0; i < STEP_SLOTS_MAX && core->backpressure.left > 0 && !core->backpressure.has_deferred; i++) {
        core->backpressure.left--;
        core->backpressure.at = (core->backpressure.at + 1) % core->conns.table.slot_count;
        continue_deferred(core, conn_at(&core->conns.table, core->backpressure.at));
    }
    return core->backpressure.left > 0 && !core->backpressure.has_deferred;
}

static bool is_stalled(const struct conn *conn, uint32_t now_s)
{
    if (conn == NULL || conn->state == CONN_CLOSED || conn->state == CONN_HANDOVER || conn->out_bytes == 0)
        return false;
    ASSERT(conn->out_first != NULL);
    return conn->state == CONN_CLOSING || (uint16_t)(now_s - conn->out_first->at_s) >= BACKPRESSURE_STALL_S;
}

void backpressure_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    uint32_t now_s = core_now_s(core);
    uint32_t cut = 0;
    uint32_t left_out;
    uint64_t before = backpressure_output_bytes(core);
    if (!backpressure_is_full(core))
        return;
    for (uint32_t i = 0; i < core->conns.table.slot_count; i++) {
        struct conn *conn = conn_at(&core->conns.table, i);
        if (!is_stalled(conn, now_s))
            continue;
        if (conn->state != CONN_CLOSING)
            refusal_note(core, REFUSAL_OUTPUT, &conn_cold(core, conn)->address, "the memory for output is used up");
        conn_drop(core, conn);
        cut++;
    }
    backpressure_defer(core);
    if (log_limit_take(&core->backpressure.log_limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
        log_line(LOG_WARN, "output_full",
                 "shard=%u bytes=%" PRIu64
                 " cut=%u hint=\"connections do not read their output; those that read nothing "
                 "for %u s are closed: raise --memory, or lower --output-bytes\" left_out=%u",
                 core->index, before, cut, BACKPRESSURE_STALL_S, left_out);
}
