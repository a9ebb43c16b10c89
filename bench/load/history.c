#include "load/history.h"

#include <stdlib.h>

#include "base/assert.h"
#include "load/frame.h"
#include "load/look.h"
#include "load/run.h"
#include "load/scenario.h"
#include "load/session.h"
#include "load/text.h"
#include "load/wire.h"
#include "load/worker.h"

#define HISTORY_ID 2u /* of a session's first walk; those of the others follow */

struct load_walk {
    uint64_t asked_us; /* 0: no page is in flight */
    uint64_t before;   /* where the next page ends; 0: at the newest entry */
    uint64_t count, sum, places;
    uint32_t talk; /* with --with: the number of the conversation */
    uint64_t seen; /* entries of all its rounds */
    bool is_refused;
};

static void ask(struct load_worker *worker, struct load_session *session, uint32_t number)
{
    struct load_walk *walk = &session->walks[number];
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
    uint32_t mask = load_worker_mask(worker);
    if (walk->asked_us == 0) { /* else the page is asked for again, and its latency counts from the first time */
        walk->asked_us = worker->now_us;
        worker->gauges.pages++;
    }
    walk->is_refused = false;
    char name[LOAD_USER_BYTES_MAX];
    struct span with = {name, 0};
    if (worker->run->options.has_with && session->talks.count > 0)
        with.bytes = load_run_user_name(worker->run, session->talks.list[walk->talk].peer, name);
    session->out.bytes +=
        (uint32_t)load_wire_put_history(out, mask, HISTORY_ID + number, walk->before, worker->run->options.limit, with);
}

static bool is_due(const struct load_worker *worker, const struct load_session *session, uint32_t number)
{
    const struct load_walk *walk = &session->walks[number];
    uint64_t share = session->full_count * number / worker->run->options.window;
    return walk->asked_us == 0 && (walk->seen > 0 || session->walks[0].seen >= share);
}

void load_history_go_on(struct load_worker *worker, struct load_session *session)
{
    uint32_t count = worker->run->options.window;
    ASSERT(count <= LOAD_WALKS_MAX);
    if (session->walks == NULL)
        session->walks = calloc(count, sizeof *session->walks);
    ASSERT(session->walks != NULL);
    for (uint32_t i = 0; i < count; i++)
        if (is_due(worker, session, i))
            ask(worker, session, i);
}

/* The walk that has a page with this id in flight; NULL: none. */
static struct load_walk *walk_of(const struct load_worker *worker, const struct load_session *session,
                                 const struct load_wire_object *reply)
{
    if (session->walks == NULL || !reply->has_id || reply->id < HISTORY_ID
        || reply->id - HISTORY_ID >= worker->run->options.window)
        return NULL;
    struct load_walk *walk = &session->walks[reply->id - HISTORY_ID];
    return walk->asked_us > 0 && !walk->is_refused ? walk : NULL;
}

bool load_history_refused(const struct load_worker *worker, struct load_session *session,
                          const struct load_wire_object *error)
{
    struct load_walk *walk = walk_of(worker, session, error);
    if (walk != NULL)
        walk->is_refused = true;
    return walk != NULL;
}

void load_history_retry(struct load_worker *worker, struct load_session *session)
{
    for (uint32_t i = 0; session->walks != NULL && i < worker->run->options.window; i++)
        if (session->walks[i].is_refused)
            ask(worker, session, i);
}

void load_history_resume(struct load_worker *worker, struct load_session *session)
{
    for (uint32_t i = 0; session->walks != NULL && i < worker->run->options.window; i++)
        if (session->walks[i].asked_us > 0)
            ask(worker, session, i);
}

bool load_history_is_waiting(const struct load_worker *worker, const struct load_session *session)
{
    bool is_waiting = false;
    for (uint32_t i = 0; session->walks != NULL && i < worker->run->options.window; i++)
        is_waiting |= session->walks[i].asked_us > 0;
    return is_waiting;
}

static bool is_of_talk(const struct load_worker *worker, const struct load_session *session,
                       const struct load_walk *walk, const struct load_text *text)
{
    uint32_t from = worker->run->sessions[text->from].user, peer = session->talks.list[walk->talk].peer;
    return (from == session->user && text->to == peer) || (from == peer && text->to == session->user);
}

/* The walk ends at `base`: the entries below it belong to earlier runs. */
static void take_message(struct load_worker *worker, struct load_session *session, struct load_walk *walk,
                         const struct load_wire_object *message, struct span frame)
{
    struct load_text text;
    worker->stats.counts[LOAD_PAGE_MESSAGES]++;
    if (message->ts <= session->base || !load_frame_read_text(worker, session, message, frame, &text))
        return;
    if (worker->run->options.has_with && !is_of_talk(worker, session, walk, &text))
        load_worker_broken(worker, LOAD_BROKEN_HISTORY, "a message of another conversation", frame);
    walk->seen++;
    walk->count++;
    walk->places += message->ts;
    walk->sum += load_text_hash(text.from, text.seq, message->mid.data, (uint32_t)message->mid.bytes);
}

/* Takes all messages of a page; *first_r is the ts of the first, 0 if there is none. False if they are out of order,
 * out of bounds, or too many. */
static bool take_messages(struct load_worker *worker, struct load_session *session, struct load_walk *walk,
                          struct span messages, uint64_t *first_r)
{
    struct load_wire_object message;
    const char *at = NULL, *begin;
    uint64_t last = 0;
    uint32_t count = 0;
    bool is_broken, is_good = true;
    *first_r = 0;
    for (begin = messages.data; load_wire_next_message(messages, &at, &message, &is_broken); begin = at) {
        is_good &= message.ts > last && (walk->before == 0 || message.ts < walk->before);
        last = message.ts;
        count++;
        *first_r = *first_r == 0 ? message.ts : *first_r;
        take_message(worker, session, walk, &message, (struct span){begin, (size_t)(at - begin)});
    }
    return is_good && !is_broken && count <= worker->run->options.limit;
}

static void end_walk(struct load_worker *worker, const struct load_session *session, struct load_walk *walk,
                     struct span frame)
{
    uint64_t count = session->full_count, sum = session->full_sum, places = session->full_places;
    if (worker->run->options.has_with) {
        const struct load_talk *talk = &session->talks.list[walk->talk];
        count = talk->count;
        sum = talk->sum;
        places = talk->places;
        walk->talk = (walk->talk + 1) % session->talks.count;
    }
    if (walk->count != count || walk->sum != sum || walk->places != places)
        load_worker_broken(worker, LOAD_BROKEN_HISTORY, "the pages together are not what the connection got", frame);
    walk->count = walk->sum = walk->places = walk->before = 0;
}

void load_history_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *page,
                       struct span frame)
{
    struct load_walk *walk = walk_of(worker, session, page);
    uint64_t first = 0;
    if (load_look_take(worker, session, page))
        return;
    if (walk == NULL) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "a page that was not asked for", frame);
        return;
    }
    worker->stats.counts[LOAD_PAGES]++;
    load_worker_add_latency(worker, LOAD_PAGE, walk->asked_us);
    walk->asked_us = 0;
    worker->gauges.pages--;
    if (!take_messages(worker, session, walk, page->messages, &first)
        || (page->more && (!page->has_next || first == 0)))
        load_worker_broken(worker, LOAD_BROKEN_HISTORY, "a page out of order or bounds, or more without next", frame);
    walk->before = page->next;
    if (!page->more || first <= session->base)
        end_walk(worker, session, walk, frame);
    load_scenario_on_answer(worker, session);
}
