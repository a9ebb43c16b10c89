#include "sim_marks.h"

#include <stdlib.h>

#define UNSEEN_MAX 1000u
/* One in so many marks that are answered or pushed is followed by a crash: it must be durable. */
#define CRASH_IN 60u
/* So many messages are marked one after another. */
#define SLOW_READS 8u

static const char *name_of(const struct sim *sim, uint32_t user)
{
    return sim->names[user];
}

static uint32_t user_named(const struct sim *sim, const char *name)
{
    for (uint32_t user = 0; user < SIM_USERS; user++)
        if (strcmp(sim->names[user], name) == 0)
            return user;
    sim_fail("%s is nobody", name);
}

static bool is_from(const struct sim_send *send, uint32_t user, uint32_t peer)
{
    return send->from == peer && send->to == user && peer != user;
}

static uint32_t other_of(const struct sim_send *send, uint32_t user)
{
    return send->from == user ? send->to : send->from;
}

/* The newest message from `peer` that `user` has received, up to `ts`; 0: none. */
static uint64_t newest_from(const struct sim_model *model, uint32_t user, uint32_t peer, uint64_t ts)
{
    for (uint32_t i = model->seen_count[user]; i > 0; i--) {
        const struct sim_seen *seen = &model->seen[user][i - 1];
        if (seen->ts <= ts && is_from(&model->sends[seen->send], user, peer))
            return seen->ts;
    }
    return 0;
}

/* The oldest message from `peer` that `user` has received above `ts`; LIMIT_TS_MAX: none. */
static uint64_t oldest_from(const struct sim_model *model, uint32_t user, uint32_t peer, uint64_t ts)
{
    for (uint32_t i = 0; i < model->seen_count[user]; i++) {
        const struct sim_seen *seen = &model->seen[user][i];
        if (seen->ts > ts && is_from(&model->sends[seen->send], user, peer))
            return seen->ts;
    }
    return LIMIT_TS_MAX;
}

static void raise_to(uint64_t *value, uint64_t to)
{
    *value = to > *value ? to : *value;
}

/* -- requests -- */

/* Some entry that was received: mostly one of the newest; or all of them. */
static uint64_t choose_any(struct sim *sim, uint32_t user)
{
    uint32_t count = sim->model.seen_count[user], back = chaos_hits(&sim->chaos, 3) ? 40 : 4;
    if (count == 0 || chaos_hits(&sim->chaos, 8))
        return LIMIT_TS_MAX;
    return sim->model.seen[user][count - 1 - chaos_below(&sim->chaos, count < back ? count : back)].ts;
}

static void ask_seen(struct sim *sim, struct person *person, uint32_t peer, uint64_t ts)
{
    uint32_t id;
    struct sim_request *asked = person_ask(person, ASK_SEEN, &id);
    if (asked == NULL)
        return;
    asked->with = (uint8_t)peer;
    asked->known = newest_from(&sim->model, person->user, peer, ts);
    person->asked_anew = true;
    raise_to(&sim->model.marks[person->user][peer].most, ts);
    client_send(person->client, "{\"op\":\"seen\",\"id\":%u,\"with\":\"%s\",\"ts\":%llu}", id, name_of(sim, peer),
                (unsigned long long)ts);
    sim_note("%s has seen %s up to %llu", name_of(sim, person->user), name_of(sim, peer), (unsigned long long)ts);
}

/* Half of the conversations are read slowly, one message after another, when only runs have them. */
static bool is_read_slowly(uint32_t user, uint32_t peer)
{
    return (user + peer) % 2 == 1;
}

/* Marks what follows there, if there is something: one message, or some, or up to a ts between two. */
static void ask_next(struct sim *sim, struct person *person, uint32_t peer)
{
    uint64_t *read_to = &sim->model.marks[person->user][peer].read_to;
    uint64_t next = oldest_from(&sim->model, person->user, peer, *read_to);
    if (next == LIMIT_TS_MAX)
        return;
    for (uint32_t steps = chaos_hits(&sim->chaos, 4) ? 3 : 1; steps > 0 && next != LIMIT_TS_MAX; steps--) {
        *read_to = next;
        next = oldest_from(&sim->model, person->user, peer, *read_to);
    }
    ask_seen(sim, person, peer, *read_to + chaos_below(&sim->chaos, 2));
}

