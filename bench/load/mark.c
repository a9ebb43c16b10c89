#include "load/mark.h"

#include "load/random.h"
#include "load/run.h"
#include "load/session.h"
#include "load/stats.h"
#include "load/wire.h"
#include "load/worker.h"

#define MARK_ID (UINT64_C(1) << 44) /* and the number of the conversation: above all ids of sends */

static void ask(struct load_worker *worker, struct load_session *session, struct load_talk *talk)
{
    char name[LOAD_USER_BYTES_MAX], *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
    struct span with = {name, load_run_user_name(worker->run, talk->peer, name)};
    uint64_t id = MARK_ID + (uint64_t)(talk - session->talks.list);
    talk->is_refused = false;
    session->out.bytes += (uint32_t)load_wire_put_seen(out, load_worker_mask(worker), id, with, talk->asked.ts);
}

static void mark(struct load_worker *worker, struct load_session *session, struct load_talk *talk,
                 struct load_place place)
{
    if (talk->asked.ts > 0) {
        talk->wanted = place;
        return;
    }
    talk->asked = place;
    talk->asked_us = worker->now_us;
    worker->gauges.marks++;
    ask(worker, session, talk);
}

void load_mark_received(struct load_worker *worker, struct load_session *session, struct load_talk *talk)
{
    double share = worker->run->options.seen_share;
    if (share > 0 && load_random_below(&worker->random, 1u << 20) < share * (1u << 20))
        mark(worker, session, talk, talk->last);
}

/* The conversation whose mark has this id and is in flight; NULL: none. */
static struct load_talk *talk_of(const struct load_session *session, const struct load_wire_object *reply)
{
    if (!reply->has_id || reply->id < MARK_ID || reply->id - MARK_ID >= session->talks.count)
        return NULL;
    struct load_talk *talk = &session->talks.list[reply->id - MARK_ID];
    return talk->asked.ts > 0 && !talk->is_refused ? talk : NULL;
}

bool load_mark_answered(struct load_worker *worker, struct load_session *session, const struct load_wire_object *reply)
{
    struct load_talk *talk = talk_of(session, reply);
    if (talk == NULL)
        return false;
    struct load_place wanted = talk->wanted;
    worker->stats.counts[LOAD_MARKS]++;
    worker->answers++;
    worker->gauges.marks--;
    load_worker_add_latency(worker, LOAD_SEEN_TO_OK, talk->asked_us);
    load_talk_set_seen(worker, talk, talk->asked);
    talk->asked = talk->wanted = (struct load_place){0};
    if (wanted.ts > 0)
        mark(worker, session, talk, wanted);
    return true;
}

bool load_mark_refused(struct load_session *session, const struct load_wire_object *error)
{
    struct load_talk *talk = talk_of(session, error);
    if (talk != NULL)
        talk->is_refused = true;
    return talk != NULL;
}

void load_mark_retry(struct load_worker *worker, struct load_session *session)
{
    for (uint32_t i = 0; i < session->talks.count; i++)
        if (session->talks.list[i].is_refused)
            ask(worker, session, &session->talks.list[i]);
}

void load_mark_resume(struct load_worker *worker, struct load_session *session)
{
    for (uint32_t i = 0; i < session->talks.count; i++)
        if (session->talks.list[i].asked.ts > 0)
            ask(worker, session, &session->talks.list[i]);
}

/* -- pushes -- */

/* The conversation that a push names; NULL, counted as broken: there is none. A push with a ts above the cursor may be
 * the first that comes of a conversation. */
static struct load_talk *named(struct load_worker *worker, struct load_session *session, struct span name, uint64_t ts,
                               struct span frame)
{
    uint32_t user;
    struct load_talk *talk = NULL;
    if (load_run_user_number(worker->run, name, &user))
        talk = ts > session->cursor ? load_talk_with(session, user) : load_talk_find(session, user);
    if (talk == NULL)
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "a mark of no conversation", frame);
    return talk;
}

/* The mark of another connection of this user. The entry may not have been replayed yet: then only the mark is known.
 */
void load_mark_take_seen(struct load_worker *worker, struct load_session *session, const struct load_wire_object *push,
                         struct span frame)
{
    struct load_talk *talk = named(worker, session, push->with, push->ts, frame);
    struct load_place place;
    if (talk == NULL)
        return;
    if (push->ts <= talk->pushed)
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "a mark that goes backwards", frame);
    talk->pushed = push->ts;
    if (push->ts <= talk->seen.ts)
        return;
    if (load_talk_received(talk, push->ts, &place))
        load_talk_set_seen(worker, talk, place);
    else if (push->ts <= session->cursor)
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "a mark at no message of this user", frame);
}

void load_mark_take_seen_by(struct load_worker *worker, struct load_session *session,
                            const struct load_wire_object *push, struct span frame)
{
    struct load_talk *talk = named(worker, session, push->user, push->ts, frame);
    struct load_place place;
    if (talk == NULL)
        return;
    worker->stats.counts[LOAD_RECEIPTS]++;
    bool goes_back = push->ts <= talk->pushed_by;
    talk->pushed_by = push->ts;
    if (goes_back)
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "seen_by goes backwards", frame);
    else if (push->ts <= talk->seen_by.ts)
        return; /* a page of `peers` was faster */
    else if (push->ts > session->cursor)
        talk->early = (struct load_place){push->ts, load_talk_mid(push->mid)};
    else if (load_talk_sent(talk, push->ts, &place) && place.mid == load_talk_mid(push->mid))
        load_talk_set_seen_by(worker, talk, place);
    else
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "seen_by names no message that was sent", frame);
}
