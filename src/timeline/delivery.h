/*
 * delivery.h: one send on its way: from the sender's shard (a struct delivery) to the recipient's (a struct arrival),
 * into the log there, and home.
 *
 * On the sender's shard the delivery takes ts_a and stands pending at the end of the sender's timeline; as a letter it
 * goes to the recipient's shard. There an arrival takes ts_b, stands pending in the recipient's timeline, and one
 * record goes into the log's batch. When the batch is durable the record enters the recipient's memtable at once and
 * the letter goes home, where it enters the sender's memtable at once. Each timeline lets its entries leave in order;
 * what left is given to the connections by fanout.h, which hands the entry back to delivery_finish.
 *
 * Whoever refuses (busy) says so in the letter; then nothing was stored. After a failed log write the outcome is
 * unknown: the entries stay pending for ever. Shard's thread.
 */
#ifndef CHITCHAT_TIMELINE_DELIVERY_H
#define CHITCHAT_TIMELINE_DELIVERY_H

#include "connection/conn.h"
#include "server/letter.h"
#include "timeline/timeline.h"

struct core;
struct user;

/* How long a sender who is told `busy` should wait. */
#define DELIVERY_RETRY_MS 100u

enum delivery_outcome {
    DELIVERY_IN_FLIGHT,
    DELIVERY_STORED,
    DELIVERY_BUSY,    /* not stored: come again */
    DELIVERY_REFUSED, /* not stored: the store takes nothing any more */
    DELIVERY_UNKNOWN, /* the write failed; the disk may have it */
};

/* Someone who sent the same key again while the first is on its way, and shares its fate. */
struct delivery_waiter {
    struct list link;
    struct conn_ref conn;
    struct request_id id;
};

/* Two cache lines, and a third for an id that is a long string: thousands are under way at once. */
struct delivery {
    struct letter letter;
    uint32_t to_shard;

    /* Written by the recipient's shard. */
    uint64_t ts_to;
    uint8_t outcome;

    /* Owned by the sender's shard. */
    bool is_answered;         /* its answer was given, or belongs to a replay now */
    bool is_only_outstanding; /* nothing else was unanswered on its connection (group_commit.h) */
    bool has_ok_place;        /* its connection was catching up: core->replays.oks_reserved counts it */
    bool is_returned;
    struct user *user;  /* the sender, held */
    struct entry entry; /* ROLE_SENT or ROLE_SELF; its record is shown to the recipient's shard; parked by the gate
                           (gate.h) before it enters the timeline */
    struct list waiters;
    uint64_t key_hash;    /* if the record has a key */
    struct conn_ref conn; /* who asked */
    struct request_id id;
};
_Static_assert(offsetof(struct delivery, id.integer) + sizeof(int64_t) <= 128, "what every send has is in two lines");

struct arrival {
    struct list link;          /* in core->deliveries.wal_waiting, then in core->deliveries.arrivals */
    struct delivery *delivery; /* borrowed from `from` until it is answered; then NULL */
    uint32_t from;
    bool is_to_self;   /* the sender's entry is the only one */
    struct user *user; /* the recipient, held */
    struct entry entry;
    uint64_t sequence; /* the log's batch */
};

/* What a shard keeps of its deliveries and arrivals. */
struct deliveries {
    struct pool pool;
    struct pool arrival_pool;
    struct pool waiter_pool;
    uint32_t out;            /* deliveries of this shard's users whose letters have not returned */
    struct list wal_waiting; /* arrivals that wait for a place in the filling batch */
    struct list arrivals;    /* in the WAL; in order of batch */
    uint64_t durable_to;     /* the newest batch that is on the disk */
};

void deliveries_init(struct deliveries *deliveries);
void deliveries_fini(struct deliveries *deliveries);

/* A delivery of `conn`'s user, with a record of its own made from the request's spans; not yet under way. NULL: no
 * room, the answer is `busy`. The caller gives it to the gate. */
struct delivery *delivery_make(struct core *core, struct conn *conn, const struct request_id *id,
                               const struct request_send *send);
/* Sends it off; or answers and frees it. */
void delivery_dispatch(struct core *core, struct delivery *delivery);
/* Answers a delivery that is not under way with an error, and frees it. */
void delivery_reject(struct core *core, struct delivery *delivery, enum error_code code, const char *message,
                     uint32_t retry_after_ms);
/* Answers a delivery that is not under way with `dup`, and frees it. */
void delivery_reject_dup(struct core *core, struct delivery *delivery, uint64_t ts, const uint8_t *mid);
/* Lets a delivery that is not under way share the fate of `first`, and frees it. */
void delivery_wait_for(struct core *core, struct delivery *delivery, struct delivery *first);
/* The delivery behind an entry of the sender's timeline. */
struct delivery *delivery_of_entry(struct entry *entry);

/* As a letter it will be here soon: asks for the memory of what it names. */
void delivery_fetch(const struct delivery *delivery);
/* LETTER_SEND came from shard `from` (or from this one). */
void delivery_arrive(struct core *core, uint32_t from, struct delivery *delivery);
/* LETTER_SEND_RETURNED: it is home again. */
void delivery_on_returned(struct core *core, struct delivery *delivery);

/* End of a turn: arrivals that waited for a place in the log's batch. */
void delivery_drain_waiting(struct core *core);
/* All of the log's batches up to `sequence` are durable: their arrivals are taken up, as many as the turn allows. */
void delivery_on_durable(struct core *core, uint64_t sequence);
/* End of a turn: goes on with those. */
void delivery_continue(struct core *core);
/* Whether some are left: durable, not yet in the timeline, and their letters not yet posted. */
bool delivery_is_behind(const struct core *core);
/* The log has failed. */
void delivery_on_wal_failed(struct core *core);
/* An entry that left its timeline was given to all connections: frees what it belongs to. */
void delivery_finish(struct core *core, struct entry *entry);

#endif
