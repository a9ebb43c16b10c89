#include "load/send.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/frame.h"
#include "load/history.h"
#include "load/http.h"
#include "load/look.h"
#include "load/mark.h"
#include "load/nats.h"
#include "load/peers.h"
#include "load/run.h"
#include "load/scenario.h"
#include "load/session.h"
#include "load/talk.h"
#include "load/wire.h"
#include "load/worker.h"

#define SENDS_ROOM_MIN 4u
#define NONE UINT16_MAX
#define RETRY_US_USUAL 100000u   /* after a refusal without `retry_after` */
#define RETRY_US_UNKNOWN 500000u /* after `unavailable` */

static void grow(struct load_session *session)
{
    uint32_t room = session->sends_room == 0 ? SENDS_ROOM_MIN : 2 * session->sends_room;
    session->sends = realloc(session->sends, room * sizeof *session->sends);
    ASSERT(session->sends != NULL && room <= LOAD_WINDOW_MAX);
    for (uint32_t i = room; i-- > session->sends_room;) {
        session->sends[i] = (struct load_send){.next_free = session->first_free};
        session->first_free = (uint16_t)i;
    }
    session->sends_room = room;
}

static void give_back(struct load_worker *worker, struct load_session *session, struct load_send *send)
{
    ASSERT(send->state != LOAD_SEND_FREE && session->unanswered > 0);
    send->state = LOAD_SEND_FREE;
    send->next_free = session->first_free;
    session->first_free = (uint16_t)(send - session->sends);
    session->unanswered--;
    worker->gauges.unanswered--;
}

uint64_t load_send_id(const struct load_session *session, const struct load_send *send)
{
    return (uint64_t)send->seq * LOAD_WINDOW_MAX + (uint64_t)(send - session->sends);
}

struct load_text load_send_text(const struct load_worker *worker, const struct load_session *session,
                                const struct load_send *send)
{
    return (struct load_text){worker->run->number, session->index, send->to, send->seq, send->intended_us};
}

static void transmit_typing(struct load_worker *worker, struct load_session *session, struct load_send *send)
{
    char name[LOAD_USER_BYTES_MAX], *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
    struct span to = {name, load_run_user_name(worker->run, send->to, name)};
    session->out.bytes +=
        (uint32_t)load_wire_put_typing(out, load_worker_mask(worker), load_send_id(session, send), to);
    load_talk_with(session, send->to)->typed++;
    send->state = LOAD_SEND_OUT;
}

static void transmit(struct load_worker *worker, struct load_session *session, struct load_send *send)
{
    const struct load_run *run = worker->run;
    char name[LOAD_USER_BYTES_MAX], key[LOAD_KEY_CHARS], *text_at;
    struct load_text text = load_send_text(worker, session, send);
    if (run->options.protocol == LOAD_NATS) {
        load_nats_send(worker, session, send, &text);
        send->state = LOAD_SEND_OUT;
        return;
    }
    if (run->options.protocol == LOAD_HTTP) {
        load_http_send(worker, session, send, &text);
        send->state = LOAD_SEND_OUT;
        return;
    }
    if (run->options.scenario == LOAD_TYPING) {
        transmit_typing(worker, session, send);
        return;
    }
    struct load_wire_send frame = {
        .id = load_send_id(session, send),
        .to = {name, load_run_user_name(run, send->to, name)},
        .text_bytes = run->options.text_bytes,
    };
    if (run->options.has_keys) {
        load_text_write_key(key, &text);
        frame.key = (struct span){key, sizeof key};
    }
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM + frame.text_bytes);
    char *end = load_wire_begin_send(out, &frame, &text_at);
    load_text_write(text_at, frame.text_bytes, &text, &run->filler);
    session->out.bytes += (uint32_t)load_wire_end_send(out, end, load_worker_mask(worker));
    send->state = LOAD_SEND_OUT;
}

void load_send_new(struct load_worker *worker, struct load_session *session, uint32_t to, uint64_t intended_us)
{
    if (session->first_free == NONE)
        grow(session);
    struct load_send *send = &session->sends[session->first_free];
    session->first_free = send->next_free;
    *send = (struct load_send){.intended_us = intended_us, .seq = session->next_seq++, .to = to};
    session->unanswered++;
    worker->gauges.unanswered++;
    transmit(worker, session, send);
}

struct load_send *load_send_find(struct load_session *session, uint64_t id)
{
    uint64_t place = id % LOAD_WINDOW_MAX, seq = id / LOAD_WINDOW_MAX;
    if (place >= session->sends_room || session->sends[place].state != LOAD_SEND_OUT
        || session->sends[place].seq != seq)
        return NULL;
    return &session->sends[place];
}

