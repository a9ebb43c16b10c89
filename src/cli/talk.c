#include "cli/talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/show.h"

#define LINE_BYTES 1024u
#define RETRY_MS 200u
#define RETRY_MS_MAX 10000u

struct client_options talk_options(const struct config *config)
{
    return (struct client_options){
        .url = config->url, .user = config->user, .token_file = config->token_file, .tls_ca = config->ca_file};
}

uint64_t talk_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* -- requests -- */

static void ask_on_reply(void *context, const json_t *reply)
{
    struct talk_request *ask = context;
    ASSERT(ask->is_waiting && ask->reply == NULL);
    ask->is_waiting = false;
    ask->reply = json_incref((json_t *)(uintptr_t)reply);
}

/* How long to wait before the request is sent again; 0: the reply is what was asked for, or a refusal for good. */
static uint64_t retry_ms(const json_t *reply)
{
    const char *code = client_error_code(reply);
    json_int_t asked = json_integer_value(json_object_get(reply, "retry_after"));
    if (code == NULL
        || (strcmp(code, "busy") != 0 && strcmp(code, "rate_limited") != 0 && strcmp(code, "unavailable") != 0))
        return 0;
    return asked > RETRY_MS ? (uint64_t)(asked < RETRY_MS_MAX ? asked : RETRY_MS_MAX) : RETRY_MS;
}

static enum talk_exit complain_late(const struct talk_request *ask)
{
    char line[LINE_BYTES];
    const char *why = client_why(ask->client);
    (void)snprintf(line, sizeof line, "no answer within %u s%s%s: try again, or give a longer --timeout",
                   ask->timeout_s, why[0] != '\0' ? ": " : "", why);
    return (enum talk_exit)command_complain(TALK_LATE, line);
}

static enum talk_exit complain_refused(const json_t *reply)
{
    char line[LINE_BYTES];
    const char *message = json_string_value(json_object_get(reply, "message"));
    (void)snprintf(line, sizeof line, "the server refuses this: %s: %s", client_error_code(reply),
                   message != NULL ? message : "");
    return (enum talk_exit)command_complain(TALK_REFUSED, line);
}

/* Sends the request whenever it is due, until there is a reply that counts. */
static enum talk_exit wait_for_reply(struct talk_request *ask, json_t *request)
{
    uint64_t now_ms, retry_at_ms = 0, due_ms = talk_now_ms() + (uint64_t)ask->timeout_s * 1000;
    ask->is_waiting = false;
    ask->reply = NULL;
    while ((now_ms = talk_now_ms()) < due_ms) {
        if (client_state(ask->client) == CLIENT_STOPPED)
            return (enum talk_exit)command_complain(TALK_STOPPED, client_why(ask->client));
        if (ask->reply != NULL && retry_ms(ask->reply) == 0)
            return TALK_DONE;
        if (ask->reply != NULL) {
            retry_at_ms = now_ms + retry_ms(ask->reply);
            json_decref(ask->reply);
            ask->reply = NULL;
        }
        if (!ask->is_waiting && now_ms >= retry_at_ms)
            ask->is_waiting = client_request(ask->client, json_copy(request), ask_on_reply, ask);
        client_wait(ask->client,
                    !ask->is_waiting && retry_at_ms > now_ms ? (int)(retry_at_ms - now_ms) : (int)(due_ms - now_ms));
    }
    return complain_late(ask);
}

enum talk_exit talk_ask(struct talk_request *ask, json_t *request, json_t **reply_r)
{
    ASSERT(json_is_object(request));
    enum talk_exit code = wait_for_reply(ask, request);
    json_decref(request);
    if (code == TALK_DONE && client_error_code(ask->reply) != NULL)
        code = complain_refused(ask->reply);
    if (code == TALK_DONE)
        *reply_r = ask->reply;
    else
        json_decref(ask->reply);
    ask->reply = NULL;
    return code;
}

/* -- output -- */

void talk_put_line(struct buffer *out, const struct client_message *message)
{
    show_put_time(out, message->ts, "%Y-%m-%d %H:%M:%S ");
    show_put(out, span_of(message->from), SHOW_LINE);
    show_put_raw(out, " -> ");
    show_put(out, span_of(message->to), SHOW_LINE);
    show_put_raw(out, ": ");
    show_put(out, span_of(message->text), SHOW_LINE);
    show_put_raw(out, "\n");
}

void talk_put_json(struct buffer *out, const struct client_message *message, const char *op)
{
    json_t *object = json_object();
    ASSERT(object != NULL);
    if (op != NULL)
        json_object_set_new(object, "op", json_string(op));
    json_object_set_new(object, "ts", json_integer((json_int_t)message->ts));
    json_object_set_new(object, "mid", json_string(message->mid));
    json_object_set_new(object, "from", json_string(message->from));
    json_object_set_new(object, "to", json_string(message->to));
    if (message->key != NULL)
        json_object_set_new(object, "key", json_string(message->key));
    json_object_set_new(object, "text", json_string(message->text));
    char *text = json_dumps(object, JSON_COMPACT);
    ASSERT(text != NULL);
    show_put_raw(out, text);
    show_put_raw(out, "\n");
    free(text);
    json_decref(object);
}

bool talk_flush(struct buffer *out)
{
    uint32_t written = 0;
    while (written < out->bytes) {
        ssize_t bytes = write(STDOUT_FILENO, out->data + written, out->bytes - written);
        if (bytes < 0 && errno != EINTR) {
            out->bytes = 0;
            return false;
        }
        written += bytes > 0 ? (uint32_t)bytes : 0;
    }
    out->bytes = 0;
    return true;
}
