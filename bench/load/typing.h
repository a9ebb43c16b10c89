/*
 * typing.h: the scenario typing: the pushes `typing`, of which at most one a second and pair may come. All functions
 * are for the thread of the session's worker.
 */
#ifndef CHITCHAT_BENCH_LOAD_TYPING_H
#define CHITCHAT_BENCH_LOAD_TYPING_H

#include "base/span.h"

struct load_session;
struct load_wire_object;
struct load_worker;

void load_typing_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *push,
                      struct span frame);

#endif