/* The send that a reply answers; NULL if there is none, which is counted as broken. */
static struct load_send *find(struct load_worker *worker, struct load_session *session,
                              const struct load_wire_object *reply, struct span frame)
{
    struct load_send *send = reply->has_id ? load_send_find(session, reply->id) : NULL;
    if (send == NULL)
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "an answer to no request", frame);
    return send;
}

/* Both users must get the entry. Programs get nothing but answers. */
static void count_truth(struct load_worker *worker, const struct load_session *session, const struct load_send *send,
                        uint64_t hash)
{
    const uint32_t *sessions_of_user = worker->run->sessions_of_user;
    if (worker->run->options.protocol == LOAD_HTTP)
        return;
    worker->truth[session->user].count++;
    worker->truth[session->user].sum += hash;
    worker->gauges.owed += sessions_of_user[session->user];
    if (send->to == session->user)
        return;
    worker->truth[send->to].count++;
    worker->truth[send->to].sum += hash;
    worker->gauges.owed += sessions_of_user[send->to];
}

void load_send_done(struct load_worker *worker, struct load_session *session, struct load_send *send, uint64_t hash)
{
    count_truth(worker, session, send, hash);
    worker->stats.counts[LOAD_ACKNOWLEDGED]++;
    worker->answers++;
    load_run_note_ok(worker->run, session->node, false, worker->now_us);
    load_worker_add_latency(worker, LOAD_SEND_TO_OK, send->intended_us);
    give_back(worker, session, send);
    load_scenario_on_answer(worker, session);
}

/* Nothing is stored. */
static void take_typed(struct load_worker *worker, struct load_session *session, struct load_send *send)
{
    worker->stats.counts[LOAD_TYPED]++;
    worker->answers++;
    load_run_note_ok(worker->run, session->node, false, worker->now_us);
    load_worker_add_latency(worker, LOAD_TYPING_TO_OK, send->intended_us);
    give_back(worker, session, send);
    load_scenario_on_answer(worker, session);
}

void load_send_answered(struct load_worker *worker, struct load_session *session, const struct load_wire_object *ok,
                        struct span frame)
{
    struct load_send *send = find(worker, session, ok, frame);
    if (send == NULL)
        return;
    if (worker->run->options.scenario == LOAD_TYPING) {
        take_typed(worker, session, send);
        return;
    }
    struct load_text text = load_send_text(worker, session, send);
    uint64_t hash = load_text_hash(session->index, send->seq, ok->mid.data, (uint32_t)ok->mid.bytes);
    if (!load_wire_is_mid(ok->mid))
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "no mid", frame);
    if (!ok->dup) {
        load_frame_take_entry(worker, session, ok, hash, frame);
        load_worker_check_order(worker, session, &text, frame);
        if (load_options_talks(&worker->run->options))
            load_talk_entry(worker, session, session->user, send->to,
                            (struct load_place){ok->ts, load_talk_mid(ok->mid)}, hash);
    } else if (!send->was_resent || ok->has_prev) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "dup, though it was sent once, or with prev", frame);
    }
    worker->stats.counts[LOAD_DUPLICATE_OKS] += ok->dup;
    load_send_done(worker, session, send, hash);
}

static void leave_unknown(struct load_worker *worker, struct load_session *session, struct load_send *send)
{
    worker->truth[session->user].unknown++;
    worker->truth[send->to].unknown += send->to != session->user;
    give_back(worker, session, send);
}

/* Trying again changes nothing: while the connections log in, or before anything was answered, that is no broken
 * guarantee but a run that is not possible. False: the error is one of a server that takes other requests. */
static bool refuse_for_good(struct load_worker *worker, struct load_session *session,
                            const struct load_wire_object *error, struct span frame)
{
    char why[LOAD_WHY_BYTES];
    bool is_login = session->state == LOAD_SESSION_LOGGING_IN && worker->phase == LOAD_CONNECT;
    bool is_first = worker->phase != LOAD_CONNECT && worker->answers == 0 && error->has_id
                    && load_send_find(session, error->id) != NULL;
    /* An older server does not know the operations of these scenarios. */
    bool is_unknown = load_options_talks(&worker->run->options) && load_wire_is(error->code, "unknown_op");
    if (error->code.bytes == 0 || (!is_login && !is_first && !is_unknown))
        return false;
    snprintf(why, sizeof why, "the server refuses a %s: %.*s", is_login ? "login" : "request",
             frame.bytes < 180 ? (int)frame.bytes : 180, frame.data);
    load_worker_give_up_because(worker, why);
    return true;
}

/* Trying again changes nothing. */
static void refuse_token(struct load_worker *worker, struct load_session *session, struct span frame)
{
    char why[LOAD_WHY_BYTES];
    int bytes = frame.bytes < 120 ? (int)frame.bytes : 120;
    snprintf(why, sizeof why, "the server refuses the token of a login: %.*s; %s", bytes, frame.data,
             worker->run->secret.bytes > 0 ? "is --token-secret-file its secret?"
             : worker->run->tokens.count > 0
                 ? "is each line of --token-file a token of its user, --prefix and a number?"
                 : "give its secret by --token-secret-file, or tokens by --token-file");
    if (worker->phase == LOAD_CONNECT)
        load_worker_give_up_because(worker, why);
    load_session_lost(worker, session, why);
}

