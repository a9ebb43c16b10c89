#include "server/metrics.h"

#include "durability/checkpoint.h"
#include "durability/merge_schedule.h"
#include "server/core.h"

static enum metrics_close close_of(uint16_t code)
{
    switch (code) {
    case 1000: return METRICS_CLOSE_1000;
    case 1001: return METRICS_CLOSE_1001;
    case 1002: return METRICS_CLOSE_1002;
    case 1003: return METRICS_CLOSE_1003;
    case 1007: return METRICS_CLOSE_1007;
    case 1009: return METRICS_CLOSE_1009;
    case 1011: return METRICS_CLOSE_1011;
    case 1013: return METRICS_CLOSE_1013;
    case 4001: return METRICS_CLOSE_4001;
    case 4002: return METRICS_CLOSE_4002;
    case 4003: return METRICS_CLOSE_4003;
    case 4101: return METRICS_CLOSE_4101;
    case 4201: return METRICS_CLOSE_4201;
    case 4203: return METRICS_CLOSE_4203;
    default: return METRICS_CLOSE_OTHER;
    }
}

void metrics_on_close(struct core *core, uint16_t code)
{
    metric_add(&core->metrics.closes[close_of(code)], 1);
}

void metrics_on_letter(struct core *core, uint8_t kind)
{
    enum metrics_letter letter = METRICS_LETTER_OTHER;
    if (kind == LETTER_SEND || kind == LETTER_SEND_RETURNED)
        letter = METRICS_LETTER_SEND;
    else if (kind == LETTER_HANDOVER || kind == LETTER_HANDOVER_RETURNED)
        letter = METRICS_LETTER_HANDOVER;
    metric_add(&core->metrics.letters[letter], 1);
}

/* -- copies of the state -- */

static void copy_conns(struct core *core, struct metrics *metrics)
{
    uint32_t tls = core->tls.count;
    ASSERT(core->conns.table.taken >= tls);
    metric_set(&metrics->open[0], core->conns.table.taken - tls);
    metric_set(&metrics->open[1], tls);
    metric_set(&metrics->admin_open, core->exchanges.count[EXCHANGE_ADMIN]);
    metric_set(&metrics->handshakes_open, core->tls.handshake_count);
    metric_set(&metrics->users, core->users.count);
    metric_set(&metrics->output_level, (uint64_t)backpressure_is_tight(core) + (uint64_t)backpressure_is_full(core));
}

static void copy_memory(const struct core *core, struct metrics *metrics)
{
    const struct budget *budget = &core->budget;
    const uint64_t used[METRICS_MEMORIES] = {
        [METRICS_MEMORY_RECORDS] = record_heap_bytes_used(core->generations.heap),
        [METRICS_MEMORY_OUTPUT] = backpressure_output_bytes(core),
        [METRICS_MEMORY_INPUT] = core->conns.stash_bytes,
        [METRICS_MEMORY_MESSAGES] = ws_pool_bytes_out(core->conns.ws_pool),
        [METRICS_MEMORY_KEYS] = core->idempotency.memory.bytes,
        [METRICS_MEMORY_PRESENCE] = core->presence.bytes,
        [METRICS_MEMORY_PROGRAMS] = core->exchanges.body_bytes + core->batches.bytes,
    };
    const uint64_t max[METRICS_MEMORIES] = {
        [METRICS_MEMORY_RECORDS] = record_heap_bytes_max(core->generations.heap),
        [METRICS_MEMORY_OUTPUT] = budget->output_bytes,
        [METRICS_MEMORY_INPUT] = budget->stash_bytes,
        [METRICS_MEMORY_MESSAGES] = budget->message_bytes,
        [METRICS_MEMORY_KEYS] = budget->key_bytes,
        [METRICS_MEMORY_PRESENCE] = budget->presence_bytes,
        [METRICS_MEMORY_PROGRAMS] = EXCHANGES_BODY_BYTES + BATCHES_BYTES_MAX,
    };
    for (uint32_t i = 0; i < METRICS_MEMORIES; i++) {
        metric_set(&metrics->memory_used[i], used[i]);
        metric_set(&metrics->memory_max[i], max[i]);
    }
}

