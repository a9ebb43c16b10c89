/*
 * core.h: the state of one shard: its users, its recent messages, and the state of each module. A struct core is the
 * first argument of all functions that run on that shard. Shards share nothing in it but `server`.
 *
 * core.c has the functions that several modules need; it calls storage and shard, and no module of src/ above it.
 * core_open.c makes and frees the state, core_handlers.c dispatches events to the modules. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_CORE_H
#define CHITCHAT_SERVER_CORE_H

#include <stdatomic.h>

#include "api/batches.h"
#include "base/assert.h"
#include "base/clock_follow.h"
#include "base/log_limit.h"
#include "cli/config.h"
#include "connection/backpressure.h"
#include "connection/conn.h"
#include "connection/tls.h"
#include "durability/background.h"
#include "durability/retention.h"
#include "durability/wal_writer.h"
#include "ephemeral/conversations.h"
#include "ephemeral/presence.h"
#include "ephemeral/typing.h"
#include "ephemeral/watch.h"
#include "history/history.h"
#include "history/page_reads.h"
#include "history/peers_page.h"
#include "history/range_read.h"
#include "history/replay.h"
#include "history/skip.h"
#include "http/exchanges.h"
#include "operations/handover.h"
#include "operations/login.h"
#include "operations/tokens.h"
#include "server/addresses.h"
#include "server/admission.h"
#include "server/barrier.h"
#include "server/budget.h"
#include "server/call.h"
#include "server/cluster.h"
#include "server/cluster_metrics.h"
#include "server/drain.h"
#include "server/health.h"
#include "server/letter.h"
#include "server/memory_fit.h"
#include "server/metrics.h"
#include "server/refusals.h"
#include "server/reload.h"
#include "server/stop.h"
#include "server/trim.h"
#include "server/turn.h"
#include "shard/shard.h"
#include "storage/datadir/datadir.h"
#include "storage/memtable/memtable.h"
#include "storage/runs/store.h"
#include "timeline/delivery.h"
#include "timeline/erasure.h"
#include "timeline/fanout.h"
#include "timeline/idempotency.h"
#include "timeline/posts.h"
#include "timeline/seen.h"
#include "timeline/senders.h"
#include "timeline/user.h"

struct core;
struct checkpoint;
struct merge_schedule;
struct log_maintenance;
struct starting;
struct segment_recycler;
struct tls_context;
struct admin_tokens;

/* What all shards share. Set before the threads start, then only read, except for the atomics. */
struct server {
    const struct config *config;
    const struct datadir *datadir;
    const struct cluster *cluster;   /* NULL: no --cluster */
    char **argv;                     /* to execute the program again */
    bool was_deposed;                /* the process was executed anew, since another node took the slots */
    struct starting *starting;       /* until the shards start; NULL: nothing answers meanwhile */
    struct starting *starting_admin; /* the same of the admin addresses */
    struct clock *clock;
    struct core **cores;
    uint32_t core_count;
    uint64_t start_random;            /* 56 random bits of this start: they keep mids unique over all starts */
    const struct web_file *web_files; /* static */
    uint32_t web_file_count;
    struct addresses *addresses;
    int *listen_fds;                   /* core_count times config->listen_count */
    int *admin_fds;                    /* core_count times config->admin_count */
    struct admin_tokens *admin_tokens; /* NULL: no --admin-token-file */
    struct tls_context *tls_context;   /* NULL: no --listen-tls */

    /* Owned by main's thread. */
    struct reloads reloads;
    struct memory_fit memory_fit;
    struct token_keys *token_keys; /* a reference: the newest set; NULL: --auth none. core_open reads it, too */
    struct server_metrics metrics; /* read by any thread */
    struct cluster_metrics cluster_metrics; /* the same */
    enum health_state notified_state;       /* of service_notify.h: the last STATUS= */
    bool is_watched;                        /* the service manager expects WATCHDOG=1 */

    /* Shared. */
    atomic_bool is_draining;   /* the server was asked to stop */
    atomic_ullong drain_us;    /* how long the drain takes (drain.h); set before SIGNAL_DRAIN */
    atomic_bool is_deposed;    /* another node of the cluster owns the slots: this process begins anew as a standby */
    atomic_bool is_log_lost;   /* the log of the cluster has not answered for long: no shard has clients */
    atomic_bool store_failed;  /* a WAL write failed: no shard accepts sends any more */
    atomic_uint conn_count;    /* connections of all shards, but for those of struct admission.turned_away */
    atomic_uint quiet_shards;  /* shards that have chosen the last round (stop.h) */
    atomic_ullong final_round; /* the last round of checkpoints (stop.h) */
    atomic_bool is_final_round_given_up;
};

/* Bits of shard_group_signal. */
#define SIGNAL_STOP 1u
#define SIGNAL_DRAIN 2u

/* Letters in flight between a pair of shards are limited, so that posting never fails (SHARD_MAILBOX_LETTERS). */
#define CORE_SENDS_OUT_MAX 8192u
/* A send within one shard has a larger limit: when the disk or the core stalls for a few tenths of a second, refusals
 * would make the clients send again, all at once. */
