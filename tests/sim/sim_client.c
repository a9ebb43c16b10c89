#include "sim_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim_marks.h"

static uint32_t below(struct sim *sim, uint32_t bound)
{
    return chaos_below(&sim->chaos, bound);
}

/* -- requests -- */

struct sim_request *person_ask(struct person *person, enum sim_ask what, uint32_t *id_r)
{
    if (person->has_ended)
        return NULL;
    for (uint32_t i = 0; i < SIM_REQUESTS_MAX; i++)
        if (person->asked[i].ask == ASK_NOTHING) {
            person->asked[i] = (struct sim_request){.ask = (uint8_t)what, .place = ++person->place};
            person->asked_count++;
            *id_r = i;
            return &person->asked[i];
        }
    return NULL;
}

static void send_login(struct sim *sim, struct person *person, uint64_t kept)
{
    uint32_t id, how = below(sim, 4);
    HARNESS_MUST(person_ask(person, ASK_LOGIN, &id) != NULL);
    person->had_after = how > 0;
    person->asked_after = how > 1 ? kept : 0;
    char *fields = person->login_fields;
    if (person->had_after)
        snprintf(fields, sizeof person->login_fields, ",\"after\":%llu%s%s%s", (unsigned long long)person->asked_after,
                 sim->epoch[0] == '\0' ? "" : ",\"epoch\":\"", sim->epoch, sim->epoch[0] == '\0' ? "" : "\"");
    if (person->had_after && below(sim, 2) == 0) {
        person->max = below(sim, 8) == 0 ? 0 : below(sim, SIM_MAX_MOST + 1);
        snprintf(fields + strlen(fields), sizeof person->login_fields - strlen(fields), ",\"max\":%u", person->max);
    }
    client_send(person->client, "{\"op\":\"login\",\"id\":%u,\"user\":\"%s\"%s}", id, sim->names[person->user], fields);
}

static void send_number(struct sim *sim, struct person *person, uint32_t send)
{
    uint32_t id;
    char key[32] = "", text[SIM_TEXT_BYTES];
    struct sim_request *asked = person_ask(person, ASK_SEND, &id);
    if (asked == NULL)
        return;
    asked->send = send;
    if (sim->model.sends[send].is_keyed)
        snprintf(key, sizeof key, ",\"key\":\"k%u\"", send);
    model_text(send, text);
    client_send(person->client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%s\"%s}", id,
                sim->names[sim->model.sends[send].to], text, key);
    sim_note("%s sends s%u to %s", sim->names[person->user], send, sim->names[sim->model.sends[send].to]);
}

uint32_t sim_take_unsure(struct sim *sim, uint32_t user)
{
    for (uint32_t i = 0; i < sim->unsure_count; i++) {
        uint32_t send = sim->unsure[i];
        if (sim->model.sends[send].from != user)
            continue;
        sim->unsure[i] = sim->unsure[--sim->unsure_count];
        return send;
    }
    return SIM_SENDS_MAX;
}

static void act_send(struct sim *sim, struct person *person)
{
    if (person->asked_count >= SIM_REQUESTS_MAX)
        return;
    uint32_t unsure = below(sim, 3) == 0 ? sim_take_unsure(sim, person->user) : SIM_SENDS_MAX;
    if (unsure != SIM_SENDS_MAX) {
        sim->model.sends[unsure].was_resent = true;
        send_number(sim, person, unsure);
        return;
    }
    send_number(sim, person,
                model_send(&sim->model, person->user, below(sim, SIM_USERS), below(sim, 2) == 0, person->conn));
}

void person_ask_page(struct sim *sim, struct person *person, struct sim_request want)
{
    uint32_t id;
    char fields[160] = "";
    struct sim_request *asked = person_ask(person, ASK_HISTORY, &id);
    if (asked == NULL)
        return;
    want.ask = ASK_HISTORY;
    want.place = asked->place;
    person->asked_anew = true;
    want.known = model_newest(&sim->model, person->user);
    *asked = want;
    if (want.oldest_first)
        snprintf(fields, sizeof fields, ",\"after\":%llu", (unsigned long long)want.after);
    if (want.before != LIMIT_TS_MAX)
        snprintf(fields + strlen(fields), sizeof fields - strlen(fields), ",\"before\":%llu",
                 (unsigned long long)want.before);
    if (want.with != SIM_USERS)
        snprintf(fields + strlen(fields), sizeof fields - strlen(fields), ",\"with\":\"%s\"", sim->names[want.with]);
    client_send(person->client, "{\"op\":\"history\",\"id\":%u,\"limit\":%u%s}", id, want.limit, fields);
}

