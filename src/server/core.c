#include "server/core.h"

#include <errno.h>
#include <unistd.h>

#include "base/fair_share.h"
#include "base/fault.h"
#include "base/log.h"

#define RETRY_SLOW_MS 1000u
#define RETRY_FULL_MS 250u

/* The hash by the name seed chooses the shard; the tables of one shard need other bits. */
struct hash_key core_table_seed(const struct core *core)
{
    struct hash_key seed = datadir_name_seed(core->server->datadir);
    return (struct hash_key){~seed.k0, seed.k1};
}

int core_open_memtable(struct core *core, struct memtable **table_r)
{
    core->generations.filling_number++;
    return memtable_open(table_r, core->generations.heap, core_table_seed(core),
                         datadir_key_seed(core->server->datadir));
}

void core_remember(struct core *core, struct user *user, struct record *record, enum role role)
{
    ASSERT(user->refs > 0);
    if (user->entries_in != core->generations.filling_number) {
        user->entries = memtable_user(core->generations.filling, user_name(user));
        user->entries_in = core->generations.filling_number;
    }
    ASSERT(user->entries != NULL);
    int status = memtable_insert_at(core->generations.filling, user->entries, record, role);
    ASSERT(status == 0);
}

void core_lengthen_turn(struct core *core, uint32_t ns)
{
    turn_lengthen(&core->turn, ns);
    io_gather_longer(shard_io(core->shard), ns);
}

uint64_t core_next_ts(struct core *core)
{
    if (shard_monotonic_us(core->shard) != core->clock.follow.monotonic_us
        || shard_wall_us(core->shard) != core->clock.follow.wall_us)
        core_follow_clock(core);
    uint64_t now_us = core->clock.follow.now_us;
    uint64_t floor = core_floor_ts(core);
    core->last_ts = now_us > floor || FAULT(TS_NOT_MONOTONIC) ? now_us : floor + 1;
    return core->last_ts;
}

uint32_t core_shard_of(const struct core *core, struct span user)
{
    uint32_t shard = datadir_shard_of(core->server->datadir, user);
    ASSERT(shard < core->server->core_count);
    return shard;
}

bool core_has_store_failed(const struct core *core)
{
    return atomic_load_explicit(&core->server->store_failed, memory_order_relaxed);
}

bool core_is_draining(const struct core *core)
{
    return atomic_load_explicit(&core->server->is_draining, memory_order_relaxed);
}

void core_conn_count_sub(struct core *core)
{
    uint32_t before = atomic_fetch_sub_explicit(&core->server->conn_count, 1, memory_order_relaxed);
    ASSERT(before > 0);
}

bool core_is_log_slow(const struct core *core)
{
    return log_write_is_in_flight(&core->wal_writer.log)
           && shard_monotonic_us(core->shard) - core->wal_writer.write_at_us > CORE_WRITE_SLOW_US;
}

bool core_has_sends_enough(const struct core *core)
{
    return core->peers[core->index].sends_out >= CORE_SENDS_PAUSE && !core_is_log_slow(core)
           && !core_has_store_failed(core);
}

/* What the generation being filled may still take, with what is in flight. */
static uint64_t generation_room(const struct core *core)
{
    uint64_t taken = memtable_bytes(core->generations.filling) + core->deliveries.in_flight_bytes;
    uint64_t limit = core->server->config->memtable_bytes;
    return taken < limit ? limit - taken : 0;
}

/* A generation that can be frozen soon goes on with a small reserve: what is in flight enters it before, mostly. */
static bool has_memory(const struct core *core, uint8_t share)
{
    uint64_t limit = core->server->config->memtable_bytes;
    uint64_t bytes = memtable_bytes(core->generations.filling);
    uint64_t heap_bytes = record_heap_bytes_used(core->generations.heap) + CORE_HEAP_RESERVE_BYTES;
    uint64_t heap_max = record_heap_bytes_max(core->generations.heap);
    if (bytes >= limit || heap_bytes > heap_max)
        return false;
    uint64_t room = core->generations.must_wait ? generation_room(core) : limit - bytes;
    uint64_t reserve = core->generations.must_wait ? limit / FAIR_SHARE_RESERVE : limit / FAIR_SHARE_RESERVE_SMALL;
    if (heap_max - heap_bytes < room)
        room = heap_max - heap_bytes;
    return fair_share_admits(fair_share_cost(share), room, reserve);
}

