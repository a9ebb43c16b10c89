/* client_login.c: connecting and logging in (PROTOCOL.md, sections 5.1, 10, 11 and 15). */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/client_private.h"

#define SECOND_US UINT64_C(1000000)
/* An attempt that has no reply to its login by then is given up. */
#define ATTEMPT_US (20 * SECOND_US)
#define TOKEN_EVERY_US (10 * SECOND_US)
#define CLOSE_NORMAL 1000u

static json_t *make_login(struct client *client)
{
    json_t *login = json_pack("{s:s,s:I}", "op", "login", "id", (json_int_t)(client->login_id = client->next_id++));
    ASSERT(login != NULL);
    if (client->options.user != NULL)
        json_object_set_new(login, "user", json_string(client->options.user));
    if (client->token[0] != '\0')
        json_object_set_new(login, "token", json_string(client->token));
    return login;
}

/* Waits without a connection, as there is no token to log in with. */
static void wait_for_token(struct client *client, const char *why)
{
    client->due_us = client_now_us(client) + client_jitter_us(client, client->attempt++);
    client_set_state(client, CLIENT_WAITING, why);
}

/* False: it is no time to connect. */
static bool take_token(struct client *client)
{
    char why[CLIENT_WHY_BYTES];
    if (client->options.token_file == NULL)
        return true;
    if (!client_token_read(client->options.token_file, client->token, why, sizeof why)) {
        client->token[0] = '\0';
        wait_for_token(client, why);
        return false;
    }
    if (!client->is_expired || strcmp(client->token, client->accepted) != 0)
        return true;
    (void)snprintf(why, sizeof why, "the token has expired: put a new one into %s", client->options.token_file);
    wait_for_token(client, why);
    return false;
}

void client_connect(struct client *client)
{
    ASSERT(client->state == CLIENT_WAITING);
    if (!take_token(client))
        return;
    client->due_us = client_now_us(client) + ATTEMPT_US;
    client_set_state(client, CLIENT_CONNECTING, NULL);
    client->transport->begin(client->transport, client);
}

void client_login_send(struct client *client)
{
    ASSERT(client->state == CLIENT_LOGGING_IN);
    json_t *login = make_login(client);
    client->asked_replay = client->epoch[0] != '\0';
    if (client->asked_replay) {
        json_object_set_new(login, "after", json_integer((json_int_t)client->cursor));
        json_object_set_new(login, "epoch", json_string(client->epoch));
        if (client->options.replay_max > 0)
            json_object_set_new(login, "max", json_integer(client->options.replay_max));
    }
    client_put(client, login);
}

static uint64_t number(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

/* Where this connection begins in the timeline. */
static void place(struct client *client, const json_t *reply, bool is_reset)
{
    const struct client_handler *handler = &client->options.handler;
    uint64_t first = number(reply, "first"), skipped = number(reply, "skipped_until");
    if (is_reset || !client->asked_replay)
        client->cursor = client->last;
    if (is_reset && handler->on_reset != NULL)
        handler->on_reset(handler->context, client->last);
    if (client->cursor < first)
        client->cursor = first;
    if (first > (is_reset ? 0 : client->first) && handler->on_cut != NULL)
        handler->on_cut(handler->context, first);
    client->first = first;
    if (skipped <= client->cursor)
        return;
    client->cursor = skipped;
    if (handler->on_skipped != NULL)
        handler->on_skipped(handler->context, skipped);
}

static void accept_token(struct client *client)
{
    strcpy(client->accepted, client->token);
    client->is_expired = false;
    client->token_due_us = client_now_us(client) + TOKEN_EVERY_US;
}

void client_login_take(struct client *client, const json_t *reply)
{
    const char *user = json_string_value(json_object_get(reply, "user"));
    const char *epoch = json_string_value(json_object_get(reply, "epoch"));
    uint64_t ping_s = number(reply, "ping"), text = number(json_object_get(reply, "limits"), "text");
    accept_token(client);
    if (client_is_logged_in(client))
        return; /* extended, with nothing else changed */
    if (user == NULL || epoch == NULL || strlen(user) > LIMIT_USER_BYTES || strlen(epoch) >= CLIENT_EPOCH_BYTES) {
        client_stop(client, CLOSE_NORMAL, "the server's reply to the login is none of this protocol: check the URL");
        return;
    }
    bool is_reset = json_is_true(json_object_get(reply, "reset"));
    strcpy(client->user, user);
    strcpy(client->epoch, epoch);
    client->was_logged_in = true;
    client->transport->logged_in(client->transport);
    client->last = number(reply, "last");
    client->ping_us = (ping_s > 0 ? ping_s : 25) * SECOND_US;
    if (text > 0)
        client->text_bytes_max = text;
    place(client, reply, is_reset);
    bool is_live = is_reset || !client->asked_replay;
    if (is_live)
        client->attempt = 0;
    client_set_state(client, is_live ? CLIENT_LIVE : CLIENT_REPLAY, NULL);
}

/* A token that was good once has only grown old; the file may get a new one. */
static void refuse_token(struct client *client, const char *why)
{
    if (client->accepted[0] == '\0' || strcmp(client->token, client->accepted) != 0) {
        client_stop(client, CLOSE_NORMAL, why);
        return;
    }
    client->is_expired = true;
    client_wait_again(client, CLOSE_NORMAL, 0, why);
}

void client_login_refused(struct client *client, const json_t *error)
{
    char why[CLIENT_WHY_BYTES];
    const char *code = client_error_code(error), *message = json_string_value(json_object_get(error, "message"));
    ASSERT(code != NULL);
    (void)snprintf(why, sizeof why, "the server refuses the login: %s: %s", code, message != NULL ? message : "");
    if (strcmp(code, "bad_token") == 0)
        refuse_token(client, why);
    else if (strcmp(code, "unavailable") == 0 || strcmp(code, "rate_limited") == 0 || strcmp(code, "busy") == 0)
        client_wait_again(client, CLOSE_NORMAL, number(error, "retry_after") * 1000, why);
    else
        client_stop(client, CLOSE_NORMAL, why);
}

/* A newer token extends the login. */
void client_token_check(struct client *client)
{
    char token[CLIENT_TOKEN_BYTES], why[CLIENT_WHY_BYTES];
    ASSERT(client_is_logged_in(client));
    client->token_due_us = client_now_us(client) + TOKEN_EVERY_US;
    if (!client_token_read(client->options.token_file, token, why, sizeof why) || strcmp(token, client->token) == 0)
        return;
    strcpy(client->token, token);
    client_put(client, make_login(client));
}
