#include "load/frame.h"

#include <stdio.h>
#include <string.h>

#include "load/history.h"
#include "load/look.h"
#include "load/mark.h"
#include "load/peers.h"
#include "load/run.h"
#include "load/send.h"
#include "load/session.h"
#include "load/text.h"
#include "load/typing.h"
#include "load/wire.h"
#include "load/worker.h"

void load_frame_take_entry(struct load_worker *worker, struct load_session *session,
                           const struct load_wire_object *entry, uint64_t hash, struct span frame)
{
    if (!entry->has_ts || !entry->has_prev || entry->prev != session->cursor || entry->ts <= entry->prev)
        load_worker_broken(worker, LOAD_BROKEN_CHAIN, "does not follow the cursor", frame);
    session->cursor = entry->ts;
    session->got_count++;
    session->got_sum += hash;
    session->got_places += entry->ts;
    worker->gauges.got++;
}

/* The sender's own connections see the key; no other connection does. */
static bool is_key_right(const struct load_worker *worker, bool is_own, const struct load_text *text, struct span key)
{
    char wanted[LOAD_KEY_CHARS];
    if (!is_own || !worker->run->options.has_keys)
        return key.bytes == 0;
    load_text_write_key(wanted, text);
    return key.bytes == LOAD_KEY_CHARS && memcmp(key.data, wanted, LOAD_KEY_CHARS) == 0;
}

bool load_frame_read_text(struct load_worker *worker, const struct load_session *session,
                          const struct load_wire_object *message, struct span frame, struct load_text *text_r)
{
    const struct load_run *run = worker->run;
    uint32_t from, to;
    const char *why = NULL;
    if (!load_text_read(message->text.data, (uint32_t)message->text.bytes, &run->filler, text_r))
        why = "not what was sent";
    else if (text_r->run != run->number || text_r->from >= run->options.connections)
        why = "of another run";
    else if (!load_run_user_number(run, message->from, &from) || run->sessions[text_r->from].user != from)
        why = "another sender";
    else if (!load_run_user_number(run, message->to, &to) || text_r->to != to
             || message->text.bytes != run->options.text_bytes)
        why = "another recipient or length";
    else if (session->user != from && session->user != to)
        why = "not this user's";
    else if (!load_wire_is_mid(message->mid))
        why = "no mid";
    else if (from != to && !is_key_right(worker, session->user == from, text_r, message->key))
        why = "the key";
    if (why != NULL)
        load_worker_broken(worker, LOAD_BROKEN_CONTENT, why, frame);
    return why == NULL;
}

static void take_talk(struct load_worker *worker, struct load_session *session, const struct load_text *text,
                      const struct load_wire_object *message, uint64_t hash)
{
    uint32_t from = worker->run->sessions[text->from].user;
    struct load_place place = {message->ts, load_talk_mid(message->mid)};
    struct load_talk *talk = load_talk_entry(worker, session, from, text->to, place, hash);
    if (from != session->user)
        load_mark_received(worker, session, talk);
}

static void take_message(struct load_worker *worker, struct load_session *session,
                         const struct load_wire_object *message, struct span frame)
{
    struct load_text text;
    uint64_t hash = 0;
    bool is_ours = load_frame_read_text(worker, session, message, frame, &text);
    if (is_ours)
        hash = load_text_hash(text.from, text.seq, message->mid.data, (uint32_t)message->mid.bytes);
    load_frame_take_entry(worker, session, message, hash, frame);
    if (!is_ours)
        return;
    load_worker_check_order(worker, session, &text, frame);
    if (load_options_talks(&worker->run->options))
        take_talk(worker, session, &text, message, hash);
    if (session->state != LOAD_SESSION_LIVE) {
        worker->stats.counts[LOAD_REPLAYED]++;
        return;
    }
    worker->stats.counts[LOAD_DELIVERED]++;
    load_worker_add_latency(worker, LOAD_SEND_TO_DELIVERY, text.sent_us);
}

/* The first login gives the epoch; it must be the same for all. */
static void take_epoch(struct load_worker *worker, struct span epoch, struct span frame)
{
    struct load_run *run = worker->run;
    bool is_given = epoch.bytes > 0 && epoch.bytes <= LOAD_EPOCH_BYTES_MAX;
    pthread_mutex_lock(&run->epoch_lock);
    if (is_given && run->epoch[0] == '\0')
        memcpy(run->epoch, epoch.data, epoch.bytes);
    bool is_same = is_given && load_wire_is(epoch, run->epoch);
    pthread_mutex_unlock(&run->epoch_lock);
    if (!is_same)
        load_worker_broken(worker, LOAD_BROKEN_RESUME, "another epoch", frame);
}

