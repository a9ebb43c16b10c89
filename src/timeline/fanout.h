/*
 * fanout.h: gives each entry that has left a timeline to all connections of its user, in order: a `msg`, or the `ok` on
 * the connection that sent it. Shard's thread.
 *
 * A user of at most two connections is given an entry at once, as is one of at most sixteen while the turn's budget
 * lasts. Else entries gather and are given in rounds at the end of a turn, so that what gathered leaves together. A
 * round is the oldest of the gathered entries, at most FANOUT_ROUND_MAX and FANOUT_ROUND_BYTES. The round goes over the
 * connections in slices: each connection gets all entries of the round, which leave in one send, and a frame is built
 * once for a slice. A turn has a budget of pushes (turn.h); users get a share of it in turns, and what is left over
 * goes on in the next turn. A sender's connection that has all entries before gets the `ok` at once, without a round.
 *
 * Entries that have left and are not yet given to all connections count against their user, as pending ones do. Past
 * the limits of the timeline, sends from and to the user are refused with `busy`; so they are, for a user of more than
 * two connections, past FANOUT_PUSHES_MAX (such entries times connections).
 */
#ifndef CHITCHAT_TIMELINE_FANOUT_H
#define CHITCHAT_TIMELINE_FANOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"

struct conn;
struct core;
struct user;

#define FANOUT_ROUND_MAX 64u
#define FANOUT_ROUND_BYTES 65536u /* of records; the first entry of a round may be larger */
/* 66 ms of work at the cost of a push in turn_limits. */
#define FANOUT_PUSHES_MAX (256u << 10)

/* The entries that one user's connections are being given: from core->fanouts.pool, while there are any. */
struct fanout {
    struct user *user;     /* borrowed: the entries' owners have references */
    struct list entries;   /* struct entry.link: left the timeline, not yet given to all connections */
    uint32_t count;        /* of entries */
    uint32_t bytes;        /* of their records' bodies */
    uint32_t round;        /* how many entries, from the first, the round gives */
    uint32_t round_pushes; /* what they cost for one connection, in pushes (turn.h) */
    struct list *at;       /* the connection at which the round goes on; NULL: no round is in progress */
    struct list turn_link; /* in core->fanouts.queue */
};

/* What a shard keeps of its fan-outs. */
struct fanouts {
    struct pool pool;
    struct list queue; /* those whose rounds go on at the end of the turn */
    char *frame; /* the push that is being given, shared by the connections; LIMIT_MSG_BYTES of the longest text */
};

/* 0 or -ENOMEM; fanouts_fini follows in either case. */
int fanouts_init(struct fanouts *fanouts);
void fanouts_fini(struct fanouts *fanouts);

/* Takes what can leave the user's timeline out of it, and gives it to the connections or queues it for a round. The
 * caller has a reference to `user` of its own. */
void fanout_release(struct core *core, struct user *user);
/* End of a turn: goes on with the rounds, a share for each user in turns, within the budget. */
void fanout_continue(struct core *core);
/* Whether the user may have another entry with a record body of `bytes`. */
bool fanout_has_room(const struct user *user, uint32_t bytes);
/* Registers `conn`, which has no user, with `user`: takes a reference for it. */
void fanout_join(struct conn *conn, struct user *user);
/* Takes `conn` out of its user and gives that reference back. A round in progress goes on with the other ones. */
void fanout_leave(struct core *core, struct conn *conn);

#endif