uint8_t core_share(const struct core *core, const struct user *user, uint32_t unanswered)
{
    const struct mem_user *entries = user->entries_in == core->generations.filling_number ? user->entries : NULL;
    if (entries == NULL && !has_memory(core, FAIR_SHARE_MOST)) /* the user may have left and come back */
        entries = memtable_find_user(core->generations.filling, user_name(user));
    return fair_share_of(fair_share_in_flight(unanswered) * FAIR_SHARE_MESSAGE_BYTES
                         + (entries == NULL ? 0 : memtable_user_cost(entries)));
}

void core_charge(struct core *core, struct user *user, const struct record *record, uint32_t unanswered)
{
    if (user->entries_in == core->generations.filling_number)
        memtable_user_add_cost(user->entries, (uint64_t)record_entry_bytes(record) * FAIR_SHARE_ENTRIES * unanswered);
}

/* All of core_takes_sends but memory, whose refusal is set then. */
static bool takes_sends(const struct core *core, enum error_code *code_r, const char **message_r,
                        uint32_t *retry_after_ms_r)
{
    *code_r = ERROR_BUSY;
    *retry_after_ms_r = RETRY_FULL_MS;
    if (core_has_store_failed(core)) {
        *code_r = ERROR_UNAVAILABLE;
        *message_r = "the store has failed: send again with the same key after a restart or a failover";
        *retry_after_ms_r = 0;
        return false;
    }
    if (core_is_log_slow(core)) {
        *message_r = core->wal_writer.log.remote != NULL ? "the log of the cluster does not answer: wait and send again"
                                                         : "the disk is slow: wait and send again";
        *retry_after_ms_r = RETRY_SLOW_MS;
        return false;
    }
    *message_r = "the disk falls behind: wait and send again";
    return true;
}

bool core_takes_sends(const struct core *core, uint8_t share, enum error_code *code_r, const char **message_r,
                      uint32_t *retry_after_ms_r)
{
    return takes_sends(core, code_r, message_r, retry_after_ms_r) && has_memory(core, share);
}

static bool note_refusal(struct core *core, bool is_taken)
{
    if (!is_taken)
        core->health.refused_s = core_now_s(core);
    return is_taken;
}

bool core_admits_send(struct core *core, uint8_t share, enum error_code *code_r, const char **message_r,
                      uint32_t *retry_after_ms_r)
{
    return note_refusal(core, core_takes_sends(core, share, code_r, message_r, retry_after_ms_r));
}

bool core_admits_send_of(struct core *core, const struct user *user, uint32_t unanswered, enum error_code *code_r,
                         const char **message_r, uint32_t *retry_after_ms_r)
{
    return note_refusal(
        core, takes_sends(core, code_r, message_r, retry_after_ms_r)
                  && (has_memory(core, FAIR_SHARE_MOST) || has_memory(core, core_share(core, user, unanswered))));
}

bool core_refuses_sends(const struct core *core)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    if (log_can_append(&core->wal_writer.log, LIMIT_RECORD_BYTES) == -ENOSPC)
        return true;
    if (core_takes_sends(core, FAIR_SHARE_MOST, &code, &message, &retry_after_ms))
        return false;
    bool has_refused = core->health.refused_s > 0 && core_now_s(core) - core->health.refused_s <= CORE_REFUSED_S;
    return has_refused
           || !core_takes_sends(core, fair_share_of(FAIR_SHARE_MESSAGE_BYTES), &code, &message, &retry_after_ms);
}

void core_post_to_others(struct core *core, struct letter_control *letters, enum letter_kind kind, uint64_t round)
{
    for (uint32_t to = 0; to < core->server->core_count; to++) {
        if (to == core->index)
            continue;
        ASSERT(kind == LETTER_ROUND_END || kind == LETTER_ROUND_DONE || kind == LETTER_QUIET);
        letters[to].letter.kind = (uint8_t)kind;
        letters[to].round = round;
        shard_post(core->shard, to, &letters[to]);
    }
}

void core_open_worker(struct core *core, const char *name, enum shard_worker_kind kind, struct worker **worker_r)
{
    int status = shard_worker_open(core->shard, name, kind, worker_r);
    ASSERT(status <= 0);
    if (status == 0)
        return;
    log_line(LOG_ERROR, "thread_failed",
             "name=%s errno=%d error=\"%s\" hint=\"raise the limits of processes (ulimit -u, TasksMax=) and memory\"",
             name, -status, strerror(-status));
    log_flush(CORE_LOG_FLUSH_US);
    _exit(1);
}
