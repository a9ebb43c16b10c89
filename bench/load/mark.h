/*
 * mark.h: `seen`: a session marks a share of what it receives as seen, and checks what the server says of marks. All
 * functions are for the thread of the session's worker.
 *
 * A conversation has one request in flight; while it is, the newest entry to be marked waits for its answer.
 */
#ifndef CHITCHAT_BENCH_LOAD_MARK_H
#define CHITCHAT_BENCH_LOAD_MARK_H

#include <stdbool.h>

#include "base/span.h"
#include "load/talk.h"

struct load_session;
struct load_wire_object;
struct load_worker;

/* A message was received: marks it, by chance (--seen). */
void load_mark_received(struct load_worker *worker, struct load_session *session, struct load_talk *talk);
/* Takes an `ok` or an error; false: it answers no mark. */
bool load_mark_answered(struct load_worker *worker, struct load_session *session, const struct load_wire_object *reply);
bool load_mark_refused(struct load_session *session, const struct load_wire_object *error);
/* Asks again: what was refused; on a new connection, all that has no answer. */
void load_mark_retry(struct load_worker *worker, struct load_session *session);
void load_mark_resume(struct load_worker *worker, struct load_session *session);
/* Take the pushes `seen` and `seen_by`. */
void load_mark_take_seen(struct load_worker *worker, struct load_session *session, const struct load_wire_object *push,
                         struct span frame);
void load_mark_take_seen_by(struct load_worker *worker, struct load_session *session,
                            const struct load_wire_object *push, struct span frame);

#endif
