/*
 * fanout.h: gives each entry that has left a timeline to all connections of its user, in order: a `msg`, or the `ok` on
 * the connection that sent it. The frame is built once and copied; a turn gives out at most CORE_FANOUT_TURN_MAX and
 * goes on with the rest in the next, each connection keeping its order. Shard's thread.
 */
#ifndef CHITCHAT_FANOUT_H
#define CHITCHAT_FANOUT_H

#include <stdbool.h>

#include "base/list.h"

struct conn;
struct core;
struct user;

/* What one user's connections are being given: from core->fanout_pool, while there is something to give. */
struct fanout {
    struct user *user;
    struct list entries;   /* struct entry.link: left the timeline, not yet given to all connections */
    struct list *at;       /* the connection to go on from; NULL: the first entry has not begun */
    struct list turn_link; /* in core->fanouts while the budget of a turn cut it off */
};

/* Lets out what may leave the user's timeline, and gives it to the connections. `user` must be held by the caller. */
void fanout_release(struct core *core, struct user *user);
/* End of a turn: goes on with users whose turn was over. True: there are still some. */
bool fanout_continue(struct core *core);
/* Registers `conn` with `user` (held for it), and takes it out again; a fan-out under way goes on with the others. */
void fanout_join(struct conn *conn, struct user *user);
void fanout_leave(struct core *core, struct conn *conn);

#endif
