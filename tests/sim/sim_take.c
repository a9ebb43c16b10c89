/* sim_take.c: simulated clients check the frames that they receive. */
#include <stdio.h>

#include "disk.h"
#include "sim_client.h"
#include "sim_marks.h"

#define TS_AHEAD_US_MAX UINT64_C(1000000) /* by a burst: each ts is above the one before */
#define LINGER_US UINT64_C(2000000)       /* as conn_close.c waits */

/* An entry was received. Of those that were missed at the login it may be given `max`, and exactly so many if others
 * were left out. */
static void check_max(struct sim *sim, struct person *person, uint64_t ts)
{
    if (person->max == SIM_NO_MAX || ts > person->login_last)
        return;
    person->missed++;
    bool is_wrong = person->missed > person->max
                    || (ts == person->login_last && person->has_skipped && person->missed != person->max);
    if (is_wrong)
        sim_fail("%s: a login with max %u is given %u entries", sim->names[person->user], person->max, person->missed);
}

void person_take_skipped(struct sim *sim, struct person *person, const struct value *frame)
{
    person->login_last = value_number(frame, "last");
    person->has_skipped = value_get(frame, "skipped_until") != NULL;
    if (!person->has_skipped)
        return;
    uint64_t until = value_number(frame, "skipped_until");
    if (person->max == SIM_NO_MAX || until <= person->cursor || until > person->login_last
        || (until == person->login_last) != (person->max == 0))
        sim_fail("%s: a login with max %u after %llu skips up to %llu, and the last is %llu", sim->names[person->user],
                 person->max, (unsigned long long)person->cursor, (unsigned long long)until,
                 (unsigned long long)person->login_last);
    person->cursor = until;
}

static void take_entry(struct sim *sim, struct person *person, const struct value *frame, uint32_t send)
{
    uint64_t ts = value_number(frame, "ts"), prev = value_number(frame, "prev");
    if (prev != person->cursor)
        sim_broken(prev > person->cursor ? SIM_LOST : SIM_DUPLICATED,
                   "%s: an entry at %llu follows %llu, the cursor is %llu", sim->names[person->user],
                   (unsigned long long)ts, (unsigned long long)prev, (unsigned long long)person->cursor);
    if (ts <= prev)
        sim_broken(SIM_REORDERED, "%s: ts %llu does not come after %llu", sim->names[person->user],
                   (unsigned long long)ts, (unsigned long long)prev);
    person->cursor = ts;
    check_max(sim, person, ts);
    model_prev(&sim->model, person->user, send, prev);
}

/* An entry that the person must not be given any more. */
static void check_cut(struct sim *sim, const struct person *person, uint64_t ts)
{
    if (ts <= person->cut)
        sim_broken(SIM_ERASED, "%s is given an entry at %llu and is erased up to %llu", sim->names[person->user],
                   (unsigned long long)ts, (unsigned long long)person->cut);
}

/* What is cut stays so. What --retention only hides comes back if the clock does. */
static void note_cut(struct sim *sim, uint32_t user, uint64_t first)
{
    struct span name = span_of(sim->names[user]);
    struct core *core = harness_core(sim->harness, 0);
    core = harness_core(sim->harness, core_shard_of(core, name));
    uint64_t cut = store_cut_ts(core->runs.store, name);
    model_cut(&sim->model, user, first < cut ? first : cut);
}

void person_take_first(struct sim *sim, struct person *person, const struct value *frame)
{
    uint64_t first = value_number(frame, "first"), last = value_number(frame, "last");
    if (first > last || first > model_cut_maybe(&sim->model, person->user))
        sim_broken(SIM_LOST, "%s: the login says that entries up to %llu are gone, and none up to there may be",
                   sim->names[person->user], (unsigned long long)first);
    if (first < person->cut && first < last)
        sim_broken(SIM_ERASED, "%s: the login says that entries up to %llu are gone, and it was %llu before",
                   sim->names[person->user], (unsigned long long)first, (unsigned long long)person->cut);
    note_cut(sim, person->user, first);
    if (first > person->cut)
        person->cut = first;
    if (first > person->cursor)
        person->cursor = first;
}

