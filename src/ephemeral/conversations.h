/*
 * conversations.h: with whom of a list of users somebody has a conversation: with --presence peers only those are seen
 * online. A conversation is an entry of the timeline, sent or received, that is visible and not gone.
 *
 * The users of the list are looked up in the index by peer, PART_USERS at a time: in memory, then, without an entry
 * there, in the runs, by a job of the reader (reads.h says why nothing is missed). So the length of the list decides
 * what a check costs, and hardly that of the timeline: its entries are read only where a run has no index of them.
 * Between two parts the check waits in core->conversations.queue, so checks take turns within the turn's budget of
 * reads. Shard's thread.
 */
#ifndef CHITCHAT_EPHEMERAL_CONVERSATIONS_H
#define CHITCHAT_EPHEMERAL_CONVERSATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

struct core;
struct conversations; /* a check */
struct request_watch;
struct user;

/* A shard's state of this module. */
struct conversation_checks {
    struct list queue; /* those that can look up a part */
};

void conversations_init(struct conversation_checks *checks);

/* Begins a check of `asked`, whose names are copied. Calls `done` with `context` in a later step: 0, or -errno if the
 * runs cannot be read; not before this returns. The caller owns the check, and closes it. NULL: no memory, or no room
 * for it in core->budget.presence_bytes. Refs `user`. */
struct conversations *conversations_begin(struct core *core, struct user *user, const struct request_watch *asked,
                                          void (*done)(void *context, int result), void *context);
/* After `done` with 0: the next user of the list, in its order, with whom there is a conversation; each once. *index_r
 * is 0 at first. False: there is none any more. Borrows the check. */
bool conversations_next(const struct conversations *check, uint32_t *index_r, struct span *user_r);
/* At any time; `done` is not called any more. If the reader has the check, it is freed when the reader returns it.
 * Nulls *check; NULL is fine. */
void conversations_close(struct conversations **check);

/* End of a turn: looks users up, within the turn's budget. */
void conversations_step(struct core *core);

#endif