/* Marks and counts of entries that this run has not sent are not known. */
static void refuse_earlier(struct load_worker *worker, const struct load_session *session)
{
    char why[LOAD_WHY_BYTES];
    if (session->base == 0 || !load_options_marks(&worker->run->options))
        return;
    snprintf(
        why, sizeof why,
        "user %s%u has messages that this run has not sent, so what is seen of them cannot be checked: give another "
        "--prefix, or none",
        worker->run->options.prefix, session->user);
    load_worker_give_up_because(worker, why);
}

static void take_login(struct load_worker *worker, struct load_session *session, const struct load_wire_object *ok,
                       struct span frame)
{
    worker->stats.counts[LOAD_LOGINS]++;
    load_run_note_ok(worker->run, session->node, true, worker->now_us);
    load_worker_add_latency(worker, LOAD_CONNECT_TO_LOGIN, session->begun_us);
    take_epoch(worker, ok->epoch, frame);
    if (!session->was_in) {
        session->was_in = true;
        session->base = session->cursor = ok->last;
        load_look_ask(worker, session);
        refuse_earlier(worker, session);
        load_session_set_live(worker, session);
        return;
    }
    if (ok->reset || ok->last < session->cursor)
        load_worker_broken(worker, LOAD_BROKEN_RESUME, "what was received is unknown", frame);
    if (session->from_start) {
        worker->gauges.got -= session->got_count;
        session->got_count = session->got_sum = session->got_places = 0;
        session->cursor = session->base;
        session->from_start = false;
        session->rounds++;
    }
    session->login_last = ok->last;
    session->state = LOAD_SESSION_REPLAYING;
    load_send_resume(worker, session);
    load_history_resume(worker, session);
    load_peers_resume(worker, session);
    load_mark_resume(worker, session);
}

static void take_live(struct load_worker *worker, struct load_session *session, struct span frame)
{
    if (session->state != LOAD_SESSION_REPLAYING || session->cursor < session->login_last) {
        load_worker_broken(worker, LOAD_BROKEN_RESUME, "live before all was replayed", frame);
        if (session->state != LOAD_SESSION_REPLAYING)
            return;
    }
    load_worker_add_latency(worker, LOAD_CONNECT_TO_LIVE, session->begun_us);
    load_session_set_live(worker, session);
}

static void take_ok(struct load_worker *worker, struct load_session *session, const struct load_wire_object *ok,
                    struct span frame)
{
    if (session->state == LOAD_SESSION_LOGGING_IN)
        take_login(worker, session, ok, frame);
    else if (!load_mark_answered(worker, session, ok))
        load_send_answered(worker, session, ok, frame);
}

void load_frame_take(struct load_worker *worker, struct load_session *session, struct span frame)
{
    struct load_wire_object object;
    const char *end = frame.data + frame.bytes;
    bool is_object = load_wire_read_object(frame.data, end, &object) == end;
    bool is_login = is_object && load_wire_is(object.op, "ok") && object.epoch.bytes > 0;
    bool is_reply = is_login || (is_object && load_wire_is(object.op, "error"));
    if (!is_reply && load_session_refuse_server(worker, session, frame))
        return;
    if (!is_object)
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "no JSON object", frame);
    else if (load_wire_is(object.op, "msg"))
        take_message(worker, session, &object, frame);
    else if (load_wire_is(object.op, "ok"))
        take_ok(worker, session, &object, frame);
    else if (load_wire_is(object.op, "history"))
        load_history_take(worker, session, &object, frame);
    else if (load_wire_is(object.op, "peers"))
        load_peers_take(worker, session, &object, frame);
    else if (load_wire_is(object.op, "seen_by"))
        load_mark_take_seen_by(worker, session, &object, frame);
    else if (load_wire_is(object.op, "seen"))
        load_mark_take_seen(worker, session, &object, frame);
    else if (load_wire_is(object.op, "typing"))
        load_typing_take(worker, session, &object, frame);
    else if (load_wire_is(object.op, "live"))
        take_live(worker, session, frame);
    else if (load_wire_is(object.op, "error"))
        load_send_refused(worker, session, &object, frame);
    else
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "an op that the protocol does not have", frame);
}