/* From some ts on, or backwards from some ts, or between two; now and then only what was exchanged with one user. */
static void act_history(struct sim *sim, struct person *person)
{
    uint32_t how = below(sim, 4);
    const struct sim_seen *seen = sim->model.seen[person->user];
    uint32_t count = sim->model.seen_count[person->user];
    struct sim_request want = {.before = LIMIT_TS_MAX, .with = SIM_USERS, .limit = 1 + below(sim, SIM_PAGE_LIMIT)};
    want.oldest_first = (how & 1) != 0;
    if (want.oldest_first && count > 0 && below(sim, 4) > 0)
        want.after = seen[below(sim, count)].ts;
    if ((how & 2) != 0 && count > 0)
        want.before = seen[below(sim, count)].ts + below(sim, 2);
    if (below(sim, 4) == 0)
        want.with = (uint8_t)below(sim, SIM_USERS);
    if (want.after < want.before)
        person_ask_page(sim, person, want);
}

static void act_ping(struct person *person)
{
    uint32_t id;
    if (person_ask(person, ASK_PING, &id) != NULL)
        client_send(person->client, "{\"op\":\"ping\",\"id\":%u}", id);
}

/* -- connections -- */

static bool may(const struct sim *sim, enum sim_trouble trouble)
{
    return (sim->without >> trouble & 1) == 0;
}

static void act_any(struct sim *sim, struct person *person, uint32_t what)
{
    if (what < 660) {
        for (uint32_t i = 1 + below(sim, 4); i > 0; i--)
            act_send(sim, person);
    } else if (what < 740) {
        for (uint32_t i = 1 + below(sim, 3); i > 0; i--)
            marks_ask_seen(sim, person);
    } else if (what < 860) {
        for (uint32_t i = 1 + below(sim, 3); i > 0; i--)
            act_history(sim, person);
    } else if (what < 890) {
        marks_ask_peers(sim, person, (struct sim_request){.before = LIMIT_TS_MAX, .limit = 1 + below(sim, SIM_USERS)});
    } else {
        act_ping(person);
    }
}

/* One in so many connections is rude; one in so many rude ones does not read for a while, or never. */
#define RUDE_IN 6u
#define RUDE_STALLED_IN 4u
#define RUDE_SILENT_IN 4u
/* One in so many connections ends its side right after its login and a request or two. */
#define END_AT_ONCE_IN 12u

static void go_on_rudely(struct sim *sim, struct person *person)
{
    for (uint32_t i = below(sim, 12); i > 0; i--)
        act_any(sim, person, below(sim, 950));
    if (chaos_hits(&sim->chaos, RUDE_SILENT_IN))
        rude_send_silent(&sim->chaos, person->client);
    if (chaos_hits(&sim->chaos, RUDE_STALLED_IN) && may(sim, TROUBLE_STALL)) {
        person->is_stalled = person->was_stalled = true;
        person->reads_never = below(sim, 3) == 0;
        client_stall(person->client, true);
    }
}

static void end_side(struct sim *sim, uint32_t index)
{
    struct person *person = &sim->people[index];
    if (person->has_ended)
        return;
    sim_note("person %u ends their side, %u requests unanswered", index, person->asked_count);
    person->has_ended = true;
    client_end(person->client);
    sim->tally.ended++;
}

static void connect_as(struct sim *sim, uint32_t index, uint32_t user)
{
    struct person *person = &sim->people[index];
    bool is_rude = chaos_hits(&sim->chaos, RUDE_IN) && may(sim, TROUBLE_RUDE);
    uint64_t kept = person->kept_user == user ? person->kept_cursor : 0;
    *person = (struct person){.user = user, .kept_user = user, .kept_cursor = kept, .conn = ++sim->conn_count};
    person->max = SIM_NO_MAX;
    person->begun_us = harness_monotonic(sim->harness);
    person->cut = sim->model.cut[user];
    person->client = client_begin(sim->harness, below(sim, sim->shards));
    if (is_rude)
        rude_send(&person->rude, &sim->chaos, person->client, SIM_RUDE_ID);
    send_login(sim, person, kept);
    if (is_rude)
        go_on_rudely(sim, person);
    sim->tally.rude += is_rude;
    sim_note("person %u connects as %s%s, after %u bad frames and %u pings%s", index, sim->names[user],
             person->login_fields, person->rude.count, person->rude.pings, person->is_stalled ? ", not reading" : "");
    if (chaos_hits(&sim->chaos, END_AT_ONCE_IN) && may(sim, TROUBLE_END)) {
        act_any(sim, person, below(sim, 950));
        end_side(sim, index);
    }
}

