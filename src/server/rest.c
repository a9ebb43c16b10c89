#include "server/rest.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "server/core.h"
#include "timeline/seen_ahead.h"

struct left {
    char *text;
    size_t used;
};

static void add(struct left *left, const char *name, uint64_t value)
{
    if (value == 0 || left->used >= REST_TEXT_BYTES)
        return;
    int bytes = snprintf(left->text + left->used, REST_TEXT_BYTES - left->used, "%s%s=%" PRIu64,
                         left->used > 0 ? "," : "", name, value);
    left->used += bytes > 0 ? (size_t)bytes : 0;
}

static void add_list(struct left *left, const char *name, const struct list *head)
{
    add(left, name, !list_is_empty(head));
}

static void add_conns(struct left *left, const struct core *core)
{
    add(left, "conns", core->conns.table.taken);
    add(left, "conns_turned_away", core->admission.turned_away);
    add(left, "conn_work", core->conns.work_pool.taken);
    add(left, "heads", core->conns.head_pool.taken);
    add(left, "chunks", core->conns.chunk_pool.taken);
    add(left, "small_chunks", core->conns.small_chunk_pool.taken);
    add(left, "stash_bytes", core->conns.stash_bytes);
    add(left, "parser_bytes", ws_pool_bytes_out(core->conns.ws_pool));
    add(left, "tls", core->tls.count);
    add(left, "tls_handshakes", core->tls.handshake_count);
    add_list(left, "tls_queue", &core->tls.queue);
    add_list(left, "tls_waiting", &core->tls.waiting);
    add_list(left, "tls_parts", &core->tls.parts);
    add(left, "pages", core->histories.count);
    add(left, "pages_active", core->histories.active);
    add(left, "pages_ahead", core->histories.ahead);
    add(left, "program_pages", core->page_reads.active);
    add_list(left, "program_pages_waiting", &core->page_reads.waiting);
    add_list(left, "peers_pages", &core->peers_pages.open);
    if (atomic_load_explicit(&core->server->conn_count, memory_order_relaxed) == 0)
        add(left, "addresses", addresses_count(core->server->addresses));
    add_list(left, "output_conns", &core->conns.output);
    add_list(left, "resume_conns", &core->conns.resume);
    add_list(left, "resume_first_conns", &core->conns.resume_first);
    add_list(left, "handover_conns", &core->handovers.waiting);
    add_list(left, "barriers", &core->barriers.waiting);
    add_list(left, "history_conns", &core->histories.queue);
    add_list(left, "place_conns", &core->histories.place_queue);
    add_list(left, "replay_conns", &core->replays.queue);
    add(left, "skips", core->skips.count);
}

static void add_users(struct left *left, const struct core *core)
{
    add(left, "users", core->users.count);
    add(left, "deliveries", core->deliveries.pool.taken);
    add(left, "deliveries_out", core->deliveries.out);
    add(left, "in_flight_bytes", core->deliveries.in_flight_bytes);
    add(left, "erasures", core->erasures.count);
    add(left, "marks", core->seens.pool.taken);
    add(left, "mark_letters", core->seens.letters_out);
    add(left, "marks_ahead", core->seens.ahead->taken_count);
    add(left, "arrivals", core->deliveries.arrival_pool.taken);
    add(left, "waiters", core->deliveries.waiter_pool.taken);
    add(left, "oks", core->replays.ok_pool.taken);
    add(left, "oks_reserved", core->replays.oks_reserved);
    add(left, "batches", core->batches.count);
    add(left, "batch_bytes", core->batches.bytes);
    add(left, "posts", core->posts.group_count);
    add(left, "senders", core->senders.pool.taken);
    add(left, "fanouts", core->fanouts.pool.taken);
    add(left, "watches", core->watches.count);
    if (core->stop.step == STOP_NOT) /* else subscriptions are not ended any more */
        add(left, "presence_bytes", core->presence.bytes);
    add(left, "key_bytes", core->idempotency.memory.bytes);
    add_list(left, "arrival_list", &core->deliveries.arrivals);
    add_list(left, "wal_waiting", &core->deliveries.wal_waiting);
    add_list(left, "fanout_list", &core->fanouts.queue);
    add_list(left, "key_users", &core->idempotency.users);
}

static void add_others(struct left *left, const struct core *core)
{
    for (uint32_t i = 0; i < core->server->core_count; i++) {
        add(left, "sends_out", core->peers[i].sends_out);
        add(left, "send_bytes_out", core->peers[i].send_bytes_out);
        add(left, "handovers_out", core->peers[i].handovers_out);
        add(left, "typings_out", core->peers[i].typings_out);
        add(left, "presence_out", presence_is_out(core, i));
    }
    for (uint32_t lane = 0; lane < WORKER_LANES; lane++) {
        add(left, "jobs_out", core->reads.jobs_out[lane]);
        add_list(left, "jobs", &core->reads.jobs[lane]);
    }
}

bool rest_check(const struct core *core, char text[REST_TEXT_BYTES])
{
    struct left left = {text, 0};
    text[0] = '\0';
    add_conns(&left, core);
    if (core_has_store_failed(core))
        return left.used == 0;
    add_users(&left, core);
    add_others(&left, core);
    return left.used == 0;
}

static bool logs_debug(const struct core *core)
{
    return core->server->config->log_level == LOG_DEBUG;
}

static void log_rest(const struct core *core, const char *at)
{
    char left[REST_TEXT_BYTES];
    bool is_clean = rest_check(core, left);
    log_line(LOG_DEBUG, "rest", "shard=%u at=%s connections=%u clean=%s left=\"%s\"", core->index, at,
             atomic_load_explicit(&core->server->conn_count, memory_order_relaxed), is_clean ? "yes" : "no", left);
}

void rest_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (!logs_debug(core))
        return;
    log_line(LOG_DEBUG, "turns",
             "shard=%u count=%" PRIu64 " longest_us=%" PRIu64 " longest_work_us=%" PRIu64 " most_work_us=%" PRIu64,
             core->index, core->turn.count, core->turn.longest_us, core->turn.longest_work_ns / 1000,
             turn_work_ns_max() / 1000);
    if (atomic_load_explicit(&core->server->conn_count, memory_order_relaxed) == 0)
        log_rest(core, "idle");
}

void rest_on_end(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (logs_debug(core))
        log_rest(core, "end");
}