#define CORE_SENDS_WITHIN_MAX 65536u
#define CORE_SEND_BYTES_OUT_MAX (32u << 20)
/* With so many sends within the shard in flight, no further requests are read: the stashes of their connections wait
 * in turns, so that a client with few sends passes the many of others. More in flight makes no write larger. */
#ifdef CHITCHAT_FAULTS
#define CORE_SENDS_PAUSE 256u
#else
#define CORE_SENDS_PAUSE 4096u
#endif
#define CORE_REFUSED_S 2u /* so long after a refusal the server counts as refusing (core_refuses_sends) */
#define CORE_HANDOVERS_OUT_MAX 4096u
_Static_assert(2 * CORE_SENDS_OUT_MAX + 2 * CORE_HANDOVERS_OUT_MAX + 2 * TYPING_OUT_MAX + 2 * SEENS_MAX
                       + 4 * PRESENCE_OUT_MAX + 1024
                   < SHARD_MAILBOX_LETTERS,
               "what both sides may have out, going and returning, and control letters fit the mailbox");

/* While a WAL write takes longer than this, the shard refuses sends. */
#define CORE_WRITE_SLOW_US 2000000u

/* Log lines of an event that can repeat are written once in this time. */
#define CORE_LOG_INTERVAL_US 60000000u
/* How long a process that ends waits for the reader of its log. */
#define CORE_LOG_FLUSH_US 1000000u

/* Runs of a shard, and how many runs of one level a merge makes into one. */
#define CORE_RUNS_MAX 24u
#define CORE_RUNS_FAN_OUT 6u

/* Connections of a shard that may wait for the 503 of a full server to be sent; any more are closed at once. serve.c
 * reserves descriptors for them. */
#define CORE_TURNED_AWAY_MAX 64u

/* Sends are refused while less than this is free of the records' memory (budget.h). */
#define CORE_HEAP_RESERVE_BYTES (UINT64_C(32) << 20)

/* Letters that this shard posted to one other shard, or to itself, and that have not returned. */
struct core_peer {
    uint32_t sends_out;
    uint32_t send_bytes_out; /* of their records */
    uint32_t typings_out;
    uint32_t handovers_out;       /* from io_release on, before the letter is posted */
    uint64_t seen_pause_until_us; /* it has no memory for marks: none goes there until then, monotonic */
};
_Static_assert(CALLS_OUT_MAX <= 512, "the mailbox has room for both sides' calls beside the control letters");

/* Recent messages: in the WAL, and in no run yet. */
struct generations {
    struct record_heap *heap;
    struct memtable *filling;
    uint32_t filling_number;  /* of `filling`: tells whether struct user.entries is in it */
    struct memtable *frozen;  /* the checkpoint thread writes it to a run; or NULL */
    struct memtable *leaving; /* in a run, and no longer read: freed one slice per turn; or NULL */
    bool must_wait;           /* `filling` cannot be frozen before the round in progress is over */
};

/* The time for stamps and for the age of keys. */
struct core_clock {
    struct clock_follow follow;
    struct log_limit limit;     /* of the lines about leaps */
    uint64_t keys_us;           /* set by core_start_clock, then only read: the age of keys counts from this ts on, */
    uint64_t keys_monotonic_us; /* which it was at this monotonic time */
};

/* The shard's runs, as the shard's thread sees them. */
struct runs {
    struct store *store;
    uint64_t ts_max; /* newest ts in a run, as of the last generation that became a run */
    uint32_t count;
};

struct core {
    /* Set by open, then only read. */
    struct server *server;
    uint32_t index;
    struct budget budget;
    struct shard *shard;

    /* Owned by the shard's thread, used by several modules. */
    struct turn turn;
    uint64_t last_ts; /* newest ts ever assigned */
    struct core_clock clock;
    struct core_peer *peers; /* one for each shard */
    struct user_table users;
    struct generations generations;
    struct runs runs;
    struct timer tick_timer;

    /* The state of one module each. */
    struct admission admission;
    struct refusals refusals;
    struct metrics metrics;
    struct slot_metrics slot_metrics; /* with --cluster */
    struct conns conns;
    struct tls_state tls;
    struct backpressure backpressure;
    struct handovers handovers;
    struct barriers barriers;
    struct tokens tokens;
    struct exchanges exchanges;
    struct batches batches;
    struct calls calls;
    struct health health;
    struct deliveries deliveries;
    struct erasures erasures;
    struct seens seens;
    struct fanouts fanouts;
    struct idempotency idempotency;
    struct posts posts;
    struct typings typings;
    struct presence presence;
    struct watches watches;
    struct conversation_checks conversations;
    struct senders senders;
    struct reads reads;
    struct range_reads range_reads;
    struct histories histories;
    struct page_reads page_reads;
    struct peers_pages peers_pages;
    struct replays replays;
    struct skips skips;
    struct wal_writer wal_writer;
    struct background background;
    struct retention retention;
    struct checkpoint *checkpoint;
    struct merge_schedule *merge_schedule;
    struct segment_recycler *recycler;       /* NULL: the log is not in segment files */
    struct log_maintenance *log_maintenance; /* NULL: it is */
    struct trim trim;
    struct drain drain;
    struct stop stop;
};

