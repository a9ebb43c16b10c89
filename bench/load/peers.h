/*
 * peers.h: the operation `peers`: walks through the conversations of a session, page by page, and the check that they
 * are what the session has seen. All functions are for the thread of the session's worker.
 *
 * In the scenario peers a session has as many walks as its window. In the phase LOAD_CHECK each session walks once.
 */
#ifndef CHITCHAT_BENCH_LOAD_PEERS_H
#define CHITCHAT_BENCH_LOAD_PEERS_H

#include <stdbool.h>

#include "base/span.h"

struct load_session;
struct load_wire_object;
struct load_worker;

/* Asks for the next page of each walk that has none in flight. */
void load_peers_go_on(struct load_worker *worker, struct load_session *session);
/* Takes a page; borrows the frame. */
void load_peers_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *page,
                     struct span frame);
/* Whether the error refuses a page in flight; load_peers_retry then asks for it again. */
bool load_peers_refused(struct load_session *session, const struct load_wire_object *error);
void load_peers_retry(struct load_worker *worker, struct load_session *session);
/* On a new connection: asks again for the pages that were in flight on the last one. */
void load_peers_resume(struct load_worker *worker, struct load_session *session);
/* Begins the one walk of LOAD_CHECK. */
void load_peers_check(struct load_worker *worker, struct load_session *session);
/* On a connection that has come back: marks that were pushed meanwhile are not replayed, so the session asks for them.
 * What else the pages say may have changed while they came, and is not compared. */
void load_peers_refresh(struct load_worker *worker, struct load_session *session);

#endif
