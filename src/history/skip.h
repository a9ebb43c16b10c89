/*
 * skip.h: finds what a login with `max` leaves out of its replay: the entry of the timeline that has `max` newer ones.
 *
 * The search goes from the newest entry back, SKIP_STEP_ENTRIES in a step, and looks at their ts only. A step takes
 * those of memory first; if runs may have entries among them, the reader's thread gets them, and the two are merged,
 * equal ts once (reads.h says why nothing is missed). A login waits in core->skips.queue between its steps, so logins
 * take turns within the turn's budget of replays. Nothing changes in the range meanwhile, but for cuts: the caller
 * looks at those when it has the result. Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_SKIP_H
#define CHITCHAT_HISTORY_SKIP_H

#include <stdint.h>

#include "base/list.h"

struct conn;
struct core;

/* Entries of one step. The simulator's timelines are short. */
#ifdef CHITCHAT_FAULTS
#define SKIP_STEP_ENTRIES 4u
#else
#define SKIP_STEP_ENTRIES 512u
#endif

/* A shard's state of this module. */
struct skips {
    struct list queue; /* those that can take a step */
    uint32_t count;    /* of all, also of those that the reader has */
};

void skips_init(struct skips *skips);

/* 0: *ts is that of the entry which has as many newer ones as were asked for, 0 if the range has no such entry. Else
 * -errno: the runs cannot be read. */
typedef void skip_done(struct core *core, struct conn *conn, int result, uint64_t ts);

/* Of the entries of conn->user with after < ts < before, looks for the one that has `newer` newer ones (at most
 * LIMIT_REPLAY_MAX). `before` is reads_bound at most. `conn` is in CONN_LOGIN; when it has left that state, `done` is
 * not called. Else it is called later, in this turn or another one. False: no memory. */
bool skip_start(struct core *core, struct conn *conn, uint64_t after, uint64_t before, uint32_t newer, skip_done *done);
/* End of a turn: takes steps, within the turn's budget. */
void skip_step_all(struct core *core);

#endif