static void copy_places(const struct core *core, struct metrics *metrics)
{
    const struct budget *budget = &core->budget;
    const uint32_t used[METRICS_PLACES] = {
        [METRICS_PLACE_SENDS] = core->deliveries.pool.taken,
        [METRICS_PLACE_ARRIVALS] = core->deliveries.arrival_pool.taken,
        [METRICS_PLACE_PAGES] = core->histories.count,
        [METRICS_PLACE_HEADS] = core->conns.head_pool.taken,
    };
    const uint32_t max[METRICS_PLACES] = {
        [METRICS_PLACE_SENDS] = budget->deliveries_max,
        [METRICS_PLACE_ARRIVALS] = budget->deliveries_max,
        [METRICS_PLACE_PAGES] = budget->histories_max,
        [METRICS_PLACE_HEADS] = budget->heads_max,
    };
    for (uint32_t i = 0; i < METRICS_PLACES; i++) {
        metric_set(&metrics->places_used[i], used[i]);
        metric_set(&metrics->places_max[i], max[i]);
    }
}

static void copy_letters(const struct core *core, struct metrics *metrics)
{
    uint64_t out = core->seens.letters_out;
    for (uint32_t i = 0; i < core->server->core_count; i++)
        out += i == core->index ? 0 : core->peers[i].sends_out + core->peers[i].handovers_out;
    metric_set(&metrics->letters_out, out);
}

static void copy_storage(struct core *core, struct metrics *metrics)
{
    struct store_info info;
    const struct wal *wal = core->wal_writer.log.file; /* NULL: the log has no segments here */
    uint32_t live = wal == NULL ? 0 : wal_live_segments(wal), spares = wal == NULL ? 0 : wal_spare_count(wal);
    store_info(core->runs.store, &info);
    metric_set(&metrics->wal_segments[0], live);
    metric_set(&metrics->wal_segments[1], spares);
    metric_set(&metrics->wal_segment_bytes, (uint64_t)(live + spares) * core->server->config->wal_segment_bytes);
    metric_set(&metrics->memtable_bytes, memtable_bytes(core->generations.filling));
    metric_set(&metrics->memtable_max, core->server->config->memtable_bytes);
    metric_set(&metrics->memtable_entries, memtable_entry_count(core->generations.filling));
    metric_set(&metrics->rounds, checkpoint_rounds_done(core));
    metric_set(&metrics->round_age, checkpoint_age_us(core));
    metric_set(&metrics->checkpoint_retries, checkpoint_failures(core));
    metric_set(&metrics->merge_retries, merge_schedule_failures(core));
    metric_set(&metrics->runs, info.run_count);
    metric_set(&metrics->runs_max, CORE_RUNS_MAX);
    metric_set(&metrics->run_rows, info.row_count);
    metric_set(&metrics->checkpoint_bytes, info.run_bytes);
    metric_set(&metrics->merge_bytes, info.merge_bytes);
}

static void copy_log(struct core *core)
{
    const struct log_remote *remote = core->wal_writer.log.remote;
    struct store_info info;
    if (remote == NULL)
        return;
    uint64_t newest = log_remote_newest(remote)->number;
    metric_set(&core->slot_metrics.last, newest);
    metric_set(&core->slot_metrics.applied, newest);
    metric_set(&core->slot_metrics.lag, 0);
    store_info(core->runs.store, &info);
    metric_set(&core->slot_metrics.in_runs, info.applied.generation);
}

void metrics_tick(struct core *core)
{
    struct metrics *metrics = &core->metrics;
    ASSERT_ON_SHARD(core->shard);
    copy_conns(core, metrics);
    copy_memory(core, metrics);
    copy_places(core, metrics);
    copy_letters(core, metrics);
    copy_storage(core, metrics);
    copy_log(core);
    uint64_t wall_us = shard_wall_us(core->shard);
    metric_set(&metrics->clock_floor_ahead, core_floor_ts(core) > wall_us ? core_floor_ts(core) - wall_us : 0);
    metric_set(&metrics->takes_sends, !core_refuses_sends(core));
    metric_set(&metrics->turns, core->turn.count);
    metric_set(&metrics->turn_longest, core->turn.longest_us);
}
