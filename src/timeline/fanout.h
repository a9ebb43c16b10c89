/*
 * fanout.h: gives each entry that has left a timeline to all connections of its user, in order: a `msg`, or the `ok` on
 * the connection that sent it. Shard's thread.
 *
 * Most users have few connections: those are given an entry at once. With more of them it goes in rounds, at the end of
 * a turn, so that what gathered leaves together: the entries that are there when a round begins (FANOUT_ROUND_MAX and
 * FANOUT_ROUND_BYTES at most) are given to the connections one after the other, each all of them, so that they leave in
 * one send; a frame is built once for a slice of connections. A turn gives so many (turn.h), users take turns, and the
 * rest goes on in the next turn. A sender who has been given all before it gets the `ok` at once, whoever else is
 * waiting.
 *
 * What has left and is not given to all counts against the user: past FANOUT_PUSHES_MAX (entries times connections),
 * and past the bounds of the timeline itself, sends from and to the user are refused with `busy`.
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
#define FANOUT_ROUND_BYTES 65536u /* of records; the first entry has no bound */
/* 80 ms of pushes, by turn.h. */
#define FANOUT_PUSHES_MAX (256u << 10)

/* What one user's connections are being given: from core->fanouts.pool, while there is something to give. */
struct fanout {
    struct user *user;
    struct list entries;   /* struct entry.link: left the timeline, not yet given to all connections */
    uint32_t count;        /* of these */
    uint32_t bytes;        /* of their records */
    uint32_t round;        /* how many of them, from the first, the round gives */
    uint32_t round_pushes; /* what they cost for one connection (turn.h) */
    struct list *at;       /* the connection to go on from; NULL: no round is under way */
    struct list turn_link; /* in core->fanouts.queue */
};

/* What a shard keeps of its fan-outs. */
struct fanouts {
    struct pool pool;
    struct list queue; /* rounds of these go on at the end of the turn */
    char *frame;       /* a push that several connections share */
};

/* 0 or -ENOMEM; fanouts_fini follows in either case. */
int fanouts_init(struct fanouts *fanouts);
void fanouts_fini(struct fanouts *fanouts);

/* Lets out what may leave the user's timeline, and gives it to the connections. `user` must be held by the caller. */
void fanout_release(struct core *core, struct user *user);
/* End of a turn: the rounds, a share of each user after the other. */
void fanout_continue(struct core *core);
/* Whether the user may have another entry of `bytes`, in the timeline or given out. */
bool fanout_has_room(const struct user *user, uint32_t bytes);
/* Registers `conn` with `user` (held for it), and takes it out again; a fan-out under way goes on with the others. */
void fanout_join(struct conn *conn, struct user *user);
void fanout_leave(struct core *core, struct conn *conn);

#endif
