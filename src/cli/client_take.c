/* client_take.c: what comes: entries, replies, pushes (PROTOCOL.md, sections 6 to 8 and 12). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/client_private.h"

#define CLOSE_PROTOCOL 1002u
#define CLOSE_GAP 4000u

const char *client_error_code(const json_t *reply)
{
    const char *op = json_string_value(json_object_get(reply, "op"));
    const char *code = json_string_value(json_object_get(reply, "code"));
    return op != NULL && strcmp(op, "error") == 0 && code != NULL ? code : NULL;
}

static bool read_ts(const json_t *object, const char *name, uint64_t *ts_r)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ts_r = (uint64_t)json_integer_value(value);
    return true;
}

bool client_message_read(const json_t *entry, struct client_message *message_r)
{
    *message_r = (struct client_message){.mid = json_string_value(json_object_get(entry, "mid")),
                                         .from = json_string_value(json_object_get(entry, "from")),
                                         .to = json_string_value(json_object_get(entry, "to")),
                                         .text = json_string_value(json_object_get(entry, "text")),
                                         .key = json_string_value(json_object_get(entry, "key"))};
    return read_ts(entry, "ts", &message_r->ts) && message_r->mid != NULL && message_r->from != NULL
           && message_r->to != NULL && message_r->text != NULL;
}

/* -- outcomes -- */

static void report(struct client *client, const struct client_outcome *outcome)
{
    if (client->options.handler.on_outcome != NULL)
        client->options.handler.on_outcome(client->options.handler.context, outcome);
}

static struct client_outcome outcome_of(const struct client_item *item)
{
    return (struct client_outcome){
        .number = item->number, .to = client_item_to(item), .text = item->text, .key = item->key};
}

static void accept(struct client *client, struct client_item *item, uint64_t ts, const char *mid, bool is_dup)
{
    struct client_outcome outcome = outcome_of(item);
    ASSERT(mid != NULL);
    outcome.ts = ts;
    outcome.mid = mid;
    outcome.is_dup = is_dup;
    report(client, &outcome);
    client_outbox_remove(&client->outbox, item);
}

/* -- entries -- */

/* Takes the next entry of the timeline. False: one is missing before it, so the replay has to bring both. */
static bool advance(struct client *client, uint64_t ts, uint64_t prev)
{
    if (prev == client->cursor && ts > client->cursor) {
        client->cursor = ts;
        return true;
    }
    client_wait_again(client, CLOSE_GAP, 0, "the server left out a message: asking for it again");
    return false;
}

static void show(struct client *client, const struct client_message *message)
{
    if (client->options.handler.on_message != NULL)
        client->options.handler.on_message(client->options.handler.context, message);
}

/* Also of a message whose `dup` came before its entry. */
static bool is_key_of(const struct client *client, const char *key)
{
    return key != NULL && strncmp(key, client->key_prefix, CLIENT_KEY_PREFIX_CHARS) == 0;
}

static void take_msg(struct client *client, const json_t *object)
{
    struct client_message message;
    uint64_t prev;
    if (!client_message_read(object, &message) || !read_ts(object, "prev", &prev)) {
        client_wait_again(client, CLOSE_PROTOCOL, 0, "the server sent a message that cannot be read");
        return;
    }
    if (!advance(client, message.ts, prev))
        return;
    struct client_item *item = NULL;
    if (message.key != NULL && strcmp(message.from, client->user) == 0)
        item = client_outbox_find_key(&client->outbox, message.to, message.key);
    message.is_own = item != NULL || is_key_of(client, message.key);
    show(client, &message);
    if (item != NULL)
        accept(client, item, message.ts, message.mid, false);
}

