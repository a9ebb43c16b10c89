/* client_fixture.h: a client on a transport that is this test: it holds what the client sent, a clock stands still
 * until it is moved, and every random wait is the longest one. */
#ifndef CHITCHAT_TESTS_CLIENT_FIXTURE_H
#define CHITCHAT_TESTS_CLIENT_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "cli/client.h"
#include "cli/client_transport.h"

#define FIXTURE_SENT_MAX 64u

struct fixture {
    struct client_transport transport;
    struct clock clock;
    uint64_t now_us;
    struct client *client;
    bool is_connected;
    uint16_t end_code;
    uint32_t logins;                /* that the transport was called for */
    json_t *sent[FIXTURE_SENT_MAX]; /* owned */
    uint32_t sent_count;
    uint32_t begun;   /* connections */
    char calls[4096]; /* what the handler was called with, a word each */
};

static inline struct fixture *fixture_of(struct client_transport *transport)
{
    return container_of(transport, struct fixture, transport);
}

static void fixture_begin(struct client_transport *transport, struct client *client)
{
    (void)client;
    fixture_of(transport)->begun++;
}

static void fixture_send(struct client_transport *transport, const char *text, size_t bytes)
{
    struct fixture *fixture = fixture_of(transport);
    cr_assert(fixture->is_connected && fixture->sent_count < FIXTURE_SENT_MAX);
    fixture->sent[fixture->sent_count++] = json_loadb(text, bytes, 0, NULL);
}

static void fixture_logged_in(struct client_transport *transport)
{
    fixture_of(transport)->logins++;
}

static void fixture_end(struct client_transport *transport, uint16_t code)
{
    fixture_of(transport)->is_connected = false;
    fixture_of(transport)->end_code = code;
}

static int fixture_wants(const struct client_transport *transport, struct pollfd *poll_r)
{
    (void)transport, (void)poll_r;
    return -1;
}

static void fixture_step(struct client_transport *transport, short revents)
{
    (void)transport, (void)revents;
}

static void fixture_close(struct client_transport *transport)
{
    (void)transport;
}

static uint64_t fixture_time(struct clock *clock)
{
    return container_of(clock, struct fixture, clock)->now_us;
}

static uint64_t fixture_random(uint64_t max)
{
    return max;
}

static void __attribute__((format(printf, 2, 3))) fixture_tell(struct fixture *fixture, const char *format, ...)
{
    size_t used = strlen(fixture->calls);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fixture->calls + used, sizeof fixture->calls - used, format, arguments);
    va_end(arguments);
}

static void fixture_on_state(void *context, enum client_state state, const char *why)
{
    static const char *const names[] = {"connecting", "logging-in", "replay", "live", "waiting", "stopped"};
    (void)why;
    fixture_tell(context, "%s ", names[state]);
}

static void fixture_on_message(void *context, const struct client_message *message)
{
    fixture_tell(context, "%s%llu:%s ", message->is_own ? "own" : "msg", (unsigned long long)message->ts,
                 message->text);
}

static void fixture_on_outcome(void *context, const struct client_outcome *outcome)
{
    fixture_tell(context, "%s:%s%s ", outcome->error != NULL ? outcome->error : "ok", outcome->text,
                 outcome->is_dup ? ":dup" : "");
}

static void fixture_on_reset(void *context, uint64_t last)
{
    fixture_tell(context, "reset:%llu ", (unsigned long long)last);
}

static void fixture_on_cut(void *context, uint64_t first)
{
    fixture_tell(context, "cut:%llu ", (unsigned long long)first);
}

static void fixture_on_skipped(void *context, uint64_t until)
{
    fixture_tell(context, "skipped:%llu ", (unsigned long long)until);
}

static void fixture_on_push(void *context, const json_t *push)
{
    fixture_tell(context, "push:%s ", json_string_value(json_object_get(push, "op")));
}

/* `options` may have a token file, an epoch and a cursor. */
static struct fixture *fixture_open(struct client_options options)
{
    char error[CLIENT_ERROR_BYTES] = "";
    struct fixture *fixture = calloc(1, sizeof *fixture);
    cr_assert_not_null(fixture);
    fixture->now_us = 1000000;
    fixture->clock = (struct clock){.wall_us = fixture_time, .monotonic_us = fixture_time};
    fixture->transport = (struct client_transport){fixture_begin, fixture_send, fixture_logged_in, fixture_end,
                                                   fixture_wants, fixture_step, fixture_close};
    options.url = "ws://test";
    options.user = options.token_file != NULL ? NULL : "alice";
    options.transport = &fixture->transport;
    options.clock = &fixture->clock;
    options.random = fixture_random;
    options.handler =
        (struct client_handler){fixture,          fixture_on_state, fixture_on_message, fixture_on_outcome,
                                fixture_on_reset, fixture_on_cut,   fixture_on_skipped, fixture_on_push};
    cr_assert_eq(client_open(&fixture->client, &options, error), 0, "%s", error);
    return fixture;
}

static void fixture_forget_sent(struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->sent_count; i++)
        json_decref(fixture->sent[i]);
    fixture->sent_count = 0;
}

static void fixture_close_all(struct fixture *fixture)
{
    client_close(&fixture->client);
    fixture_forget_sent(fixture);
    free(fixture);
}

/* The words of the handler since the last call. */
static void fixture_assert_called(struct fixture *fixture, const char *wanted)
{
    cr_expect_str_eq(fixture->calls, wanted, "called: %s\nwanted: %s", fixture->calls, wanted);
    fixture->calls[0] = '\0';
}

/* The frame that was sent with this index since fixture_forget_sent, without its id, as JSON with sorted keys. */
static void fixture_assert_sent(struct fixture *fixture, uint32_t index, const char *wanted)
{
    cr_assert_gt(fixture->sent_count, index, "only %u frames were sent", fixture->sent_count);
    json_t *copy = json_copy(fixture->sent[index]);
    json_object_del(copy, "id");
    if (json_object_get(copy, "key") != NULL && strlen(json_string_value(json_object_get(copy, "key"))) == 32)
        json_object_del(copy, "key");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    cr_expect_str_eq(text, wanted, "sent: %s\nwanted: %s", text, wanted);
    free(text);
    json_decref(copy);
}

/* The server says this; % in it stands for the id of the frame that was sent last. */
static void fixture_say(struct fixture *fixture, const char *text)
{
    char frame[1024];
    const char *place = strchr(text, '%');
    json_int_t id = fixture->sent_count == 0
                        ? 0
                        : json_integer_value(json_object_get(fixture->sent[fixture->sent_count - 1], "id"));
    if (place == NULL)
        (void)snprintf(frame, sizeof frame, "%s", text);
    else
        (void)snprintf(frame, sizeof frame, "%.*s%lld%s", (int)(place - text), text, (long long)id, place + 1);
    cr_assert(fixture->is_connected);
    client_on_heard(fixture->client);
    client_on_frame(fixture->client, frame, strlen(frame));
}

static void fixture_pass(struct fixture *fixture, uint64_t us)
{
    fixture->now_us += us;
    client_step(fixture->client, 0);
}

/* The next attempt reaches the server, up to the login that it sends. */
static void fixture_connect(struct fixture *fixture)
{
    client_step(fixture->client, 0);
    fixture_forget_sent(fixture);
    fixture->is_connected = true;
    client_on_open(fixture->client);
}

static void fixture_drop(struct fixture *fixture, uint16_t code)
{
    fixture->is_connected = false;
    client_on_end(fixture->client, &(struct client_end){.code = code, .reason = "gone"});
}

#endif