void person_lose(struct sim *sim, uint32_t index, bool with_harness)
{
    struct person *person = &sim->people[index];
    if (person->client == NULL)
        return;
    for (uint32_t i = 0; i < SIM_REQUESTS_MAX; i++)
        if (person->asked[i].ask == ASK_SEND && sim->model.sends[person->asked[i].send].is_keyed)
            sim->unsure[sim->unsure_count++] = person->asked[i].send;
    if (person->is_logged_in) {
        person->kept_user = person->user;
        person->kept_cursor = person->cursor;
    }
    if (with_harness || client_is_closed(person->client))
        client_free(&person->client);
    person->client = NULL;
}

static void turn_slow_or_back(struct sim *sim, uint32_t index)
{
    struct person *person = &sim->people[index];
    person->is_stalled = !person->is_stalled;
    person->was_stalled = true;
    client_stall(person->client, person->is_stalled);
    sim_note("person %u %s", index, person->is_stalled ? "goes slow" : "reads again");
}

static void vanish(struct sim *sim, uint32_t index)
{
    sim_note("person %u vanishes", index);
    client_drop(sim->people[index].client);
    person_lose(sim, index, false);
}

/* Before the reply to the login: a rude one may disconnect, and one that does not read may begin to. */
static void wait_for_login(struct sim *sim, uint32_t index)
{
    struct person *person = &sim->people[index];
    if (person->rude.count + person->rude.pings == 0)
        return;
    uint32_t what = below(sim, 40);
    if (what < 2 && may(sim, TROUBLE_VANISH))
        vanish(sim, index);
    else if (what < 10 && person->is_stalled && !person->reads_never)
        turn_slow_or_back(sim, index);
}

void person_act(struct sim *sim, uint32_t index)
{
    struct person *person = &sim->people[index];
    if (person->client == NULL) {
        connect_as(sim, index, below(sim, 3) == 0 ? below(sim, SIM_USERS) : person->kept_user);
        return;
    }
    if (!person->is_logged_in) {
        wait_for_login(sim, index);
        return;
    }
    uint32_t what = below(sim, 1000);
    if (what < 950)
        act_any(sim, person, what);
    else if (what < 975 && may(sim, TROUBLE_STALL))
        turn_slow_or_back(sim, index);
    else if (what >= 975 && what < 990 && may(sim, TROUBLE_VANISH))
        vanish(sim, index);
    else if (what >= 990 && may(sim, TROUBLE_END))
        end_side(sim, index);
}

/* -- the end -- */

void people_probe(struct sim *sim)
{
    for (uint32_t user = 0; user < SIM_USERS; user++) {
        struct person person = {.user = user, .conn = ++sim->conn_count, .max = SIM_NO_MAX};
        person.client = client_login(sim->harness, below(sim, sim->shards), sim->names[user], "");
        uint32_t number = model_send(&sim->model, user, below(sim, SIM_USERS), false, person.conn);
        send_number(sim, &person, number);
        harness_run_until_idle(sim->harness);
        for (const struct value *frame; (frame = frame_next(&sim->reader, person.client)) != NULL;) {
            if (strcmp(value_text(frame, "op"), "error") == 0)
                sim_fail("the disk is without trouble, and a send of %s is refused: %s", sim->names[user],
                         value_text(frame, "message"));
            if (value_get(frame, "id") != NULL)
                model_ok(&sim->model, number, value_number(frame, "ts"), value_text(frame, "mid"), false);
        }
        if (sim->model.sends[number].outcome != SIM_STORED)
            sim_fail("a send of %s is never answered", sim->names[user]);
    }
}

