#include "load/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/random.h"
#include "load/run.h"
#include "load/session.h"
#include "load/text.h"
#include "load/worker.h"

#define ROOM_MIN 4u

uint64_t load_talk_mid(struct span mid)
{
    return load_text_hash(0, 0, mid.data, (uint32_t)mid.bytes);
}

/* -- the table -- */

static uint32_t *slot_of(const struct load_talks *talks, uint32_t peer)
{
    uint32_t at = (uint32_t)load_random_mix(peer) & (talks->slot_count - 1);
    while (talks->slots[at] != 0 && talks->list[talks->slots[at] - 1].peer != peer)
        at = (at + 1) & (talks->slot_count - 1);
    return &talks->slots[at];
}

static void grow(struct load_talks *talks)
{
    talks->room = talks->room == 0 ? ROOM_MIN : 2 * talks->room;
    talks->list = realloc(talks->list, talks->room * sizeof *talks->list);
    free(talks->slots);
    talks->slot_count = 2 * talks->room;
    talks->slots = calloc(talks->slot_count, sizeof *talks->slots);
    ASSERT(talks->list != NULL && talks->slots != NULL);
    for (uint32_t i = 0; i < talks->count; i++)
        *slot_of(talks, talks->list[i].peer) = i + 1;
}

struct load_talk *load_talk_find(const struct load_session *session, uint32_t peer)
{
    const struct load_talks *talks = &session->talks;
    uint32_t number = talks->count > 0 ? *slot_of(talks, peer) : 0;
    return number > 0 ? &talks->list[number - 1] : NULL;
}

struct load_talk *load_talk_with(struct load_session *session, uint32_t peer)
{
    struct load_talks *talks = &session->talks;
    struct load_talk *talk = load_talk_find(session, peer);
    if (talk != NULL)
        return talk;
    if (talks->count == talks->room)
        grow(talks);
    *slot_of(talks, peer) = talks->count + 1;
    talk = &talks->list[talks->count++];
    *talk = (struct load_talk){.peer = peer};
    return talk;
}

void load_talks_close(struct load_talks *talks)
{
    for (uint32_t i = 0; i < talks->count; i++) {
        free(talks->list[i].received.places);
        free(talks->list[i].sent.places);
    }
    free(talks->list);
    free(talks->slots);
    *talks = (struct load_talks){0};
}

/* -- trails -- */

static void append(struct load_trail *trail, struct load_place place)
{
    if (trail->count == trail->room && trail->first > trail->room / 2) {
        trail->count -= trail->first;
        memmove(trail->places, trail->places + trail->first, trail->count * sizeof place);
        trail->first = 0;
    } else if (trail->count == trail->room) {
        trail->room = trail->room == 0 ? ROOM_MIN : 2 * trail->room;
        trail->places = realloc(trail->places, trail->room * sizeof place);
        ASSERT(trail->places != NULL);
    }
    trail->places[trail->count++] = place;
}

/* The first place with a ts of at least `ts`; `count` if there is none. */
static uint32_t at_or_above(const struct load_trail *trail, uint64_t ts)
{
    uint32_t low = trail->first, high = trail->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trail->places[middle].ts < ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t load_talk_unseen(const struct load_talk *talk, uint64_t ts)
{
    return talk->received.count - at_or_above(&talk->received, ts + 1);
}

static bool find(const struct load_trail *trail, uint64_t ts, struct load_place *place_r)
{
    uint32_t at = at_or_above(trail, ts);
    if (at == trail->count || trail->places[at].ts != ts)
        return false;
    *place_r = trail->places[at];
    return true;
}

bool load_talk_received(const struct load_talk *talk, uint64_t ts, struct load_place *place_r)
{
    return find(&talk->received, ts, place_r);
}

bool load_talk_sent(const struct load_talk *talk, uint64_t ts, struct load_place *place_r)
{
    return find(&talk->sent, ts, place_r);
}

/* -- marks: each connection of both users must come to know the same ones; the gauges are equal then -- */

void load_talk_set_seen(struct load_worker *worker, struct load_talk *talk, struct load_place place)
{
    const uint32_t *sessions_of_user = worker->run->sessions_of_user;
    if (place.ts <= talk->seen.ts)
        return;
    worker->gauges.marked += (place.mid - talk->seen.mid) * sessions_of_user[talk->peer];
    talk->seen = place;
    talk->received.first = at_or_above(&talk->received, place.ts + 1);
}

void load_talk_set_seen_by(struct load_worker *worker, struct load_talk *talk, struct load_place place)
{
    worker->gauges.shown += (place.mid - talk->seen_by.mid) * worker->run->sessions_of_user[talk->peer];
    talk->seen_by = place;
    talk->sent.first = at_or_above(&talk->sent, place.ts);
}

static void take_early(struct load_worker *worker, struct load_talk *talk)
{
    struct load_place place;
    if (load_talk_sent(talk, talk->early.ts, &place) && place.mid == talk->early.mid)
        load_talk_set_seen_by(worker, talk, place);
    else
        load_worker_broken(worker, LOAD_BROKEN_TALKS, "seen_by names no message that was sent", (struct span){"", 0});
    talk->early = (struct load_place){0};
}

struct load_talk *load_talk_entry(struct load_worker *worker, struct load_session *session, uint32_t from, uint32_t to,
                                  struct load_place place, uint64_t hash)
{
    bool is_own = from == session->user;
    struct load_talk *talk = load_talk_with(session, is_own ? to : from);
    talk->count++;
    talk->sum += hash;
    talk->places += place.ts;
    talk->last = place;
    if (from == to)
        return talk;
    append(is_own ? &talk->sent : &talk->received, place);
    if (talk->early.ts > 0 && place.ts >= talk->early.ts)
        take_early(worker, talk);
    return talk;
}

/* -- at the end -- */

/* What one user's mark and the other user's view of it say of each other. */
static uint64_t check_session(const struct load_run *run, const struct load_session *session, char *text, size_t room)
{
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < session->talks.count; i++) {
        const struct load_talk *talk = &session->talks.list[i];
        const struct load_session *other = NULL;
        for (uint32_t k = talk->peer; k < run->options.connections && other == NULL; k++)
            other = run->sessions[k].user == talk->peer ? &run->sessions[k] : NULL;
        const struct load_talk *back = other != NULL ? load_talk_find(other, session->user) : NULL;
        bool is_typing_right = back == NULL || run->sessions_of_user[talk->peer] > 1 || talk->typing <= back->typed;
        if (back == NULL || (talk->early.ts == 0 && talk->seen_by.mid == back->seen.mid && is_typing_right))
            continue;
        if (wrong++ == 0)
            snprintf(text, room, "of the conversation of %s%u and %s%u each side knows another %s", run->options.prefix,
                     session->user, run->options.prefix, talk->peer, is_typing_right ? "mark" : "count of typing");
    }
    return wrong;
}

uint64_t load_talks_check(const struct load_run *run, char *text, size_t room)
{
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < run->options.connections; i++)
        wrong += check_session(run, &run->sessions[i], text, wrong == 0 ? room : 0);
    return wrong;
}
