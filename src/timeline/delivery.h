/*
 * delivery.h: one send from request to answer: on the sender's shard a struct delivery, on the recipient's a struct
 * arrival. Shard's thread.
 *
 * On the sender's shard the delivery takes ts_from and enters the sender's timeline as pending; as a letter it goes to
 * the recipient's shard (to its own it is handed over directly). There an arrival takes ts_to and enters the
 * recipient's timeline as pending, and the record goes into the WAL's filling batch. When the batch is durable the
 * record enters the recipient's memtable and the letter returns to the sender's shard, where the record enters the
 * sender's memtable. Both happen at once, wherever the entries stand in their queues. Then both entries are settled.
 * Each timeline lets its entries leave in order; fanout.h gives what left to the connections and then calls
 * delivery_finish.
 *
 * A message to oneself has one ts and one entry, the sender's; its arrival only carries the record through the WAL.
 *
 * A shard that refuses a send (busy) says so in the letter; then nothing was stored. After a failed WAL write the
 * outcome is unknown: both entries stay pending until the process ends.
 *
 * Who sends is a connection on the sender's shard, or a program that has none (posts.h). A connection may be gone when
 * the outcome comes; a struct post is not freed before it has the outcome.
 */
#ifndef CHITCHAT_TIMELINE_DELIVERY_H
#define CHITCHAT_TIMELINE_DELIVERY_H

#include "connection/conn.h"
#include "server/letter.h"
#include "timeline/timeline.h"

struct core;
struct post;
struct user;

/* The retry_after of a send that is refused with `busy`. */
#define DELIVERY_RETRY_MS 100u

enum delivery_outcome {
    DELIVERY_IN_FLIGHT,
    DELIVERY_STORED,
    DELIVERY_BUSY,    /* not stored; the client may try again */
    DELIVERY_REFUSED, /* not stored; the store has failed and takes no more */
    DELIVERY_UNKNOWN, /* the WAL write failed; the disk may have the record */
};

/* Two cache lines, and a third for an id that is a long string: thousands are in flight at once. */
struct delivery {
    struct letter letter; /* its kind is changed by the recipient's shard */
    uint8_t share;        /* core_share, if the recipient's shard is another */
    uint16_t to_shard;
    uint32_t sent_us; /* when the request was read: monotonic, modulo 2^32 */

    /* Written by the recipient's shard, until the letter has returned. */
    uint64_t ts_to;
    uint8_t outcome; /* enum delivery_outcome */

    /* Owned by the sender's shard. */
    bool is_answered;         /* the request is answered, or a replay is to answer it */
    bool is_only_outstanding; /* nothing else was unanswered on its connection (group_commit.h) */
    bool has_ok_place;        /* its connection was catching up: core->replays.oks_reserved counts it */
    bool is_returned;
    bool is_post;        /* a program sent it: `post` is meaningful, not `conn` and `id` */
    uint16_t unanswered; /* requests of its connection when it came, itself included; 1 of a program */
    struct user *user;   /* the sender; a reference */
    struct entry entry;  /* ROLE_SENT or ROLE_SELF; the recipient's shard reads its record. Its link is in the parked
                            list of idempotency.c before the entry enters the timeline */
    struct list waiters; /* sends with the same key, which get the outcome of this one */
    uint64_t key_hash;   /* memtable_key_hash, if the record has a key; else 0 */
    union {
        struct conn_ref conn; /* the connection that sent it; may be gone */
        struct post *post;    /* borrowed until is_answered */
    };
    struct request_id id;
};
_Static_assert(offsetof(struct delivery, id.integer) + sizeof(int64_t) <= 128, "what every send has is in two lines");

struct arrival {
    struct list link;          /* in core->deliveries.wal_waiting, then in core->deliveries.arrivals */
    struct delivery *delivery; /* borrowed from shard `from` until it is answered; then NULL */
    uint16_t from;
    bool is_to_self;    /* the sender's entry is the only one; `entry` stands in no timeline and has no ts */
    uint32_t sent_us;   /* of the delivery */
    struct user *user;  /* the recipient; a reference */
    struct entry entry; /* ROLE_RECEIVED; its record is the sender's own (same shard) or a copy */
    uint64_t sequence;  /* the WAL batch */
};

