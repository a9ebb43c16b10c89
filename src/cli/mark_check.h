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

#include "storage/offline/offline_marks.h"

/* Walks all timelines, if there are marks; again, if some do not fit. What does not is added to `problems`. Borrows
 * all. 0; or -errno: no memory, or a file cannot be read, which was reported. */
int mark_check_run(struct offline *offline, const struct datadir *datadir, struct problems *problems);

/* The marks of a user with a peer, and at which ts of the peer's timeline the messages stand that they name. Borrowed
 * until the visit returns. */
struct mark_places {
    struct offline_mark mark;
    uint64_t seen_ts;    /* of marks.seen; 0: that message is cut */
    uint64_t seen_by_ts; /* of marks.seen_by */
};

/* Visits the marks of each user with each peer, in one walk of all timelines. The two users are not compared, so the
 * directory may be one in which each timeline has another end. Else as mark_check_run; or what `visit` returned if that
 * is not 0. */
int mark_check_visit(struct offline *offline, const struct datadir *datadir, struct problems *problems,
                     int (*visit)(void *context, const struct mark_places *places), void *context);

#endif
