/*
 * log_ownership.h: what one node may say about one slot's replicated log (log_engine.h): what of it is committed, and
 * whether the node owns it. A state machine: it does no I/O and has no clock. It says which call of the engine is next,
 * and is given the results.
 *
 *     FOLLOWS -> TAKES -> OWNS -> DEPOSED        FOLLOWS, TAKES, OWNS -> DAMAGED        TAKES -> FOLLOWS
 *
 * A node that FOLLOWS reads the log. A batch is committed when it, or a later one that is chained to it, was
 * acknowledged to who appended it. Reading a batch does not commit it: a failover of the engine may drop a batch that
 * was visible and never acknowledged. So a batch that was read is kept until the header of a later one says that it is
 * committed; only then it may be applied. A kept batch that the log no longer has is forgotten.
 *
 * A node takes over by a TAKE, a batch with a higher generation, appended behind all that it has read. The engine
 * accepts it only if the log still ends there. Its acknowledgement commits all before it. From then on the node OWNS
 * the log: no older owner can append any more.
 *
 * The owner has one batch in flight. An append with an unknown outcome is sent again, the same bytes. If it is refused,
 * the machine reads what the log has there. Its own batch: an empty one is appended behind it, whose acknowledgement
 * settles both. Nothing: the batch is appended again. Another's: the node is DEPOSED. Then all that was not committed
 * has to be dropped, unanswered, and the slot is opened anew from what its runs hold.
 *
 * A log that does not continue what the node holds, by number, hash or generation, is damage. The node then neither
 * applies nor owns anything of it (DAMAGED) until it is opened anew.
 *
 * One thread at a time.
 */
#ifndef CHITCHAT_STORAGE_LOG_OWNERSHIP_H
#define CHITCHAT_STORAGE_LOG_OWNERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log_batch.h"
#include "storage/log_engine.h"

#define OWNERSHIP_ADDRESS_BYTES 256u /* of the node's address for clients, in a TAKE */
#define OWNERSHIP_UNSETTLED_MAX 8u   /* a batch, and empty ones behind it; then the node gives up and is DEPOSED */

enum ownership_state {
    OWNERSHIP_FOLLOWS,
    OWNERSHIP_TAKES,
    OWNERSHIP_OWNS,
    OWNERSHIP_DEPOSED,
    OWNERSHIP_DAMAGED,
};

enum ownership_damage {
    OWNERSHIP_DAMAGE_NONE,
    OWNERSHIP_DAMAGE_BATCH,      /* a batch is damaged, or of another slot or number */
    OWNERSHIP_DAMAGE_VERSION,    /* a batch is of a version that this program does not know */
    OWNERSHIP_DAMAGE_CHAIN,      /* a batch does not continue the one that the node holds */
    OWNERSHIP_DAMAGE_TAIL,       /* the log ends before what the node holds, or knows to have been acknowledged */
    OWNERSHIP_DAMAGE_GENERATION, /* a generation began without a TAKE, or an older one goes on */
    OWNERSHIP_DAMAGE_PURGED,     /* the log begins behind what the node holds */
};

/* A place in the log: zeros are its beginning. */
struct ownership_mark {
    uint64_t number;
    uint64_t generation; /* of the batch; 0 if it is not known */
    struct log_hash hash;
};

/* A batch that was read and is not applied. */
struct ownership_kept {
    struct log_batch_header header;
    struct ownership_mark mark;
    uint8_t *data; /* owned */
    uint32_t bytes;
};

/* A batch that was appended, or is to be, and whose outcome is not settled. */
struct ownership_unsettled {
    struct ownership_mark mark;
    const void *data; /* borrowed; NULL: `own` */
    uint32_t bytes;
    uint8_t own[LOG_BATCH_HEADER_BYTES + OWNERSHIP_ADDRESS_BYTES];
};

struct ownership {
    /* Set by init, then only read. */
    uint32_t slot;
    uint64_t incarnation;
    char node[LOG_BATCH_NODE_BYTES + 1];

    /* Changed by the functions below alone. */
    enum ownership_state state;
    enum ownership_damage damage;
    struct ownership_mark applied;  /* what the user of the log has */
    struct ownership_mark seen;     /* the newest batch read, or settled */
    uint64_t committed;             /* all up to this number are */
    struct ownership_mark expected; /* a batch that was acknowledged, which the log must have; zeros: none is known */
    struct log_hash doubted;        /* what was read, and not followed by what continues it: read once more */
    bool is_verified;               /* that the log has `seen` */
    bool is_at_end;                 /* the last read found nothing more */
    struct ownership_kept *kept;    /* behind `applied`, up to `seen` */
    uint32_t kept_count, kept_room;
    struct ownership_unsettled unsettled[OWNERSHIP_UNSETTLED_MAX]; /* behind `seen` */
    uint32_t unsettled_count;
    uint32_t landed;                           /* of these, the log was found to have; the next one is appended */
    bool is_looking;                           /* reads what the log has behind `seen` */
    bool is_foreign;                           /* found another's batch there */
    bool has_given_up;                         /* DEPOSED: too many appends in a row had an unknown outcome */
    uint64_t wall_us;                          /* the wall clock in the oldest of `unsettled` */
    char owner[LOG_BATCH_NODE_BYTES + 1];      /* the node of the newest batch read; empty: none */
    char address[OWNERSHIP_ADDRESS_BYTES + 1]; /* in the newest TAKE read; empty: none yet */
};

