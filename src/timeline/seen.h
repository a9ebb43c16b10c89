/*
 * seen.h: `seen`: how far a user has seen the messages of another. The mark of (user, peer) is a ts of the user's
 * timeline: all messages from the peer up to it were seen. Marks only rise. Shard's thread.
 *
 * A request names a ts; one above the newest visible entry counts as that. The shard of the user finds the newest
 * visible message from the peer up to it: memory is asked first, then what was read ahead from runs (seen_ahead.h), and
 * the reader only where these cannot say. If the mark of the user is not below that message, nothing is new, and the
 * answer is `ok`. Else a record goes into the WAL of the user's shard, in the batch of the sends. When that is durable,
 * the mark goes into the user's memtable, the request is answered, the user's other connections get a push, and a
 * letter goes to the peer's shard. There the mark goes into the peer's memtable, and the peer's connections get a push.
 * The letter returns when they have it.
 *
 * Requests of one user and peer that are in the WAL and not yet durable rise in its order: a request that sees nothing
 * new after the newest of them waits for it, and writes nothing. So records, memtables and pushes never go back.
 *
 * Rounds (docs/ARCHITECTURE.md): the letters of a batch are posted when it is durable, before the END of its round
 * (seens_are_behind). So each shard has the marks of a round before it freezes.
 */
#ifndef CHITCHAT_TIMELINE_SEEN_H
#define CHITCHAT_TIMELINE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"

struct conn;
struct core;
struct request;
struct seen;
struct user;

/* Requests of a shard that are not finished: letters to one other shard are never more. */
#define SEENS_MAX 2048u
#define SEEN_BUCKETS 256u

/* A shard's state of this module. */
struct seens {
    struct pool pool;
    uint32_t letters_out;              /* to other shards, not returned */
    struct list looking;               /* requests that look into memory again in the next turn */
    struct list waiting;               /* for a place in the batch, in the order of asking */
    struct list written;               /* in the WAL, or waiting for one that is; ascending by sequence */
    struct list buckets[SEEN_BUCKETS]; /* those in the WAL by user and peer, newest first */
    struct list pushes;                /* struct seen_push: being given to connections, in order */
    struct store_page *page;           /* the reader's thread only */
    struct seen_ahead *ahead;          /* what runs have for the next requests (seen_ahead.h) */
};

/* 0 or -ENOMEM; seens_fini follows in either case. */
int seens_init(struct seens *seens);
/* Frees the memory of all, whatever is still in flight. Does nothing to a struct of zeros. */
void seens_fini(struct seens *seens);

/* A request `seen` of `conn`, which is logged in. Borrows `request`. Answers it now or later, or with an error. */
void seen_ask(struct core *core, struct conn *conn, const struct request *request);

/* End of a turn, before the batch is written: goes on with requests that look into memory, and gives the waiting ones
 * their places in the batch. */
void seens_step(struct core *core);
/* End of a turn: goes on with durable requests and with pushes, within the turn's budget. */
void seens_continue(struct core *core);
/* All WAL batches up to core->deliveries.durable_to are durable. */
void seens_on_durable(struct core *core);
/* A WAL write of this shard has failed. */
void seens_on_wal_failed(struct core *core);
/* Whether durable requests have not been put into memory yet, and their letters not been posted. */
bool seens_are_behind(const struct core *core);
/* Whether the next turn has work. */
bool seens_have_carried(const struct core *core);

/* A letter LETTER_SEEN of another shard has come; one of this shard has returned. */
void seen_arrive(struct core *core, uint32_t from, struct seen *seen);
void seen_on_returned(struct core *core, struct seen *seen);
/* From a letter (letter.h). Nothing is read. */
struct letter;
struct seen *seen_of_letter(struct letter *letter);

/* A connection leaves its user: pushes go on with the next one. */
void seens_on_leave(struct core *core, struct conn *conn);

#endif