void person_take_message(struct sim *sim, struct person *person, const struct value *frame)
{
    check_cut(sim, person, value_number(frame, "ts"));
    take_entry(sim, person, frame, model_number(&sim->model, value_text(frame, "text")));
    model_see(&sim->model, person->user, value_text(frame, "text"), value_text(frame, "from"), value_text(frame, "to"),
              value_text(frame, "key"), value_number(frame, "ts"), value_text(frame, "mid"));
}

static void take_login(struct sim *sim, struct person *person, const struct value *frame)
{
    bool is_reset = value_is_true(frame, "reset");
    const char *epoch = value_text(frame, "epoch");
    if (sim->epoch[0] == '\0')
        snprintf(sim->epoch, sizeof sim->epoch, "%s", epoch);
    if (strcmp(sim->epoch, epoch) != 0 || is_reset)
        sim_fail("%s: the data set is another one", sim->names[person->user]);
    uint64_t last = value_number(frame, "last");
    rude_check_all_answered(&person->rude, client_pongs(person->client));
    person->is_logged_in = true;
    person->wants_live = person->had_after;
    person->cursor = person->had_after ? person->asked_after : last;
    person_take_first(sim, person, frame);
    person_take_skipped(sim, person, frame);
}

/* `unavailable` needs a WAL write that failed, or a store that could not be read. */
void sim_check_refusal(struct sim *sim, const char *code)
{
    bool is_unavailable = strcmp(code, "unavailable") == 0;
    if (is_unavailable && !sim->is_store_failing && disk_trouble().failed_reads == 0)
        sim_fail("a send is answered unavailable, and nothing has failed");
    sim->tally.unavailable += is_unavailable;
    sim->tally.busy += strcmp(code, "busy") == 0;
}

static void take_sent(struct sim *sim, struct person *person, const struct value *frame, uint32_t send)
{
    bool is_dup = value_is_true(frame, "dup");
    if (strcmp(value_text(frame, "op"), "error") == 0) {
        sim_check_refusal(sim, value_text(frame, "code"));
        model_error(&sim->model, send, value_text(frame, "code"));
        if (sim->model.sends[send].is_keyed && sim->model.sends[send].outcome == SIM_UNKNOWN)
            sim->unsure[sim->unsure_count++] = send;
        return;
    }
    if (!is_dup)
        take_entry(sim, person, frame, send);
    if (!is_dup && value_number(frame, "ts") > sim_clock_latest_us(sim) + TS_AHEAD_US_MAX)
        sim_fail("s%u has a ts of a time that never was", send);
    model_ok(&sim->model, send, value_number(frame, "ts"), value_text(frame, "mid"), is_dup);
}

/* The page must have all from its bound to where it ends, or to the other bound. */
static void check_page(struct sim *sim, struct person *person, const struct sim_request *asked, const uint64_t *ts,
                       uint32_t count, bool more, uint64_t next)
{
    uint64_t after = asked->after, before = asked->before;
    if (count > asked->limit)
        sim_fail("%s: a page of %u entries, %u were asked for", sim->names[person->user], count, asked->limit);
    if (more && asked->oldest_first)
        before = next + 1;
    else if (more)
        after = next - 1;
    if (more && (next <= asked->after || next >= asked->before))
        sim_fail("%s: next %llu does not go on", sim->names[person->user], (unsigned long long)next);
    model_page(&sim->model, person->user, after, before, asked->known, asked->with, ts, count);
    sim->tally.pages++;
    struct sim_request want = *asked;
    *(asked->oldest_first ? &want.after : &want.before) = next;
    if (more && chaos_below(&sim->chaos, 2) == 0)
        person_ask_page(sim, person, want);
}

static void take_page(struct sim *sim, struct person *person, const struct value *frame,
                      const struct sim_request *asked)
{
    struct sim_request copy = *asked; /* its place may be taken by the next page */
    uint64_t ts[SIM_PAGE_LIMIT + 1];
    uint64_t last = asked->after;
    uint32_t count = 0;
    const struct value *messages = value_get(frame, "messages");
    for (const struct value *message = messages == NULL ? NULL : messages->first; message != NULL;
         message = message->next) {
        const char *from = value_text(message, "from"), *to = value_text(message, "to");
        uint64_t at = value_number(message, "ts");
        if (at <= last || at >= asked->before)
            sim_broken(SIM_REORDERED, "%s: a page is out of order or out of its range at %llu",
                       sim->names[person->user], (unsigned long long)at);
        if (asked->with != SIM_USERS && strcmp(from, sim->names[asked->with]) != 0
            && strcmp(to, sim->names[asked->with]) != 0)
            sim_fail("%s: a page with others holds a message of %s to %s", sim->names[person->user], from, to);
        last = at;
        check_cut(sim, person, at);
        if (count <= SIM_PAGE_LIMIT)
            ts[count++] = at;
        model_see(&sim->model, person->user, value_text(message, "text"), from, to, value_text(message, "key"), at,
                  value_text(message, "mid"));
    }
    bool more = value_is_true(frame, "more");
    check_page(sim, person, &copy, ts, count, more, more ? value_number(frame, "next") : 0);
}