/* Follows the log of `slot` as `node` (1 to LOG_BATCH_NODE_BYTES characters, asserted; copied), from `held` on: what
 * the runs of the node have. Ended by ownership_fini. */
void ownership_init(struct ownership *ownership, uint32_t slot, uint64_t incarnation, const char *node,
                    const struct ownership_mark *held);
/* The log must have this batch too, which was acknowledged once, at or behind `held`: else it is damaged. Before the
 * first call of the engine. Copies `mark`. */
void ownership_expect(struct ownership *ownership, const struct ownership_mark *mark);
/* Frees what is kept. */
void ownership_fini(struct ownership *ownership);

/* -- The engine's calls -- */

enum ownership_call_kind {
    OWNERSHIP_CALL_NONE,   /* nothing to ask now */
    OWNERSHIP_CALL_READ,   /* read from batch `from` on: ownership_on_batch for each, then ownership_on_read */
    OWNERSHIP_CALL_APPEND, /* append: then ownership_on_append */
};

/* The next call. `data`, `previous` and `hash` are borrowed from the machine, and stand until the call's result is
 * given. */
struct ownership_call {
    enum ownership_call_kind kind;
    uint64_t from;
    uint64_t last; /* the number of the batch that the log has to end with */
    uint64_t generation;
    const struct log_hash *previous; /* the hash of that batch */
    const struct log_hash *hash;     /* of this one */
    const void *data;
    uint32_t bytes;
};

/* What to ask the engine now. While batches wait to be applied, nothing is read. */
void ownership_next(struct ownership *ownership, struct ownership_call *call_r);
/* The read visits batch `number`. 0: go on; -ECANCELED: end the read, which is no error; -ENOMEM. Borrows `data`. */
int ownership_on_batch(struct ownership *ownership, uint64_t number, const void *data, uint32_t bytes);
/* The read has ended: how many batches it visited, or an error of the engine or of ownership_on_batch. After an error,
 * or -ECANCELED, the same call may be next again. */
void ownership_on_read(struct ownership *ownership, int result);
/* The append has ended. After UNKNOWN and FAILED the same call is next again. */
void ownership_on_append(struct ownership *ownership, enum log_append_result result);

/* -- Following -- */

/* The engine says that the log may have more. */
void ownership_on_news(struct ownership *ownership);
/* The oldest batch that is committed and not applied, or NULL. Borrowed until ownership_on_applied. */
const struct ownership_kept *ownership_applicable(const struct ownership *ownership);
/* The batch that ownership_applicable gave is applied. */
void ownership_on_applied(struct ownership *ownership);
/* Whether all of the log is read and, as far as it is committed, applied: so the node may take it. */
bool ownership_may_take(const struct ownership *ownership);
/* Appends a TAKE for `address` (at most OWNERSHIP_ADDRESS_BYTES, asserted). ownership_may_take (asserted). False, and
 * nothing done: `generation` is not above that of the log. */
bool ownership_take(struct ownership *ownership, uint64_t generation, struct span address, uint64_t wall_us);

/* -- Owning -- */

/* Whether the next batch may be sealed: the node owns the log, has applied all before its TAKE, and nothing is in
 * flight. */
bool ownership_may_seal(const struct ownership *ownership);
/* Completes the next batch, whose payload stands at `data` + LOG_BATCH_HEADER_BYTES: writes its header and appends it.
 * `data` is borrowed until `committed` reaches the number that it returns, or the state is not OWNS any more.
 * ownership_may_seal (asserted). */
uint64_t ownership_seal(struct ownership *ownership, void *data, uint32_t payload_bytes, uint32_t record_count,
                        uint64_t wall_us);
/* For tests, as the next one: up to which number all batches are committed, as far as this node knows. */
uint64_t ownership_committed(const struct ownership *ownership);
/* The number of a batch that is appended only from now on: once ownership_committed reaches it, the node still owned
 * the log after this call. For the barrier of a login. OWNS (asserted). */
uint64_t ownership_barrier(const struct ownership *ownership);

/* What the damage is, for a log line: a part of a sentence, "the log …". */
const char *ownership_damage_text(enum ownership_damage damage);

#endif
