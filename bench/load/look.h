/*
 * look.h: before a run writes, a look at what its users have already: the newest message of some of them. A message
 * that chitchat-load has not written belongs to somebody else: the store has users of its own, and these names are
 * theirs. The functions are for the thread of the session's worker.
 */
#ifndef CHITCHAT_BENCH_LOAD_LOOK_H
#define CHITCHAT_BENCH_LOAD_LOOK_H

#include <stdbool.h>

struct load_session;
struct load_wire_object;
struct load_worker;

/* After the first login: asks for the newest message, if the timeline has entries and the run writes. */
void load_look_ask(struct load_worker *worker, struct load_session *session);
/* Takes a page or an error; false: it is not the answer to this. */
bool load_look_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *reply);
/* The connection has ended: the answer will not come. */
void load_look_end(struct load_worker *worker, struct load_session *session);

#endif