static uint32_t pages(struct sim *sim, struct client *client, uint32_t *sends, bool oldest_first)
{
    uint32_t count = 0;
    uint64_t bound = oldest_first ? 0 : LIMIT_TS_MAX;
    for (bool more = true; more;) {
        client_send(client, "{\"op\":\"history\",\"id\":1,\"limit\":%u,\"%s\":%llu}", 1 + below(sim, 900),
                    oldest_first ? "after" : "before", (unsigned long long)bound);
        harness_run_until_idle(sim->harness);
        const struct value *page = frame_expect(&sim->reader, client, "history"),
                           *messages = value_get(page, "messages");
        uint32_t page_count = messages == NULL ? 0 : messages->count, index = 0;
        for (const struct value *message = page_count == 0 ? NULL : messages->first; message != NULL;
             message = message->next, index++)
            sends[count + (oldest_first ? index : page_count - 1 - index)] =
                model_number(&sim->model, value_text(message, "text"));
        count += page_count;
        more = value_is_true(page, "more");
        if (page_count == 0 && more)
            sim_fail("an empty page has `more`: paging does not end");
        if (more)
            bound = value_number(page, "next");
    }
    for (uint32_t i = 0; !oldest_first && i < count / 2; i++) {
        uint32_t swap = sends[i];
        sends[i] = sends[count - 1 - i];
        sends[count - 1 - i] = swap;
    }
    return count;
}

/* A login with `max` is given the last entries of the timeline. */
static void check_max(struct sim *sim, uint32_t user, const uint32_t *sends, uint32_t count)
{
    struct person person = {.user = user, .cut = sim->model.cut[user], .max = below(sim, count + 2)};
    struct client *client = client_connect(sim->harness, below(sim, sim->shards));
    client_send(client, "{\"op\":\"login\",\"id\":0,\"user\":\"%s\",\"after\":0,\"max\":%u}", sim->names[user],
                person.max);
    harness_run_until_idle(sim->harness);
    const struct value *ok = frame_expect(&sim->reader, client, "ok");
    person_take_first(sim, &person, ok);
    person_take_skipped(sim, &person, ok);
    uint32_t at = person.max < count ? count - person.max : 0;
    if (person.has_skipped != (person.max < count))
        sim_fail("%s: skipped_until is wrong with max %u of %u entries", sim->names[user], person.max, count);
    for (const struct value *frame; (frame = frame_next(&sim->reader, client)) != NULL;) {
        if (strcmp(value_text(frame, "op"), "msg") != 0)
            continue;
        person_take_message(sim, &person, frame);
        if (at == count || model_number(&sim->model, value_text(frame, "text")) != sends[at++])
            sim_fail("%s: a login with max %u is given other entries than the last", sim->names[user], person.max);
    }
    if (at != count)
        sim_fail("%s: a login with max %u is not given the last entries", sim->names[user], person.max);
}

void people_check(struct sim *sim, uint32_t user)
{
    static uint32_t forwards[SIM_SENDS_MAX], backwards[SIM_SENDS_MAX], replayed[SIM_SENDS_MAX];
    struct person person = {.user = user, .cut = sim->model.cut[user], .max = SIM_NO_MAX};
    struct client *client = client_connect(sim->harness, below(sim, sim->shards));
    client_send(client, "{\"op\":\"login\",\"id\":0,\"user\":\"%s\",\"after\":0}", sim->names[user]);
    harness_run_until_idle(sim->harness);
    uint32_t count = 0;
    for (const struct value *frame; (frame = frame_next(&sim->reader, client)) != NULL;) {
        if (strcmp(value_text(frame, "op"), "ok") == 0)
            person_take_first(sim, &person, frame);
        if (strcmp(value_text(frame, "op"), "msg") != 0)
            continue;
        person_take_message(sim, &person, frame);
        replayed[count++] = model_number(&sim->model, value_text(frame, "text"));
    }
    uint32_t forward_count = pages(sim, client, forwards, true);
    uint32_t backward_count = pages(sim, client, backwards, false);
    if (forward_count != count || backward_count != count || memcmp(forwards, replayed, count * sizeof *forwards) != 0
        || memcmp(backwards, replayed, count * sizeof *backwards) != 0)
        sim_fail("%s: %u entries by replay, %u and %u by pages, or not the same ones", sim->names[user], count,
                 forward_count, backward_count);
    model_check_timeline(&sim->model, user, replayed, count);
    check_max(sim, user, replayed, count);
    marks_check(sim, client, user, replayed, count);
}
