#include "load/peers.h"

#include <stdlib.h>

#include "base/assert.h"
#include "load/frame.h"
#include "load/run.h"
#include "load/scenario.h"
#include "load/session.h"
#include "load/stats.h"
#include "load/talk.h"
#include "load/text.h"
#include "load/wire.h"
#include "load/worker.h"

#define PEERS_ID 100u /* of a session's first walk; those of the others follow */
#define UNSEEN_MAX 1000u
#define CHECK_LIMIT 1000u

struct load_peers_walk {
    uint64_t asked_us; /* 0: no page is in flight */
    uint64_t before;   /* where the next page begins; 0: with the newest conversation */
    uint32_t listed;   /* conversations of the pages so far */
    bool is_refused;
};

static uint32_t limit_of(const struct load_worker *worker)
{
    return worker->phase == LOAD_CHECK ? CHECK_LIMIT : worker->run->options.limit;
}

static void ask(struct load_worker *worker, struct load_session *session, uint32_t number)
{
    struct load_peers_walk *walk = &session->peers_walks[number];
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
    if (walk->asked_us == 0) { /* else the page is asked for again, and its latency counts from the first time */
        walk->asked_us = worker->now_us;
        worker->gauges.pages++;
    }
    walk->is_refused = false;
    session->out.bytes +=
        (uint32_t)load_wire_put_peers(out, load_worker_mask(worker), PEERS_ID + number, walk->before, limit_of(worker));
}

static void open_walks(struct load_worker *worker, struct load_session *session)
{
    ASSERT(worker->run->options.window <= LOAD_WINDOW_MAX);
    if (session->peers_walks == NULL)
        session->peers_walks = calloc(LOAD_WALKS_MAX, sizeof *session->peers_walks);
    ASSERT(session->peers_walks != NULL);
}

void load_peers_go_on(struct load_worker *worker, struct load_session *session)
{
    open_walks(worker, session);
    for (uint32_t i = 0; i < worker->run->options.window; i++)
        if (session->peers_walks[i].asked_us == 0)
            ask(worker, session, i);
}

void load_peers_check(struct load_worker *worker, struct load_session *session)
{
    open_walks(worker, session);
    session->peers_walks[0] = (struct load_peers_walk){0};
    session->is_checking = true;
    session->is_refreshing = false;
    worker->gauges.checking++;
    ask(worker, session, 0);
}

void load_peers_refresh(struct load_worker *worker, struct load_session *session)
{
    open_walks(worker, session);
    worker->gauges.pages -= session->peers_walks[0].asked_us > 0;
    session->peers_walks[0] = (struct load_peers_walk){0};
    session->is_refreshing = true;
    ask(worker, session, 0);
}

/* The walk that has a page with this id in flight; NULL: none. */
static struct load_peers_walk *walk_of(const struct load_session *session, const struct load_wire_object *reply)
{
    if (session->peers_walks == NULL || !reply->has_id || reply->id < PEERS_ID
        || reply->id - PEERS_ID >= LOAD_WALKS_MAX)
        return NULL;
    struct load_peers_walk *walk = &session->peers_walks[reply->id - PEERS_ID];
    return walk->asked_us > 0 && !walk->is_refused ? walk : NULL;
}

bool load_peers_refused(struct load_session *session, const struct load_wire_object *error)
{
    struct load_peers_walk *walk = walk_of(session, error);
    if (walk != NULL)
        walk->is_refused = true;
    return walk != NULL;
}

void load_peers_retry(struct load_worker *worker, struct load_session *session)
{
    for (uint32_t i = 0; session->peers_walks != NULL && i < LOAD_WALKS_MAX; i++)
        if (session->peers_walks[i].is_refused)
            ask(worker, session, i);
}

void load_peers_resume(struct load_worker *worker, struct load_session *session)
{
    if (session->is_refreshing) { /* it begins anew when the connection is live */
        worker->gauges.pages -= session->peers_walks[0].asked_us > 0;
        session->peers_walks[0].asked_us = 0;
        session->is_refreshing = false;
    }
    for (uint32_t i = 0; session->peers_walks != NULL && i < LOAD_WALKS_MAX; i++)
        if (session->peers_walks[i].asked_us > 0)
            ask(worker, session, i);
}