void marks_ask_seen(struct sim *sim, struct person *person)
{
    uint32_t peer = chaos_below(&sim->chaos, SIM_USERS);
    if (is_read_slowly(person->user, peer))
        ask_next(sim, person, peer);
    else
        ask_seen(sim, person, peer, choose_any(sim, person->user));
}

void marks_ask_peers(struct sim *sim, struct person *person, struct sim_request want)
{
    uint32_t id;
    struct sim_request *asked = person_ask(person, ASK_PEERS, &id);
    if (asked == NULL)
        return;
    want.ask = ASK_PEERS;
    want.place = asked->place;
    want.known = model_newest(&sim->model, person->user);
    for (uint32_t peer = 0; peer < SIM_USERS; peer++) {
        want.marks[peer].seen = sim->model.marks[person->user][peer].sure;
        want.marks[peer].seen_by = sim->model.marks[person->user][peer].sure_by;
    }
    *asked = want;
    person->asked_anew = true;
    if (want.before == LIMIT_TS_MAX)
        client_send(person->client, "{\"op\":\"peers\",\"id\":%u,\"limit\":%u}", id, want.limit);
    else
        client_send(person->client, "{\"op\":\"peers\",\"id\":%u,\"limit\":%u,\"before\":%llu}", id, want.limit,
                    (unsigned long long)want.before);
}

void marks_take_ok(struct sim *sim, struct person *person, const struct sim_request *asked)
{
    raise_to(&sim->model.marks[person->user][asked->with].sure, asked->known);
    sim->tally.marks++;
    sim->is_crash_due |= asked->known > 0 && chaos_hits(&sim->chaos, CRASH_IN);
    if (is_read_slowly(person->user, asked->with) && !chaos_hits(&sim->chaos, SLOW_READS))
        ask_next(sim, person, asked->with);
}

/* -- what is shown -- */

/* Whether a mark of `user` at `ts`, 0 if none is shown, has gone back from what was sure. While --retention hides what
 * was seen, a mark up to there is not stored, and none is shown; later it may be shown again. */
static bool has_gone_back(const struct sim *sim, uint32_t user, uint64_t ts, uint64_t sure)
{
    return ts < sure && sure > sim->model.retention_maybe && (ts > 0 || sure > model_cut_maybe(&sim->model, user));
}

/* A mark of `user` was shown: not below what is sure, and asked for. */
static void check_mark(struct sim *sim, uint32_t user, uint32_t peer, uint64_t ts, uint64_t sure)
{
    struct sim_marks *marks = &sim->model.marks[user][peer];
    if (has_gone_back(sim, user, ts, sure))
        sim_broken(SIM_LOST, "%s has seen %s up to %llu, and it was %llu", name_of(sim, user), name_of(sim, peer),
                   (unsigned long long)ts, (unsigned long long)sure);
    if (ts > marks->most)
        sim_fail("%s has seen %s up to %llu, and never said so", name_of(sim, user), name_of(sim, peer),
                 (unsigned long long)ts);
    raise_to(&marks->sure, ts);
}

/* `user` is shown that `peer` has seen their messages up to `ts` of the timeline of `user`. */
static void check_mark_by(struct sim *sim, uint32_t user, uint32_t peer, uint64_t ts, uint64_t sure)
{
    struct sim_marks *marks = &sim->model.marks[user][peer];
    if (has_gone_back(sim, user, ts, sure))
        sim_broken(SIM_LOST, "%s is seen by %s up to %llu, and it was %llu", name_of(sim, user), name_of(sim, peer),
                   (unsigned long long)ts, (unsigned long long)sure);
    raise_to(&marks->sure_by, ts);
    for (uint32_t i = 0; i < sim->model.seen_count[user]; i++) {
        const struct sim_send *send = &sim->model.sends[sim->model.seen[user][i].send];
        if (sim->model.seen[user][i].ts != ts)
            continue;
        if (!is_from(send, peer, user))
            sim_fail("%s is seen by %s up to s%u, which is not to them", name_of(sim, user), name_of(sim, peer),
                     sim->model.seen[user][i].send);
        raise_to(&sim->model.marks[peer][user].sure, send->ts_to); /* 0 if it is not known */
    }
}

