#include "sim_client.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t below(struct sim *sim, uint32_t bound)
{
    return chaos_below(&sim->chaos, bound);
}

/* -- what comes -- */

static void take_entry(struct sim *sim, struct person *person, const json_t *frame, uint32_t send)
{
    uint64_t ts = frame_number(frame, "ts"), prev = frame_number(frame, "prev");
    if (prev != person->cursor)
        sim_fail("%s: an entry at %llu follows %llu, the cursor is %llu", sim->names[person->user], (unsigned long long)ts,
                 (unsigned long long)prev, (unsigned long long)person->cursor);
    if (ts <= prev)
        sim_fail("%s: ts %llu does not come after %llu", sim->names[person->user], (unsigned long long)ts,
                 (unsigned long long)prev);
    person->cursor = ts;
    model_prev(&sim->model, person->user, send, prev);
}

static void take_message(struct sim *sim, struct person *person, const json_t *frame)
{
    take_entry(sim, person, frame, model_number(&sim->model, frame_text(frame, "text")));
    model_see(&sim->model, person->user, frame_text(frame, "text"), frame_text(frame, "from"), frame_text(frame, "to"),
              frame_text(frame, "key"), frame_number(frame, "ts"), frame_text(frame, "mid"));
}

static void take_login(struct sim *sim, struct person *person, const json_t *frame)
{
    bool is_reset = json_is_true(json_object_get(frame, "reset"));
    const char *epoch = frame_text(frame, "epoch");
    if (sim->epoch[0] == '\0')
        snprintf(sim->epoch, sizeof sim->epoch, "%s", epoch);
    if (strcmp(sim->epoch, epoch) != 0 || is_reset)
        sim_fail("%s: the data set is another one", sim->names[person->user]);
    uint64_t last = frame_number(frame, "last");
    person->is_logged_in = true;
    person->wants_live = person->had_after;
    person->cursor = person->had_after ? person->asked_after : last;
}

static void take_sent(struct sim *sim, struct person *person, const json_t *frame, uint32_t send)
{
    bool is_dup = json_is_true(json_object_get(frame, "dup"));
    if (strcmp(frame_text(frame, "op"), "error") == 0) {
        model_error(&sim->model, send, frame_text(frame, "code"));
        if (sim->model.sends[send].is_keyed && sim->model.sends[send].outcome == SIM_UNKNOWN)
            sim->unsure[sim->unsure_count++] = send;
        return;
    }
    if (!is_dup)
        take_entry(sim, person, frame, send);
    model_ok(&sim->model, send, frame_number(frame, "ts"), frame_text(frame, "mid"), is_dup);
}

static void take_page(struct sim *sim, struct person *person, const json_t *frame, const struct sim_request *asked)
{
    uint64_t last = asked->after;
    size_t index;
    json_t *message;
    json_array_foreach(json_object_get(frame, "messages"), index, message)
    {
        uint64_t ts = frame_number(message, "ts");
        if (ts <= last || (asked->before > 0 && ts >= asked->before))
            sim_fail("%s: a page is out of order or out of its range at %llu", sim->names[person->user],
                     (unsigned long long)ts);
        last = ts;
        model_see(&sim->model, person->user, frame_text(message, "text"), frame_text(message, "from"),
                  frame_text(message, "to"), frame_text(message, "key"), ts, frame_text(message, "mid"));
    }
}

static void take_reply(struct sim *sim, struct person *person, const json_t *frame)
{
    uint64_t id = frame_number(frame, "id");
    struct sim_request *asked = &person->asked[id % SIM_REQUESTS_MAX];
    const char *op = frame_text(frame, "op");
    if (asked->ask == ASK_NOTHING)
        sim_fail("%s: a reply to nothing, id %llu", sim->names[person->user], (unsigned long long)id);
    bool is_error = strcmp(op, "error") == 0;
    if (is_error && asked->ask != ASK_SEND)
        sim_fail("%s: %s: %s", sim->names[person->user], frame_text(frame, "code"), frame_text(frame, "message"));
    switch (asked->ask) {
    case ASK_LOGIN: take_login(sim, person, frame); break;
    case ASK_SEND: take_sent(sim, person, frame, asked->send); break;
    case ASK_HISTORY: take_page(sim, person, frame, asked); break;
    default: break;
    }
    asked->ask = ASK_NOTHING;
    person->asked_count--;
}

