/*
 * send.h: the sends of a session and their outcome: acknowledged, refused and sent as new, or, if the connection broke,
 * sent again with the same key. All functions are for the thread of the session's worker.
 */
#ifndef CHITCHAT_BENCH_LOAD_SEND_H
#define CHITCHAT_BENCH_LOAD_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "load/text.h"

struct load_session;
struct load_wire_object;
struct load_worker;

enum load_send_state { LOAD_SEND_FREE, LOAD_SEND_OUT, LOAD_SEND_REFUSED, LOAD_SEND_UNKNOWN };

/* A place for one send that has no answer yet. */
struct load_send {
    uint64_t intended_us; /* when it was due, since the run began */
    uint32_t seq;
    uint32_t to;
    uint16_t next_free;
    uint8_t state;
    bool was_resent;
};

void load_send_new(struct load_worker *worker, struct load_session *session, uint32_t to, uint64_t intended_us);
/* Takes the `ok` that answers a send. */
void load_send_answered(struct load_worker *worker, struct load_session *session, const struct load_wire_object *ok,
                        struct span frame);
/* Takes an `error`, which may refuse a login, a page or a send. */
void load_send_refused(struct load_worker *worker, struct load_session *session, const struct load_wire_object *error,
                       struct span frame);
/* On a new connection: sends again what has no answer yet. Without keys the outcome of such a send stays unknown. */
void load_send_resume(struct load_worker *worker, struct load_session *session);
/* Sends again what was refused, pages too. */
void load_send_retry(struct load_worker *worker, struct load_session *session);

/* The send is acknowledged; `hash` is that of its entry. */
void load_send_done(struct load_worker *worker, struct load_session *session, struct load_send *send, uint64_t hash);
/* The id of its request: seq * LOAD_WINDOW_MAX + its place. */
uint64_t load_send_id(const struct load_session *session, const struct load_send *send);
/* The send with this id that waits for its answer; NULL if there is none. */
struct load_send *load_send_find(struct load_session *session, uint64_t id);
/* What stands in its text. */
struct load_text load_send_text(const struct load_worker *worker, const struct load_session *session,
                                const struct load_send *send);

#endif
