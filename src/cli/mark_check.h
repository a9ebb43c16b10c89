/*
 * mark_check.h: whether the marks of conversations fit the messages and each other. Alice's mark says up to which ts
 * she has seen Bob's messages; Bob's mark has the ts, in his timeline, of the newest message that she has seen. So:
 *
 *     - Alice has a message from Bob up to her mark, and the newest of these is the one of Bob's mark
 *     - at Bob's mark stands a message from him to her
 *     - where one of them has a mark, the other one has
 *
 * What was cut on one side is left out. Nothing tells whether a mark that both sides lost, or that is lower on both
 * sides than it was, was ever higher. Memory: the conversations of one user, and what cross_check.h takes. One thread.
 */
#ifndef CHITCHAT_CLI_MARK_CHECK_H
#define CHITCHAT_CLI_MARK_CHECK_H

#include "storage/offline/offline.h"

/* Walks all timelines, if there are marks; again, if some do not fit. What does not is added to `problems`. Borrows
 * all. 0; or -errno: no memory, or a file cannot be read, which was reported. */
int mark_check_run(struct offline *offline, const struct datadir *datadir, struct problems *problems);

#endif