static void take_frame(struct sim *sim, struct person *person, const json_t *frame)
{
    const char *op = frame_text(frame, "op");
    if (json_object_get(frame, "close") != NULL)
        return; /* the end follows */
    if (strcmp(op, "msg") == 0) {
        take_message(sim, person, frame);
    } else if (strcmp(op, "live") == 0) {
        if (!person->wants_live)
            sim_fail("%s: live, which nobody waits for", sim->names[person->user]);
        person->wants_live = false;
    } else {
        take_reply(sim, person, frame);
    }
}

void person_take(struct sim *sim, uint32_t index)
{
    struct person *person = &sim->people[index];
    if (person->client == NULL || person->is_stalled)
        return;
    if (!person->has_head)
        person->has_head = client_take_head(person->client);
    if (person->has_head)
        for (json_t *frame; (frame = client_next(person->client)) != NULL; json_decref(frame))
            take_frame(sim, person, frame);
    if (client_is_closed(person->client))
        person_lose(sim, index, false);
}

/* -- what goes -- */

static struct sim_request *ask(struct person *person, enum sim_ask what, uint32_t *id_r)
{
    for (uint32_t i = 0; i < SIM_REQUESTS_MAX; i++)
        if (person->asked[i].ask == ASK_NOTHING) {
            person->asked[i] = (struct sim_request){.ask = (uint8_t)what};
            person->asked_count++;
            *id_r = i;
            return &person->asked[i];
        }
    return NULL;
}

static void connect_as(struct sim *sim, uint32_t index, uint32_t user)
{
    struct person *person = &sim->people[index];
    uint32_t id, how = below(sim, 4);
    char fields[128] = "";
    uint64_t kept = person->kept_user == user ? person->kept_cursor : 0;
    *person = (struct person){.user = user, .kept_user = user, .kept_cursor = kept, .conn = ++sim->conn_count};
    person->client = client_begin(sim->world, below(sim, sim->shards));
    WORLD_MUST(ask(person, ASK_LOGIN, &id) != NULL);
    person->had_after = how > 0;
    person->asked_after = how > 1 ? kept : 0;
    if (person->had_after)
        snprintf(fields, sizeof fields, ",\"after\":%llu%s%s%s", (unsigned long long)person->asked_after,
                 sim->epoch[0] == '\0' ? "" : ",\"epoch\":\"", sim->epoch, sim->epoch[0] == '\0' ? "" : "\"");
    client_send(person->client, "{\"op\":\"login\",\"id\":%u,\"user\":\"%s\"%s}", id, sim->names[user], fields);
    sim_note("person %u connects as %s%s", index, sim->names[user], fields);
}

static void send_number(struct sim *sim, struct person *person, uint32_t send)
{
    uint32_t id;
    char key[32] = "", text[SIM_TEXT_BYTES];
    struct sim_request *asked = ask(person, ASK_SEND, &id);
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

/* A keyed send of this user whose fate is not known; SIM_SENDS_MAX: none. */
static uint32_t take_unsure(struct sim *sim, uint32_t user)
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
    uint32_t unsure = below(sim, 3) == 0 ? take_unsure(sim, person->user) : SIM_SENDS_MAX;
    if (unsure != SIM_SENDS_MAX) {
        sim->model.sends[unsure].was_resent = true;
        send_number(sim, person, unsure);
        return;
    }
    send_number(sim, person, model_send(&sim->model, person->user, below(sim, SIM_USERS), below(sim, 2) == 0, person->conn));
}

static void act_history(struct sim *sim, struct person *person)
{
    uint32_t id, how = below(sim, 4);
    struct sim_request *asked = ask(person, ASK_HISTORY, &id);
    if (asked == NULL)
        return;
    if ((how & 1) != 0)
        asked->after = person->cursor > 5000 ? person->cursor - below(sim, 5000) : 0;
    if ((how & 2) != 0)
        asked->before = person->cursor + 1;
    char bounds[96] = "";
    if ((how & 1) != 0)
        snprintf(bounds, sizeof bounds, ",\"after\":%llu", (unsigned long long)asked->after);
    if ((how & 2) != 0)
        snprintf(bounds + strlen(bounds), sizeof bounds - strlen(bounds), ",\"before\":%llu",
                 (unsigned long long)asked->before);
    client_send(person->client, "{\"op\":\"history\",\"id\":%u,\"limit\":%u%s}", id, 1 + below(sim, 60), bounds);
}