static void try_later(struct load_worker *worker, struct load_session *session, uint64_t after_us)
{
    if (!list_is_empty(&session->wait_link))
        return;
    session->due_us = worker->now_us + after_us;
    list_append(&worker->refused, &session->wait_link);
}

void load_send_refused(struct load_worker *worker, struct load_session *session, const struct load_wire_object *error,
                       struct span frame)
{
    bool is_limited = load_wire_is(error->code, "rate_limited");
    bool is_busy = is_limited || load_wire_is(error->code, "busy");
    uint64_t after_us = error->retry_after > 0 ? error->retry_after * 1000 : RETRY_US_USUAL;
    bool is_unavailable = load_wire_is(error->code, "unavailable");
    if (load_wire_is(error->code, "bad_token") && session->state == LOAD_SESSION_LOGGING_IN) {
        refuse_token(worker, session, frame);
        return;
    }
    if (!is_busy && !is_unavailable && refuse_for_good(worker, session, error, frame))
        return;
    if (!is_busy && !is_unavailable) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "an error without cause", frame);
        return;
    }
    load_worker_note_refusal(worker, frame);
    worker->stats.counts[is_limited ? LOAD_RATE_LIMITED : is_busy ? LOAD_BUSY : LOAD_UNAVAILABLE]++;
    if (session->state == LOAD_SESSION_LOGGING_IN) {
        load_worker_note_end(worker, worker->first_refusal);
        load_session_leave(worker, session, worker->now_us + after_us);
        return;
    }
    if (load_look_take(worker, session, error))
        return;
    if (load_history_refused(worker, session, error) || load_peers_refused(session, error)
        || load_mark_refused(session, error)) {
        try_later(worker, session, after_us);
        return;
    }
    struct load_send *send = find(worker, session, error, frame);
    if (send == NULL)
        return;
    if (is_unavailable && !worker->run->options.has_keys) {
        leave_unknown(worker, session, send);
        return;
    }
    send->state = is_busy ? LOAD_SEND_REFUSED : LOAD_SEND_UNKNOWN;
    try_later(worker, session, is_busy ? after_us : RETRY_US_UNKNOWN);
}

static int compare_seq(const void *a, const void *b)
{
    const struct load_send *const *left = a, *const *right = b;
    return (*left)->seq < (*right)->seq ? -1 : (*left)->seq > (*right)->seq;
}

/* The sends in `state`, in the order in which they were sent. */
static uint32_t collect(struct load_session *session, uint8_t state, struct load_send **sends)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < session->sends_room; i++)
        if (session->sends[i].state == state)
            sends[count++] = &session->sends[i];
    qsort(sends, count, sizeof(struct load_send *), compare_seq);
    return count;
}

/* Nothing was stored, so each is a new send, except for the time when it was due. */
static void send_refused_anew(struct load_worker *worker, struct load_session *session)
{
    struct load_send *sends[LOAD_WINDOW_MAX];
    uint32_t count = collect(session, LOAD_SEND_REFUSED, sends);
    for (uint32_t i = 0; i < count; i++) {
        sends[i]->seq = session->next_seq++;
        sends[i]->was_resent = false;
        transmit(worker, session, sends[i]);
    }
}

static void send_unknown_again(struct load_worker *worker, struct load_session *session)
{
    struct load_send *sends[LOAD_WINDOW_MAX];
    uint32_t count = collect(session, LOAD_SEND_UNKNOWN, sends);
    for (uint32_t i = 0; i < count; i++) {
        if (!worker->run->options.has_keys) {
            leave_unknown(worker, session, sends[i]);
            continue;
        }
        sends[i]->was_resent = true;
        transmit(worker, session, sends[i]);
    }
}

void load_send_resume(struct load_worker *worker, struct load_session *session)
{
    if (session->unanswered == 0)
        return;
    atomic_store(&session->order_from, session->next_seq);
    for (uint32_t i = 0; i < session->sends_room; i++)
        if (session->sends[i].state == LOAD_SEND_OUT)
            session->sends[i].state = LOAD_SEND_UNKNOWN;
    send_unknown_again(worker, session);
    send_refused_anew(worker, session);
}

void load_send_retry(struct load_worker *worker, struct load_session *session)
{
    if (session->state != LOAD_SESSION_LIVE && session->state != LOAD_SESSION_REPLAYING)
        return;
    load_history_retry(worker, session);
    load_peers_retry(worker, session);
    load_mark_retry(worker, session);
    atomic_store(&session->order_from, session->next_seq);
    send_unknown_again(worker, session);
    send_refused_anew(worker, session);
}