void marks_take_push(struct sim *sim, struct person *person, const struct value *frame, bool is_by)
{
    uint32_t peer = user_named(sim, value_text(frame, is_by ? "user" : "with"));
    uint64_t ts = value_number(frame, "ts");
    uint64_t *pushed = is_by ? &person->pushed[peer].seen_by : &person->pushed[peer].seen;
    if (ts <= *pushed)
        sim_broken(SIM_REORDERED, "%s: a push of a mark at %llu follows one at %llu", name_of(sim, person->user),
                   (unsigned long long)ts, (unsigned long long)*pushed);
    *pushed = ts;
    if (is_by)
        check_mark_by(sim, person->user, peer, ts, 0);
    else
        check_mark(sim, person->user, peer, ts, 0);
    sim->tally.mark_pushes++;
    sim->is_crash_due |= chaos_hits(&sim->chaos, CRASH_IN);
}

/* The messages from `peer` above `seen`: those that the user had received when they asked are counted; those that they
 * had not may be. */
static void check_unseen(struct sim *sim, const struct person *person, uint32_t peer, uint64_t known, uint64_t seen,
                         uint64_t unseen)
{
    const struct sim_model *model = &sim->model;
    uint64_t cut = model_cut_maybe(model, person->user), least = 0, most = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        const struct sim_send *send = &model->sends[i];
        if (!is_from(send, person->user, peer) || send->outcome == SIM_REFUSED)
            continue;
        bool is_known = send->ts_to != 0 && send->ts_to <= known;
        least += is_known && send->ts_to > seen && send->ts_to > cut;
        most += send->ts_to == 0 || send->ts_to > seen;
    }
    least = least < UNSEEN_MAX ? least : UNSEEN_MAX;
    if (unseen < least || unseen > most || unseen > UNSEEN_MAX)
        sim_broken(unseen < least ? SIM_LOST : SIM_DUPLICATED, "%s has %llu unseen of %s, and not %llu to %llu",
                   name_of(sim, person->user), (unsigned long long)unseen, name_of(sim, peer),
                   (unsigned long long)least, (unsigned long long)most);
}

/* A conversation that had a message when the page was asked for is in the page, or behind its end, or has moved before
 * its beginning. Those of the page are at `shown`, with a message that is not older. */
static void check_left_out(struct sim *sim, const struct person *person, const struct sim_request *asked,
                           const uint64_t *shown, uint64_t last, bool more)
{
    uint64_t newest[SIM_USERS] = {0};
    for (uint32_t i = 0; i < sim->model.seen_count[person->user]; i++) {
        struct sim_seen seen = sim->model.seen[person->user][i];
        if (seen.ts <= asked->known)
            newest[other_of(&sim->model.sends[seen.send], person->user)] = seen.ts;
    }
    for (uint32_t peer = 0; peer < SIM_USERS; peer++)
        if (shown[peer] > 0 && shown[peer] < newest[peer])
            sim_broken(SIM_LOST, "the conversation of %s with %s ends at %llu, and has a message at %llu",
                       name_of(sim, person->user), name_of(sim, peer), (unsigned long long)shown[peer],
                       (unsigned long long)newest[peer]);
    for (uint32_t peer = 0; peer < SIM_USERS && asked->before == LIMIT_TS_MAX; peer++)
        if (shown[peer] == 0 && newest[peer] > model_cut_maybe(&sim->model, person->user)
            && (!more || newest[peer] >= last))
            sim_broken(SIM_LOST, "the conversations of %s leave out that with %s", name_of(sim, person->user),
                       name_of(sim, peer));
}

