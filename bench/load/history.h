/*
 * history.h: the scenario history: walks that read a timeline backwards, page by page. All functions are for the thread
 * of the session's worker.
 *
 * A session has as many walks as its window, each with one page in flight. At the start of the timeline a walk must
 * have seen exactly what the session got by `msg` and `ok`; then it begins again. The walks of one session keep apart,
 * so that no two ask for the same page: each begins when the first walk is ahead by its share of the timeline.
 */
#ifndef CHITCHAT_BENCH_LOAD_HISTORY_H
#define CHITCHAT_BENCH_LOAD_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct load_session;
struct load_wire_object;
struct load_worker;

/* Asks for the next page of each walk that is due and has none in flight. */
void load_history_go_on(struct load_worker *worker, struct load_session *session);
/* Takes a page; borrows the frame. */
void load_history_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *page,
                       struct span frame);
/* Whether the error refuses a page in flight; load_history_retry then asks for it again. */
bool load_history_refused(const struct load_worker *worker, struct load_session *session,
                          const struct load_wire_object *error);
void load_history_retry(struct load_worker *worker, struct load_session *session);
/* On a new connection: asks again for the pages that were in flight on the last one. */
void load_history_resume(struct load_worker *worker, struct load_session *session);
/* Whether a page is in flight. */
bool load_history_is_waiting(const struct load_worker *worker, const struct load_session *session);

#endif
