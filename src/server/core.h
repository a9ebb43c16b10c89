/*
 * core.h: the state of one shard: its users, its recent messages, and what each module keeps of its own. It is the
 * first argument of whatever runs on that shard. Nothing in it is shared with another shard but `server`.
 *
 * core.c answers the questions that every module asks, and calls no module. core_open.c makes and frees the state,
 * core_handlers.c hands what comes in to the modules. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_CORE_H
#define CHITCHAT_SERVER_CORE_H

#include <stdatomic.h>

#include "base/assert.h"
#include "cli/config.h"
#include "connection/backpressure.h"
#include "connection/conn.h"
#include "durability/background.h"
#include "durability/wal_writer.h"
#include "history/history.h"
#include "history/range_read.h"
#include "history/replay.h"
#include "operations/handover.h"
#include "server/admission.h"
#include "server/budget.h"
#include "server/letter.h"
#include "server/rest.h"
#include "server/stop.h"
#include "server/trim.h"
#include "server/turn.h"
#include "shard/shard.h"
#include "storage/datadir/datadir.h"
#include "storage/memtable/memtable.h"
#include "storage/runs/store.h"
#include "timeline/delivery.h"
#include "timeline/fanout.h"
#include "timeline/idempotency.h"
#include "timeline/user.h"

struct core;
struct checkpoint;
struct merge_schedule;
struct segment_recycler;

/* What all shards share. Set before the threads start, then only read, but for the atomics. */
struct server {
    const struct config *config;
    const struct datadir *datadir;
    struct clock *clock;
    struct core **cores;
    uint32_t core_count;
    uint64_t start_random; /* 56 bits, drawn at each start: mids are unique for ever */
    struct span page;      /* the web client */
    int *listen_fds;       /* core_count times config->listen_count */

    /* Shared. */
    atomic_bool store_failed; /* a log write failed: no shard takes sends any more */
    atomic_uint conn_count;
    atomic_uint quiet_shards; /* stopping (stop.h) */
    atomic_ullong final_round;
};

/* Bits of shard_group_signal. */
#define SIGNAL_STOP 1u

/* Limits between a pair of shards, so that posting never fails (shard.h: SHARD_MAILBOX_LETTERS). */
#define CORE_SENDS_OUT_MAX 8192u
/* A send within a shard takes no mailbox; only its bytes count, and a stall of the disk or the core for a few tenths of
 * a second must not become a storm of refusals that come back. */
#define CORE_SENDS_WITHIN_MAX 65536u
#define CORE_SEND_BYTES_OUT_MAX (32u << 20)
#define CORE_HANDOVERS_OUT_MAX 4096u
_Static_assert(2 * CORE_SENDS_OUT_MAX + 2 * CORE_HANDOVERS_OUT_MAX + 1024 < SHARD_MAILBOX_LETTERS,
               "both sides' sends and handovers, going and returning, and control letters fit the mailbox");

/* A log write that takes longer makes the shard refuse sends until it is done. */
#define CORE_WRITE_SLOW_US 2000000u

/* A line of the log that may come again and again comes once in this time. */
#define CORE_LOG_INTERVAL_US 60000000u

/* Runs of a shard, and how many of a level a merge makes into one. */
#define CORE_RUNS_MAX 24u
#define CORE_RUNS_FAN_OUT 6u

/* Connections of a shard that a full server lets linger to tell them so; more are closed at once. Descriptors are
 * reserved for them (serve.c). */
#define CORE_TURNED_AWAY_MAX 64u

/* With less of the records' memory (budget.h) than this left, sends are refused. */
#define CORE_HEAP_RESERVE_BYTES (UINT64_C(32) << 20)

/* Letters of this shard that are with another one. */
struct core_peer {
    uint32_t sends_out;
    uint32_t send_bytes_out;
    uint32_t handovers_out;
};

/* Recent messages: what the WAL holds and no run does yet. */
struct generations {
    struct record_heap *heap;
    struct memtable *filling;
    uint32_t filling_number;  /* of generations, by which a user's place in it is known (user.h) */
    struct memtable *frozen;  /* being written by the checkpoint thread, or NULL */
    struct memtable *leaving; /* in a run by now, read by nobody: given back a slice a turn, or NULL */
};

/* What the shard knows of its runs. */
struct runs {
    struct store *store;
    uint64_t ts_max; /* newest ts in a run, as of the last generation that was released */
    uint32_t count;
};

struct core {
    /* Set by open, then only read. */
    struct server *server;
    uint32_t index;
    struct budget budget;
    struct shard *shard;

    /* Owned by the shard's thread: of no one module. */
    struct turn turn;
    uint64_t last_ts;        /* newest ts ever given */
    struct core_peer *peers; /* one for each shard */
    struct user_table users;
    struct generations generations;
    struct runs runs;
    struct timer tick_timer;

    /* Of one module each. */
    struct admission admission;
    struct conns conns;
    struct backpressure backpressure;
    struct handovers handovers;
    struct deliveries deliveries;
    struct fanouts fanouts;
    struct idempotency idempotency;
    struct reads reads;
    struct range_reads range_reads;
    struct histories histories;
    struct replays replays;
    struct wal_writer wal_writer;
    struct background background;
    struct checkpoint *checkpoint;
    struct merge_schedule *merge_schedule;
    struct segment_recycler *recycler;
    struct rest rest;
    struct trim trim;
    struct stop stop;
};

/* A new ts: max(now, last + 1). */
uint64_t core_next_ts(struct core *core);
/* The shard of a user. */
uint32_t core_shard_of(const struct core *core, struct span user);
/* Whether sends are taken: not stopping, store sound, WAL not slow, memory free. Else *code_r and *retry_after_ms_r,
 * and the static text of the refusal. */
bool core_takes_sends(struct core *core, enum error_code *code_r, const char **message_r, uint32_t *retry_after_ms_r);
bool core_has_store_failed(const struct core *core);
/* The seed of this shard's hash tables. */
struct hash_key core_table_seed(const struct core *core);
/* A new, empty generation, to be filled from now on. 0 or -ENOMEM. */
int core_open_memtable(struct core *core, struct memtable **table_r);
/* Puts `record` into the generation that is being filled, in the timeline of `user`. */
void core_remember(struct core *core, struct user *user, struct record *record, enum role role);
/* Posts one of `letters` (one for each shard, returned by nobody) to each other shard. The one that this shard posted
 * before from the same place must have been read. */
void core_post_to_others(struct core *core, struct letter_control *letters, enum letter_kind kind, uint64_t round);
/* A thread beside the shard; without it the server cannot run, and ends with a line in the log. */
void core_open_worker(struct core *core, const char *name, enum shard_worker_kind kind, struct worker **worker_r);

#endif