void marks_take_peers(struct sim *sim, struct person *person, const struct value *frame,
                      const struct sim_request *asked)
{
    struct sim_request copy = *asked; /* its place may be taken by the next page */
    bool more = value_is_true(frame, "more");
    uint64_t shown[SIM_USERS] = {0};
    uint64_t last = asked->before;
    uint32_t count = 0;
    const struct value *peers = value_get(frame, "peers");
    for (const struct value *each = peers == NULL ? NULL : peers->first; each != NULL; each = each->next, count++) {
        const struct value *message = value_get(each, "last");
        uint32_t peer = user_named(sim, value_text(each, "user"));
        uint64_t ts = value_number(message, "ts"), seen = value_number(each, "seen");
        if (ts >= last || shown[peer] > 0)
            sim_broken(SIM_REORDERED, "the conversations of %s are out of order at %llu", name_of(sim, person->user),
                       (unsigned long long)ts);
        if (ts <= person->cut)
            sim_broken(SIM_ERASED, "%s is given a conversation up to %llu and is erased up to %llu",
                       name_of(sim, person->user), (unsigned long long)ts, (unsigned long long)person->cut);
        last = ts;
        shown[peer] = ts;
        model_see(&sim->model, person->user, value_text(message, "text"), value_text(message, "from"),
                  value_text(message, "to"), value_text(message, "key"), ts, value_text(message, "mid"));
        check_mark(sim, person->user, peer, seen, copy.marks[peer].seen);
        check_mark_by(sim, person->user, peer, value_number(each, "seen_by"), copy.marks[peer].seen_by);
        check_unseen(sim, person, peer, copy.known, seen, value_number(each, "unseen"));
    }
    if (count > copy.limit || (more && value_number(frame, "next") != last))
        sim_fail("%s: %u conversations, %u were asked for, or next is wrong", name_of(sim, person->user), count,
                 copy.limit);
    check_left_out(sim, person, &copy, shown, last, more);
    sim->tally.peers_pages++;
    copy.before = last;
    if (more && chaos_below(&sim->chaos, 2) == 0)
        marks_ask_peers(sim, person, copy);
}

/* -- the end -- */

static uint64_t ts_of(const struct sim_send *send, uint32_t user)
{
    return send->from == user ? send->ts_from : send->ts_to;
}

/* The pages with `peer`, forwards or backwards, are what the timeline has of them. */
static void check_with(struct sim *sim, struct client *client, uint32_t user, uint32_t peer, const uint32_t *sends,
                       uint32_t count)
{
    bool oldest_first = chaos_hits(&sim->chaos, 2);
    uint64_t bound = oldest_first ? 0 : LIMIT_TS_MAX;
    uint32_t limit = 1 + chaos_below(&sim->chaos, 400), at = 0;
    for (bool more = true; more;) {
        client_send(client, "{\"op\":\"history\",\"id\":1,\"with\":\"%s\",\"limit\":%u,\"%s\":%llu}",
                    name_of(sim, peer), limit, oldest_first ? "after" : "before", (unsigned long long)bound);
        harness_run_until_idle(sim->harness);
        const struct value *page = frame_expect(&sim->reader, client, "history"),
                           *messages = value_get(page, "messages");
        uint32_t page_count = messages == NULL ? 0 : messages->count, index = 0;
        for (const struct value *message = page_count == 0 ? NULL : messages->first; message != NULL;
             message = message->next, index++) {
            uint32_t place = at + (oldest_first ? index : page_count - 1 - index);
            uint32_t wanted = oldest_first ? place : count - 1 - place;
            if (place >= count || model_number(&sim->model, value_text(message, "text")) != sends[wanted])
                sim_broken(SIM_LOST, "a page of %s with %s is not what the timeline says", name_of(sim, user),
                           name_of(sim, peer));
        }
        at += page_count;
        more = value_is_true(page, "more");
        bound = more ? value_number(page, "next") : bound;
        if (more != (at < count))
            sim_broken(SIM_LOST, "a page of %s with %s ends after %u of %u messages", name_of(sim, user),
                       name_of(sim, peer), at, count);
    }
}