/* The store could not be read, so that nothing is known: sends the request again. */
static bool take_unavailable(struct sim *sim, struct person *person, const struct sim_request *asked, uint32_t id,
                             const char *code)
{
    if (strcmp(code, "unavailable") != 0 || disk_trouble().failed_reads == 0)
        return false;
    if (person->has_ended) {
        person->was_login_refused |= asked->ask == ASK_LOGIN;
        return asked->ask == ASK_LOGIN || asked->ask == ASK_HISTORY || asked->ask == ASK_PEERS;
    }
    if (asked->ask == ASK_LOGIN) {
        person->asked_count++;
        person->asked_anew = true;
        person->asked[id].ask = ASK_LOGIN;
        person->was_login_refused = true;
        client_send(person->client, "{\"op\":\"login\",\"id\":%u,\"user\":\"%s\"%s}", id, sim->names[person->user],
                    person->login_fields);
        return true;
    }
    if (asked->ask == ASK_HISTORY)
        person_ask_page(sim, person, *asked);
    if (asked->ask == ASK_PEERS)
        marks_ask_peers(sim, person, *asked);
    return asked->ask == ASK_HISTORY || asked->ask == ASK_PEERS;
}

/* Replies to requests behind the login come after that to the login. Pings and pages of one connection keep their
 * order. */
static void check_order(struct sim *sim, const struct person *person, const struct sim_request *asked)
{
    if (asked->ask != ASK_LOGIN && !person->is_logged_in)
        sim_fail("%s: request %u is answered before the login", sim->names[person->user], asked->place);
    if (asked->ask != ASK_PING && asked->ask != ASK_HISTORY && asked->ask != ASK_PEERS)
        return;
    for (uint32_t i = 0; i < SIM_REQUESTS_MAX; i++)
        if (person->asked[i].ask == asked->ask && person->asked[i].place < asked->place)
            sim_broken(SIM_REORDERED, "%s: request %u is answered before request %u, which is of the same kind",
                       sim->names[person->user], asked->place, person->asked[i].place);
}

/* Requests behind a refused login are refused too, so that nothing was stored. */
static bool take_not_logged_in(struct sim *sim, const struct person *person, const struct sim_request *asked,
                               const char *code)
{
    if (!person->was_login_refused || person->is_logged_in || strcmp(code, "not_logged_in") != 0)
        return false;
    if (asked->ask == ASK_SEND)
        model_error(&sim->model, asked->send, "busy");
    return true;
}

static void take_reply(struct sim *sim, struct person *person, const struct value *frame)
{
    uint64_t id = value_number(frame, "id");
    struct sim_request asked = person->asked[id % SIM_REQUESTS_MAX];
    if (asked.ask == ASK_NOTHING)
        sim_fail("%s: a reply to nothing, id %llu", sim->names[person->user], (unsigned long long)id);
    bool is_error = strcmp(value_text(frame, "op"), "error") == 0;
    person->asked[id % SIM_REQUESTS_MAX].ask = ASK_NOTHING;
    person->asked_count--;
    if (is_error && take_not_logged_in(sim, person, &asked, value_text(frame, "code")))
        return;
    check_order(sim, person, &asked);
    if (is_error && asked.ask == ASK_SEEN) {
        sim_check_refusal(sim, value_text(frame, "code"));
        return;
    }
    if (is_error && asked.ask != ASK_SEND) {
        if (!take_unavailable(sim, person, &asked, (uint32_t)id, value_text(frame, "code")))
            sim_fail("%s: %s: %s", sim->names[person->user], value_text(frame, "code"), value_text(frame, "message"));
        return;
    }
    switch (asked.ask) {
    case ASK_LOGIN: take_login(sim, person, frame); break;
    case ASK_SEND: take_sent(sim, person, frame, asked.send); break;
    case ASK_HISTORY: take_page(sim, person, frame, &asked); break;
    case ASK_PEERS: marks_take_peers(sim, person, frame, &asked); break;
    case ASK_SEEN: marks_take_ok(sim, person, &asked); break;
    default: break;
    }
}

