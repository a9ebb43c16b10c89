/* command_history.c: `chitchat history`. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/limits.h"
#include "cli/command.h"
#include "cli/since.h"
#include "cli/talk.h"

#define LIMIT_DEFAULT 50u
#define LINE_BYTES 1024u

struct walk {
    const struct config *config;
    struct talk_request ask;
    struct buffer out;
    bool has_failed; /* stdout */
};

static void print(struct walk *walk, const json_t *messages)
{
    struct client_message message;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        if (!client_message_read(json_array_get(messages, i), &message))
            continue;
        if (walk->config->wants_json)
            talk_put_json(&walk->out, &message, NULL);
        else
            talk_put_line(&walk->out, &message);
    }
    walk->has_failed |= !talk_flush(&walk->out);
}

static json_t *make_request(const struct walk *walk, const char *bound, uint64_t ts, uint64_t limit)
{
    json_t *request =
        json_pack("{s:s,s:I,s:I}", "op", "history", "limit",
                  (json_int_t)(limit < LIMIT_PAGE_ENTRIES ? limit : LIMIT_PAGE_ENTRIES), bound, (json_int_t)ts);
    ASSERT(request != NULL);
    if (walk->config->with_user != NULL)
        json_object_set_new(request, "with", json_string(walk->config->with_user));
    return request;
}

static uint64_t next_of(const json_t *reply)
{
    return (uint64_t)json_integer_value(json_object_get(reply, "next"));
}

/* From `after` on, page by page. */
static enum talk_exit walk_forwards(struct walk *walk, uint64_t after)
{
    bool has_more = true;
    while (has_more && !walk->has_failed) {
        json_t *reply;
        enum talk_exit code = talk_ask(&walk->ask, make_request(walk, "after", after, LIMIT_PAGE_ENTRIES), &reply);
        if (code != TALK_DONE)
            return code;
        print(walk, json_object_get(reply, "messages"));
        has_more = json_is_true(json_object_get(reply, "more"));
        after = next_of(reply);
        json_decref(reply);
    }
    return TALK_DONE;
}

/* The newest `limit` above `since`: page by page back, and printed when all are there. */
static enum talk_exit walk_backwards(struct walk *walk, uint64_t since, uint64_t limit)
{
    enum talk_exit code = TALK_DONE;
    json_t *pages = json_array();
    uint64_t before = LIMIT_TS_MAX;
    bool has_more = true;
    while (has_more && limit > 0 && code == TALK_DONE) {
        json_t *reply, *request = make_request(walk, "before", before, limit);
        code = talk_ask(&walk->ask, request, &reply);
        if (code != TALK_DONE)
            break;
        json_t *messages = json_object_get(reply, "messages");
        const json_t *oldest = json_array_get(messages, 0);
        limit -= json_array_size(messages);
        has_more = json_is_true(json_object_get(reply, "more"))
                   && (oldest == NULL || (uint64_t)json_integer_value(json_object_get(oldest, "ts")) > since);
        before = next_of(reply);
        while (json_array_size(messages) > 0
               && (uint64_t)json_integer_value(json_object_get(json_array_get(messages, 0), "ts")) <= since)
            json_array_remove(messages, 0);
        json_array_append(pages, messages);
        json_decref(reply);
    }
    for (size_t i = json_array_size(pages); code == TALK_DONE && i > 0; i--)
        print(walk, json_array_get(pages, i - 1));
    json_decref(pages);
    return code;
}

static enum talk_exit walk_all(struct walk *walk, uint64_t since)
{
    const struct config *config = walk->config;
    if (config->since != NULL && config->limit == 0)
        return walk_forwards(walk, since);
    return walk_backwards(walk, since, config->limit != 0 ? config->limit : LIMIT_DEFAULT);
}

int command_history(const struct config *config)
{
    char error[CLIENT_ERROR_BYTES];
    uint64_t since = 0;
    struct timespec now;
    struct client_options options = talk_options(config);
    struct walk walk = {.config = config, .ask = {.timeout_s = config->timeout_s}};
    clock_gettime(CLOCK_REALTIME, &now);
    if (config->since != NULL
        && !since_parse(config->since, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000, &since))
        return command_complain(TALK_USAGE, "--since must be a time ago, as 36h or 7d, a date, as 2026-11-29 or "
                                            "2026-11-29T18:30, or a ts");
    if (client_open(&walk.ask.client, &options, error) != 0)
        return command_complain(TALK_USAGE, error);
    enum talk_exit code = walk_all(&walk, since > 0 ? since - 1 : 0);
    if (walk.has_failed)
        code = (enum talk_exit)command_complain(TALK_REFUSED, "stdout cannot be written");
    client_close(&walk.ask.client);
    buffer_fini(&walk.out);
    return (int)code;
}