/* The `ok` of a send: with `prev` it is the entry, at its place in the order of the timeline. */
static void take_sent(struct client *client, struct client_item *item, const json_t *reply)
{
    uint64_t ts, prev;
    const char *mid = json_string_value(json_object_get(reply, "mid"));
    bool has_prev = read_ts(reply, "prev", &prev);
    if (!read_ts(reply, "ts", &ts) || mid == NULL) {
        client_wait_again(client, CLOSE_PROTOCOL, 0, "the server sent a reply that cannot be read");
        return;
    }
    const struct client_message message = {.ts = ts,
                                           .mid = mid,
                                           .from = client->user,
                                           .to = client_item_to(item),
                                           .text = item->text,
                                           .key = item->key,
                                           .is_own = true};
    bool is_next = has_prev && prev == client->cursor && ts > prev;
    if (is_next) {
        client->cursor = ts;
        show(client, &message);
    }
    accept(client, item, ts, mid, !has_prev);
    if (has_prev && !is_next)
        (void)advance(client, ts, prev);
}

/* -- errors of sends -- */

static void refuse(struct client *client, struct client_item *item, const json_t *error, const char *code)
{
    ASSERT(item->is_in_flight);
    uint64_t now_us = client_now_us(client), retry_after_ms = 0;
    const char *message = json_string_value(json_object_get(error, "message"));
    if (strcmp(code, "busy") == 0 || strcmp(code, "rate_limited") == 0) {
        (void)read_ts(error, "retry_after", &retry_after_ms);
        client_outbox_hold(item, now_us + retry_after_ms * 1000);
        return;
    }
    if (strcmp(code, "unavailable") == 0) {
        client_outbox_hold(item, now_us + client_jitter_us(client, item->failures++));
        return;
    }
    struct client_outcome outcome = outcome_of(item);
    outcome.error = code;
    outcome.reason = message != NULL ? message : "";
    report(client, &outcome);
    client_outbox_remove(&client->outbox, item);
}

/* -- replies -- */

static struct client_pending *find_pending(const struct client *client, uint64_t id)
{
    for (struct list *at = client->pending.next; at != &client->pending; at = at->next)
        if (container_of(at, struct client_pending, link)->id == id)
            return container_of(at, struct client_pending, link);
    return NULL;
}

static void answer(struct client_pending *pending, const json_t *reply)
{
    list_remove(&pending->link);
    if (pending->on_reply != NULL)
        pending->on_reply(pending->context, reply);
    free(pending);
}

static void take_reply(struct client *client, uint64_t id, const json_t *reply)
{
    const char *code = client_error_code(reply);
    struct client_item *item = client_outbox_find_request(&client->outbox, id);
    struct client_pending *pending = find_pending(client, id);
    if (id == client->login_id && code == NULL)
        client_login_take(client, reply);
    else if (id == client->login_id)
        client_login_refused(client, reply);
    else if (item != NULL && code == NULL)
        take_sent(client, item, reply);
    else if (item != NULL)
        refuse(client, item, reply, code);
    else if (pending != NULL)
        answer(pending, reply);
}

static void take_push(struct client *client, const char *op, const json_t *push)
{
    if (strcmp(op, "msg") == 0) {
        take_msg(client, push);
    } else if (strcmp(op, "live") == 0) {
        client->attempt = 0;
        if (client->state == CLIENT_REPLAY)
            client_set_state(client, CLIENT_LIVE, NULL);
    } else if (client->options.handler.on_push != NULL) {
        client->options.handler.on_push(client->options.handler.context, push);
    }
}

void client_on_frame(struct client *client, const char *text, size_t bytes)
{
    uint64_t id;
    ASSERT(client->state == CLIENT_LOGGING_IN || client_is_logged_in(client));
    json_t *object = json_loadb(text, bytes, 0, NULL);
    const char *op = json_string_value(json_object_get(object, "op"));
    if (op == NULL)
        client_wait_again(client, CLOSE_PROTOCOL, 0, "the server sent what is no frame of this protocol");
    else if (read_ts(object, "id", &id))
        take_reply(client, id, object);
    else if (client_is_logged_in(client))
        take_push(client, op, object);
    json_decref(object);
}