/* The clock has jumped so far that a time limit is over. */
static bool is_out_of_time(const struct sim *sim, const struct person *person)
{
    const struct config *config = harness_core(sim->harness, 0)->server->config;
    uint64_t seconds = (harness_monotonic(sim->harness) - person->begun_us) / 1000000;
    return seconds >= (person->is_logged_in ? 3 * config->ping_s : config->login_time_s);
}

/* All that a person asked for before they ended their side is answered. */
static bool is_served(const struct person *person)
{
    return person->has_ended && person->asked_count == 0 && !(person->is_logged_in && person->wants_live);
}

/* The clock has jumped so far that the time is over in which the server waits until a close frame is read; here that of
 * an erasure, which closes the user's connections at any time. */
static bool may_miss_close(const struct sim *sim, const struct person *person)
{
    uint64_t open_us = harness_monotonic(sim->harness) - person->begun_us;
    return model_cut_maybe(&sim->model, person->user) > 0 && open_us >= LINGER_US;
}

/* Without a close frame the server closes connections that do not read, those that are too late, and when it stops
 * those that are no WebSockets yet. */
static void check_end(const struct sim *sim, const struct person *person)
{
    if (sim->is_stopping && !person->has_head)
        return;
    if (person->has_ended && !person->has_close && !person->was_stalled && !is_out_of_time(sim, person)
        && !may_miss_close(sim, person))
        sim_fail("%s ended their side, and the connection is closed without a close frame, %u requests unanswered",
                 sim->names[person->user], person->asked_count);
}

/* The reason for which the server closes a connection must be true. */
static void take_close(struct sim *sim, struct person *person, uint64_t code)
{
    bool is_true =
        (code == 1000 && is_served(person)) || (code == 4002 && is_out_of_time(sim, person))
        || (code == 1001 && sim->is_stopping)
        || (code == ERASURE_CLOSE_CODE && model_cut_maybe(&sim->model, person->user) > 0)
        || code == 4001 /* a turn may bring more than the limit */ || (code == 1011 && disk_trouble().failed_reads > 0);
    if (!is_true)
        sim_fail("%s: the connection is closed with %llu", sim->names[person->user], (unsigned long long)code);
    sim->tally.slow += code == 4001;
    person->has_close = true;
    client_drop(person->client); /* it closes too */
}

/* An answer to what a rude connection said before its login. */
static bool is_to_rudeness(const struct value *frame)
{
    const struct value *id = value_get(frame, "id");
    return id == NULL ? strcmp(value_text(frame, "op"), "error") == 0 : value_number(frame, "id") >= SIM_RUDE_ID;
}

static void take_frame(struct sim *sim, struct person *person, const struct value *frame)
{
    const char *op = value_text(frame, "op");
    if (value_get(frame, "close") != NULL)
        take_close(sim, person, value_number(frame, "close")); /* the end follows */
    else if (strcmp(op, "msg") == 0) {
        person_take_message(sim, person, frame);
    } else if (strcmp(op, "live") == 0) {
        if (!person->wants_live)
            sim_fail("%s: live, which nobody waits for", sim->names[person->user]);
        person->wants_live = false;
    } else if (strcmp(op, "seen") == 0 || strcmp(op, "seen_by") == 0) {
        marks_take_push(sim, person, frame, op[4] != '\0');
    } else if (is_to_rudeness(frame)) {
        rude_take(&person->rude, frame, SIM_RUDE_ID);
    } else {
        take_reply(sim, person, frame);
    }
}

void person_take(struct sim *sim, uint32_t index)
{
    struct person *person = &sim->people[index];
    person->asked_anew = false;
    if (person->client == NULL || person->is_stalled)
        return;
    if (!person->has_head)
        person->has_head = client_take_head(person->client);
    if (person->has_head)
        for (const struct value *frame; (frame = frame_next(&sim->reader, person->client)) != NULL;)
            take_frame(sim, person, frame);
    if (client_is_closed(person->client)) {
        check_end(sim, person);
        person_lose(sim, index, false);
    }
}