/* Marks that came while the connection was away were not pushed to it: so what the page says may be newer. */
static const char *take_marks(struct load_worker *worker, const struct load_session *session, struct load_talk *talk,
                              const struct load_wire_object *peer)
{
    struct load_place place;
    uint32_t unseen = load_talk_unseen(talk, peer->seen);
    bool is_known = load_talk_received(talk, peer->seen, &place);
    if (peer->seen < talk->seen.ts && !session->is_refreshing)
        return "a mark that goes backwards";
    if (peer->seen > talk->seen.ts && peer->seen <= session->cursor && !is_known)
        return "a mark at no message of this user";
    if (peer->seen > talk->seen.ts && is_known)
        load_talk_set_seen(worker, talk, place);
    if (!session->is_refreshing && peer->unseen != (unseen < UNSEEN_MAX ? unseen : UNSEEN_MAX))
        return "another count of unseen messages";
    is_known = load_talk_sent(talk, peer->seen_by, &place);
    if (peer->seen_by < talk->seen_by.ts && !session->is_refreshing)
        return "seen_by goes backwards";
    if (peer->seen_by > talk->seen_by.ts && peer->seen_by <= session->cursor && !is_known)
        return "seen_by names no message that was sent";
    if (peer->seen_by > talk->seen_by.ts && is_known)
        load_talk_set_seen_by(worker, talk, place);
    return NULL;
}

/* What is wrong with a conversation; NULL: nothing. */
static const char *take_peer(struct load_worker *worker, struct load_session *session,
                             const struct load_wire_object *peer, uint64_t *ts_r)
{
    struct load_wire_object last;
    struct load_text text;
    uint32_t user;
    const char *end = peer->entry.data + peer->entry.bytes;
    *ts_r = 0;
    if (!load_run_user_number(worker->run, peer->user, &user))
        return "a conversation with a user of no run";
    struct load_talk *talk = load_talk_find(session, user);
    if (talk == NULL && session->is_refreshing)
        return NULL;
    if (talk == NULL)
        return "a conversation that was never held";
    if (peer->entry.bytes == 0 || load_wire_read_object(peer->entry.data, end, &last) != end)
        return "no last message";
    *ts_r = last.ts;
    if (session->is_refreshing)
        return take_marks(worker, session, talk, peer);
    if (last.ts != talk->last.ts || load_talk_mid(last.mid) != talk->last.mid || last.has_prev)
        return "not the newest message of the conversation";
    if (!load_frame_read_text(worker, session, &last, peer->entry, &text))
        return NULL; /* counted already */
    return take_marks(worker, session, talk, peer);
}

static void end_walk(struct load_worker *worker, struct load_session *session, struct load_peers_walk *walk,
                     struct span frame)
{
    if (walk->listed != session->talks.count && !session->is_refreshing)
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "the pages together are not all conversations", frame);
    walk->before = walk->listed = 0;
    session->is_refreshing = false;
    if (!session->is_checking)
        return;
    session->is_checking = false;
    worker->gauges.checking--;
}

/* Takes the conversations of a page, newest first; false: they are out of order or bounds, or too many. */
static bool take_peers(struct load_worker *worker, struct load_session *session, struct load_peers_walk *walk,
                       const struct load_wire_object *page, struct span frame)
{
    struct load_wire_object peer;
    const char *at = NULL;
    uint64_t ts, newest = walk->before > 0 ? walk->before : UINT64_MAX;
    uint32_t count = 0;
    bool is_broken, is_good = true;
    for (; load_wire_next_message(page->messages, &at, &peer, &is_broken); count++) {
        const char *why = take_peer(worker, session, &peer, &ts);
        if (why != NULL)
            load_worker_broken(worker, LOAD_BROKEN_TALKS, why, frame);
        is_good &= ts < newest;
        newest = ts;
    }
    walk->listed += count;
    return is_good && !is_broken && count <= limit_of(worker) && (count > 0 || !page->more)
           && (!page->more || page->has_next);
}

void load_peers_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *page,
                     struct span frame)
{
    struct load_peers_walk *walk = walk_of(session, page);
    if (walk == NULL) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "a page that was not asked for", frame);
        return;
    }
    worker->stats.counts[LOAD_PEERS_PAGES]++;
    worker->answers++;
    load_worker_add_latency(worker, LOAD_PEERS_PAGE, walk->asked_us);
    walk->asked_us = 0;
    worker->gauges.pages--;
    if (!take_peers(worker, session, walk, page, frame))
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "a page out of order or bounds, or more without next", frame);
    walk->before = page->next;
    if (!page->more)
        end_walk(worker, session, walk, frame);
    if (session->is_checking || session->is_refreshing)
        ask(worker, session, (uint32_t)(walk - session->peers_walks));
    load_scenario_on_answer(worker, session);
}