/* What a shard keeps of its deliveries and arrivals. */
struct deliveries {
    struct pool pool;
    struct pool arrival_pool;
    struct pool waiter_pool;
    uint32_t out;             /* deliveries of this shard's users whose letters have not returned */
    uint64_t in_flight_bytes; /* in_flight.h */
    struct list wal_waiting;  /* arrivals that wait for a place in the filling batch */
    struct list arrivals;     /* in the WAL, ascending by sequence */
    uint64_t durable_to;      /* the newest batch that is durable */
};

void deliveries_init(struct deliveries *deliveries);
/* Frees the memory of all, whatever is still in flight. */
void deliveries_fini(struct deliveries *deliveries);

/* A delivery by the user of `conn`, with a record made of `send` (copied, as is `id`), which has no ts and stands
 * in no timeline yet. The caller owns the delivery and gives it to idempotency_take. NULL: no room, to be answered with
 * `busy`. */
struct delivery *delivery_make(struct core *core, struct conn *conn, const struct request_id *id,
                               const struct request_send *send);
/* The same for a program that sends as `user`. Borrows `post` until it has the outcome. `is_only_outstanding`: the
 * program waits for nothing else. */
struct delivery *delivery_make_for_post(struct core *core, struct user *user, struct post *post,
                                        bool is_only_outstanding);

/* The next four take a delivery that delivery_make made and that has not been dispatched. */

/* Gives the delivery its ts and sends it to the recipient's shard; or answers with an error and frees the delivery. */
void delivery_dispatch(struct core *core, struct delivery *delivery);
/* Answers with an error and frees the delivery. `message` is static. */
void delivery_reject(struct core *core, struct delivery *delivery, enum error_code code, const char *message,
                     uint32_t retry_after_ms);
/* Answers with `dup` and frees the delivery. `ts` and `mid` (LIMIT_MID_BYTES, borrowed) are of the stored message. */
void delivery_reject_dup(struct core *core, struct delivery *delivery, uint64_t ts, const uint8_t *mid);
/* Lets the request wait for the outcome of `first`, which stands in the sender's timeline, and frees the delivery. */
void delivery_wait_for(struct core *core, struct delivery *delivery, struct delivery *first);

/* The delivery of an entry of the sender's timeline (not ROLE_RECEIVED: asserted). */
struct delivery *delivery_of_entry(struct entry *entry);
/* When the request of the entry was read: monotonic, modulo 2^32. Of the sender's or of the recipient's timeline. */
uint32_t delivery_sent_us(const struct entry *entry);
/* The delivery was stored: answers the requests that waited for its outcome with `dup`. */
void delivery_answer_waiters(struct core *core, struct delivery *delivery);
/* The delivery of a program has left the sender's timeline: answers it. */
void delivery_answer_post(struct core *core, struct delivery *delivery);
/* The store has failed: answers programs, and requests that wait for an outcome, with `unavailable`, if their letters
 * have returned and their entries stand in the timeline of `user`: those may never leave. */
void delivery_give_up_posts(struct core *core, struct user *user);

/* The letter will be handled in this turn: prefetches what delivery_arrive and delivery_on_returned read. */
void delivery_fetch(const struct delivery *delivery);
/* LETTER_SEND from shard `from`, or a delivery of this shard. Borrows the delivery until its letter is posted back. */
void delivery_arrive(struct core *core, uint32_t from, struct delivery *delivery);
/* LETTER_SEND_RETURNED: this shard owns the whole delivery again, with its outcome. */
void delivery_on_returned(struct core *core, struct delivery *delivery);

/* Gives arrivals of wal_waiting a place in the filling batch, in order, as far as it has room. */
void delivery_drain_waiting(struct core *core);
/* All WAL batches up to `sequence` are durable: takes their arrivals up, as many as the turn allows. */
void delivery_on_durable(struct core *core, uint64_t sequence);
/* End of a turn: takes up more of those. */
void delivery_continue(struct core *core);
/* Whether some are left: durable, not yet settled, their letters not yet posted. */
bool delivery_is_behind(const struct core *core);
/* A WAL write has failed: the outcome of arrivals in it or after it is unknown, those without a place are refused. */
void delivery_on_wal_failed(struct core *core);
/* Takes an entry that left its timeline and was given to all connections: frees its delivery or arrival. */
void delivery_finish(struct core *core, struct entry *entry);

#endif
