/*
 * core.h: one shard's share of the chat: its connections, its users, its sends on the way, its recent messages, its
 * log. It is the first argument of whatever runs on that shard. Nothing in it is shared with another shard but
 * `server`.
 *
 * core.c is the glue to shard.h: what comes in is handed to conn, delivery, replay, checkpoint; what gathered leaves at
 * the end of the turn.
 */
#ifndef CHITCHAT_SERVER_CORE_H
#define CHITCHAT_SERVER_CORE_H

#include <stdatomic.h>

#include "base/assert.h"
#include "base/log_limit.h"
#include "cli/config.h"
#include "connection/conn.h"
#include "durability/group_commit.h"
#include "server/budget.h"
#include "server/letter.h"
#include "server/turn.h"
#include "shard/shard.h"
#include "storage/datadir/datadir.h"
#include "storage/memtable/memtable.h"
#include "storage/runs/store.h"
#include "storage/wal/wal.h"
#include "timeline/fanout.h"
#include "timeline/key_window.h"
#include "timeline/user.h"

struct core;
struct checkpoint;
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
    atomic_uint calm_count; /* stopping (stop.h) */
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
               "both sides' sends and moves, going and coming home, and control letters fit the mailbox");

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

struct core {
    /* Set by open, then only read. */
    struct server *server;
    uint32_t index;
    struct budget budget;
    struct shard *shard;

    /* Owned by the shard's thread. */
    struct turn turn;

    /* Connections. */
    struct conn_table conns;
    struct ws_pool *ws_pool;
    struct request_reader *reader;
    struct pool work_pool;
    struct pool head_pool; /* heads of HTTP of which a part has come */
    struct pool chunk_pool;
    struct pool small_chunk_pool;
    struct http_options http;
    struct list output_conns;
    struct list resume_conns;
    struct list handover_conns; /* waiting for their output to leave, or for room to the other shard */
    struct list history_conns;  /* had their share of pages, or found the turn's used up (history.h) */
    struct list place_conns;    /* wait for the place of a page (history.h) */
    char *scratch;              /* CORE_SCRATCH_BYTES: replies too large for a chunk, and frames to be shared */
    bool scratch_in_reply;      /* conn_reply_begin gave it out */
    char *push_scratch;         /* a push that several connections share */
    uint64_t stash_bytes;       /* of all connections */
    uint32_t turned_away;       /* connections of a full server that are being told so */
    uint32_t history_count;     /* pages asked for */
    uint32_t history_active;    /* of these, those that are being gathered */
    uint32_t history_ahead;     /* and those that are read before their turn */
    uint32_t starved_at;        /* pressure.h */
    uint32_t starved_left;      /* connections that are still to be looked at */
    bool is_starved;

    /* Users and their sends. */
    struct user_table users;
    uint64_t last_ts; /* newest ts ever given */
    struct pool delivery_pool;
    struct pool arrival_pool;
    struct pool waiter_pool;
    struct pool ok_pool;     /* of sends whose `ok` waits for a replay */
    uint32_t oks_reserved;   /* places in it for sends that are under way */
    struct core_peer *peers; /* one for each shard */
    uint32_t deliveries_out; /* sends of this shard's users that are not home yet */
    struct list arrivals;    /* in the log; in order of batch */
    uint64_t durable_to;     /* the newest batch that is on the disk */
    struct list log_waiting; /* sends (deliveries) that wait for a place in the filling batch */
    struct pool fanout_pool;
    struct list fanouts;      /* rounds of these go on at the end of the turn (fanout.h) */
    struct list replay_conns; /* replays that can go on */
    struct key_memory key_memory;
    struct list key_users; /* users with a key window, least recently used first */

    /* Storage. */
    struct record_heap *heap;
    struct memtable *filling;
    uint32_t filling_number;  /* of generations, by which a user's place in it is known (user.h) */
    struct memtable *frozen;  /* being written by the checkpoint thread, or NULL */
    struct memtable *leaving; /* in a run by now, read by nobody: given back a slice a turn, or NULL */
    struct wal *wal;
    struct io_write log_write;
    uint64_t log_write_at_us; /* when the write in flight was given, 0: none */
    struct group_commit group_commit;
    uint32_t log_only_outstanding; /* of the records that wait to be written, those of deliveries that are sole */
    struct store *store;
    uint64_t runs_ts_max; /* newest ts in a run, as of the last generation that was let go */
    uint32_t run_count;
    uint64_t log_bytes; /* written since the start */
    struct checkpoint *checkpoint;
    struct segment_recycler *recycler;

    /* Threads beside the shard. */
    struct worker *reader_worker;
    struct list jobs[WORKER_LANES]; /* struct reader_job that wait for a place */
    uint32_t jobs_out[WORKER_LANES];
    struct store_reader *store_reader; /* used on the reader's thread only */
    struct range_read *idle_reads;     /* range_read.c: kept for the next ones */
    uint32_t idle_read_count;
    struct worker *checkpoint_worker;
    struct worker *merge_worker;
    struct worker *recycler_worker; /* makes and recycles segment files */

    struct log_limit read_limit;   /* the reader's thread */
    struct log_limit accept_limit; /* the shard's */
    struct log_limit output_limit;
    struct log_limit full_limit;

    struct timer tick_timer;
    bool is_rest_logged; /* rest.h */
    bool trims_pools;    /* trim.h */
    uint32_t trim_at;    /* the next of them */

    /* Stopping (stop.h). */
    uint8_t stop_step;
    uint32_t quiet_count; /* shards that said LETTER_QUIET */
    struct timer stop_timer;
    struct letter_control *quiet_letters; /* one for each shard */
};

#define CORE_SCRATCH_BYTES (REPLY_PAGE_BYTES_MAX + 4096u)

/* Makes a core without its storage (recovery.h brings that) and without its shard. 0 or -errno. */
int core_open(struct core **core_r, struct server *server, uint32_t index);
void core_close(struct core **core);

/* The handlers of every shard; their context is a struct core. Static. */
const struct shard_handlers *core_handlers(void);

/* A new ts: max(now, last + 1). */
uint64_t core_next_ts(struct core *core);
/* The shard of a user. */
uint32_t core_shard_of(const struct core *core, struct span user);
/* Whether sends are taken: not stopping, store sound, log not slow, memory free. Else *code_r and *retry_after_ms_r,
 * and the static text of the refusal. */
bool core_takes_sends(struct core *core, enum error_code *code_r, const char **message_r, uint32_t *retry_after_ms_r);
/* A new, empty generation, to be filled from now on. 0 or -ENOMEM. */
int core_open_memtable(struct core *core, struct memtable **table_r);
/* Puts `record` into the generation that is being filled, in the timeline of `user`. */
void core_remember(struct core *core, struct user *user, struct record *record, enum role role);

#endif