/* Monotonic time of this turn, in seconds. */
static inline uint32_t core_now_s(const struct core *core)
{
    return (uint32_t)(shard_monotonic_us(core->shard) / 1000000);
}
/* Each new ts is above it: the newest ts, or what --retention hides. */
static inline uint64_t core_floor_ts(const struct core *core)
{
    return core->last_ts > core->retention.hidden_ts ? core->last_ts : core->retention.hidden_ts;
}
/* A new ts: the wall clock without its leaps (base/clock_follow.h), or the floor + 1 if that is greater. Microseconds
 * since the Unix epoch. */
uint64_t core_next_ts(struct core *core);
/* After recovery, before the shard starts, when last_ts is known: believes the wall clock, and warns if last_ts lies
 * ahead of it. Main's thread. */
void core_start_clock(struct core *core);
/* Takes the clocks of this turn into account. Once a second, and before a ts where the clocks have moved. */
void core_follow_clock(struct core *core);
/* The time by which keys age, as ts: the newest ts at the start (or the clock, if that was behind), and what the
 * monotonic clock counted since. So a clock that leaps, even while the server was down, takes no protection from a key.
 * The time that a server was down does not count until the start after. */
uint64_t core_keys_now_us(const struct core *core);
/* A message makes the turn longer by `ns`: TURN_STORED_NS or TURN_DELIVERED_NS. Shard's thread. */
void core_lengthen_turn(struct core *core, uint32_t ns);
/* The index of the shard of `user`. */
uint32_t core_shard_of(const struct core *core, struct span user);
/* Whether CORE_SENDS_PAUSE is reached while the disk writes in time. A slow disk pauses nothing: then sends are
 * answered with `busy`. Shard's thread. */
bool core_has_sends_enough(const struct core *core);
/* Whether the shard accepts sends of somebody with `share` (fair_share.h; FAIR_SHARE_MOST: of everybody): no WAL write
 * failed, none is slow, and there is memory. If not, *code_r and *retry_after_ms_r (0: none) are set, and *message_r to
 * the static text of the refusal. */
bool core_takes_sends(const struct core *core, uint8_t share, enum error_code *code_r, const char **message_r,
                      uint32_t *retry_after_ms_r);
/* A send of somebody with `share` has come: the same, and a refusal is noted for core_refuses_sends. */
bool core_admits_send(struct core *core, uint8_t share, enum error_code *code_r, const char **message_r,
                      uint32_t *retry_after_ms_r);
/* The same with the core_share of `user`, which is looked at only where memory is short. */
bool core_admits_send_of(struct core *core, const struct user *user, uint32_t unanswered, enum error_code *code_r,
                         const char **message_r, uint32_t *retry_after_ms_r);
/* Whether a write of the log is out for longer than CORE_WRITE_SLOW_US: sends are refused then. */
bool core_is_log_slow(const struct core *core);
/* Whether sends are refused: the WAL has no room for a large one; or one was within CORE_REFUSED_S, or a small one of
 * somebody who has taken nothing would be, and those who have taken most still are. For health and metrics. */
bool core_refuses_sends(const struct core *core);
/* What `user` has taken of the memory for recent messages, with `unanswered` requests of the connection that asks. */
uint8_t core_share(const struct core *core, const struct user *user, uint32_t unanswered);
/* `record`, sent by `user` when their connection had `unanswered` requests, has entered generations.filling: counts its
 * cost. */
void core_charge(struct core *core, struct user *user, const struct record *record, uint32_t unanswered);
/* Whether a WAL write of any shard failed. */
bool core_has_store_failed(const struct core *core);
/* Whether the server was asked to stop. */
bool core_is_draining(const struct core *core);
/* One connection less of server->conn_count. */
void core_conn_count_sub(struct core *core);
/* The seed of this shard's hash tables. */
struct hash_key core_table_seed(const struct core *core);
/* Makes an empty memtable for the next generation, and raises generations.filling_number. The caller owns *table_r and
 * puts it into generations.filling. 0 or -ENOMEM. */
int core_open_memtable(struct core *core, struct memtable **table_r);
/* Inserts `record`, with a reference of its own, into generations.filling, in the timeline of `user`. */
void core_remember(struct core *core, struct user *user, struct record *record, enum role role);
/* Posts letters[i] to each other shard i. Control letters are not returned: the shards must have read those that were
 * posted from the same array before. Borrows `letters` until they are read. */
void core_post_to_others(struct core *core, struct letter_control *letters, enum letter_kind kind, uint64_t round);
/* Starts a worker thread of this shard; the caller owns *worker_r. On failure the process logs the error and exits. */
void core_open_worker(struct core *core, const char *name, enum shard_worker_kind kind, struct worker **worker_r);

#endif