/* The conversation as `peers` gives it, against the messages with the peer. */
static void check_conversation(struct sim *sim, uint32_t user, uint32_t peer, const struct value *each,
                               const uint32_t *sends, uint32_t count)
{
    struct sim_marks *marks = &sim->model.marks[user][peer];
    uint64_t seen = value_number(each, "seen"), unseen = 0;
    check_mark(sim, user, peer, seen, marks->sure);
    check_mark_by(sim, user, peer, value_number(each, "seen_by"), marks->sure_by);
    for (uint32_t i = 0; i < count; i++)
        unseen += is_from(&sim->model.sends[sends[i]], user, peer) && ts_of(&sim->model.sends[sends[i]], user) > seen;
    unseen = unseen < UNSEEN_MAX ? unseen : UNSEEN_MAX;
    if (value_number(each, "unseen") != unseen)
        sim_broken(SIM_LOST, "%s has %llu unseen of %s, and the timeline %llu", name_of(sim, user),
                   (unsigned long long)value_number(each, "unseen"), name_of(sim, peer), (unsigned long long)unseen);
    if (model_number(&sim->model, value_text(value_get(each, "last"), "text")) != sends[count - 1])
        sim_broken(SIM_LOST, "the newest message of %s with %s is another one", name_of(sim, user), name_of(sim, peer));
    marks->last = seen;
    marks->last_by = value_number(each, "seen_by");
    marks->is_listed = true;
}

void marks_check(struct sim *sim, struct client *client, uint32_t user, const uint32_t *sends, uint32_t count)
{
    static uint32_t with[SIM_USERS][SIM_SENDS_MAX];
    uint32_t counts[SIM_USERS] = {0}, listed = 0, wanted = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t peer = other_of(&sim->model.sends[sends[i]], user);
        with[peer][counts[peer]++] = sends[i];
    }
    uint64_t before = LIMIT_TS_MAX;
    for (bool more = true; more;) {
        client_send(client, "{\"op\":\"peers\",\"id\":1,\"limit\":%u,\"before\":%llu}",
                    1 + chaos_below(&sim->chaos, SIM_USERS), (unsigned long long)before);
        harness_run_until_idle(sim->harness);
        const struct value *page = frame_expect(&sim->reader, client, "peers"), *peers = value_get(page, "peers");
        for (const struct value *each = peers == NULL ? NULL : peers->first; each != NULL;
             each = each->next, listed++) {
            uint32_t peer = user_named(sim, value_text(each, "user"));
            if (counts[peer] == 0)
                sim_broken(SIM_ERASED, "%s has a conversation with %s without a message", name_of(sim, user),
                           name_of(sim, peer));
            check_conversation(sim, user, peer, each, with[peer], counts[peer]);
        }
        more = value_is_true(page, "more");
        before = more ? value_number(page, "next") : before;
    }
    for (uint32_t peer = 0; peer < SIM_USERS; peer++) {
        wanted += counts[peer] > 0;
        check_with(sim, client, user, peer, with[peer], counts[peer]);
    }
    if (listed != wanted)
        sim_broken(SIM_LOST, "%s has %u conversations, and the timeline %u", name_of(sim, user), listed, wanted);
}

/* The message at `ts` of the timeline of `user`; NULL: none that anybody has received. */
static const struct sim_send *send_at(const struct sim_model *model, uint32_t user, uint64_t ts)
{
    for (uint32_t i = 0; i < model->seen_count[user]; i++)
        if (model->seen[user][i].ts == ts)
            return &model->sends[model->seen[user][i].send];
    return NULL;
}

void marks_check_all(struct sim *sim)
{
    for (uint32_t user = 0; user < SIM_USERS; user++)
        for (uint32_t peer = 0; peer < SIM_USERS; peer++) {
            const struct sim_marks *own = &sim->model.marks[user][peer], *other = &sim->model.marks[peer][user];
            if (!own->is_listed || !other->is_listed)
                continue;
            uint64_t cut = model_cut_maybe(&sim->model, user), cut_other = model_cut_maybe(&sim->model, peer);
            uint64_t message = newest_from(&sim->model, user, peer, own->last);
            const struct sim_send *send = message > 0 ? send_at(&sim->model, user, message) : NULL;
            bool is_same = send != NULL ? send->ts_from == other->last_by : other->last_by == 0;
            /* What was erased may have been seen, and nobody in the run has received it. */
            bool is_cut = (cut > 0 && message <= cut) || (other->last_by == 0 && cut_other > 0);
            if (!is_same && !is_cut)
                sim_broken(SIM_ONE_SIDED, "%s has seen %s up to %llu, and they are seen up to %llu", name_of(sim, user),
                           name_of(sim, peer), (unsigned long long)own->last, (unsigned long long)other->last_by);
        }
}