static void act_ping(struct person *person)
{
    uint32_t id;
    if (ask(person, ASK_PING, &id) != NULL)
        client_send(person->client, "{\"op\":\"ping\",\"id\":%u}", id);
}

void person_lose(struct sim *sim, uint32_t index, bool with_world)
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
    if (with_world || client_is_closed(person->client))
        client_free(&person->client);
    person->client = NULL;
}

void person_act(struct sim *sim, uint32_t index)
{
    struct person *person = &sim->people[index];
    if (person->client == NULL) {
        connect_as(sim, index, below(sim, 3) == 0 ? below(sim, SIM_USERS) : person->kept_user);
        return;
    }
    if (!person->is_logged_in)
        return;
    uint32_t what = below(sim, 1000);
    if (what < 700) {
        for (uint32_t i = 1 + below(sim, 4); i > 0; i--)
            act_send(sim, person);
    } else if (what < 850) {
        act_history(sim, person);
    } else if (what < 950) {
        act_ping(person);
    } else if (what < 975) {
        person->is_stalled = !person->is_stalled;
        client_stall(person->client, person->is_stalled);
        sim_note("person %u %s", index, person->is_stalled ? "goes slow" : "reads again");
    } else if (what < 990) {
        sim_note("person %u vanishes", index);
        client_drop(person->client);
        person_lose(sim, index, false);
    }
}

/* -- the end -- */

static uint32_t pages(struct sim *sim, struct client *client, uint32_t *sends, bool oldest_first)
{
    uint32_t count = 0;
    uint64_t bound = oldest_first ? 0 : LIMIT_TS_MAX;
    for (bool more = true; more;) {
        size_t index;
        json_t *message;
        client_send(client, "{\"op\":\"history\",\"id\":1,\"limit\":%u,\"%s\":%llu}", 1 + below(sim, 900),
                    oldest_first ? "after" : "before", (unsigned long long)bound);
        world_settle(sim->world);
        json_t *page = client_expect(client, "history");
        json_t *messages = json_object_get(page, "messages");
        json_array_foreach(messages, index, message)
            sends[count + (oldest_first ? index : json_array_size(messages) - 1 - index)] = model_number(&sim->model, frame_text(message, "text"));
        count += (uint32_t)json_array_size(messages);
        more = json_is_true(json_object_get(page, "more"));
        if (more)
            bound = frame_number(page, "next");
        json_decref(page);
    }
    for (uint32_t i = 0; !oldest_first && i < count / 2; i++) {
        uint32_t swap = sends[i];
        sends[i] = sends[count - 1 - i];
        sends[count - 1 - i] = swap;
    }
    return count;
}

void people_check(struct sim *sim, uint32_t user)
{
    static uint32_t forwards[SIM_SENDS_MAX], backwards[SIM_SENDS_MAX], replayed[SIM_SENDS_MAX];
    struct person person = {.user = user};
    struct client *client = client_connect(sim->world, below(sim, sim->shards));
    client_send(client, "{\"op\":\"login\",\"id\":0,\"user\":\"%s\",\"after\":0}", sim->names[user]);
    world_settle(sim->world);
    uint32_t count = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame)) {
        if (strcmp(frame_text(frame, "op"), "msg") != 0)
            continue;
        take_message(sim, &person, frame);
        replayed[count++] = model_number(&sim->model, frame_text(frame, "text"));
    }
    uint32_t forward_count = pages(sim, client, forwards, true);
    uint32_t backward_count = pages(sim, client, backwards, false);
    if (forward_count != count || backward_count != count || memcmp(forwards, replayed, count * sizeof *forwards) != 0
        || memcmp(backwards, replayed, count * sizeof *backwards) != 0)
        sim_fail("%s: %u entries by replay, %u and %u by pages, or not the same ones", sim->names[user], count,
                 forward_count, backward_count);
    model_check_timeline(&sim->model, user, replayed, count);
}
