/* client.c: the states of a client, and what happens in time. */
#include "cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/state.h"
#include "cli/client_link.h"
#include "cli/client_private.h"
#include "protocol/request.h"
#include "protocol/utf8.h"

#define MS_US 1000u
#define SECOND_US UINT64_C(1000000)
#define JITTER_FIRST_US (SECOND_US / 2)
#define JITTER_MAX_US (30 * SECOND_US)
#define DEAD_AFTER_US (10 * SECOND_US)
#define WAIT_MS_MAX 60000u
/* The server knows a key for 24 hours; a little less, as its clock is another one. */
#define KEY_US (UINT64_C(23) * 3600 * SECOND_US)
#define CLOSE_NORMAL 1000u
#define CLOSE_DEAD 4000u

static uint64_t random_number(void)
{
    uint64_t number;
    ssize_t bytes = getrandom(&number, sizeof number, 0);
    ASSERT(bytes == sizeof number);
    return number;
}

static uint64_t random_up_to(uint64_t max)
{
    return random_number() % (max + 1);
}

uint64_t client_now_us(const struct client *client)
{
    return clock_monotonic_us(client->clock);
}

uint64_t client_jitter_us(const struct client *client, uint32_t n)
{
    uint64_t max_us = n < 6 ? JITTER_FIRST_US << n : JITTER_MAX_US;
    return client->options.random(max_us < JITTER_MAX_US ? max_us : JITTER_MAX_US);
}

/* -- states -- */

static const uint8_t transitions[] = {
    [CLIENT_CONNECTING] = STATE_TO(CLIENT_LOGGING_IN) | STATE_TO(CLIENT_WAITING) | STATE_TO(CLIENT_STOPPED),
    [CLIENT_LOGGING_IN] =
        STATE_TO(CLIENT_REPLAY) | STATE_TO(CLIENT_LIVE) | STATE_TO(CLIENT_WAITING) | STATE_TO(CLIENT_STOPPED),
    [CLIENT_REPLAY] = STATE_TO(CLIENT_LIVE) | STATE_TO(CLIENT_WAITING) | STATE_TO(CLIENT_STOPPED),
    [CLIENT_LIVE] = STATE_TO(CLIENT_WAITING) | STATE_TO(CLIENT_STOPPED),
    [CLIENT_WAITING] = STATE_TO(CLIENT_CONNECTING) | STATE_TO(CLIENT_STOPPED) | STATE_TO(CLIENT_WAITING),
    [CLIENT_STOPPED] = 0,
};

void client_set_state(struct client *client, enum client_state state, const char *why)
{
    ASSERT_TRANSITION(transitions, client->state, state);
    client->state = state;
    if (why != NULL)
        (void)snprintf(client->why, sizeof client->why, "%s", why);
    if (client->options.handler.on_state != NULL)
        client->options.handler.on_state(client->options.handler.context, state, why != NULL ? why : "");
}

/* Nothing of the connection is left: requests have no reply, the outbox waits. */
static void leave(struct client *client)
{
    struct list *link;
    struct list pending;
    client->ping_due_us = 0;
    client_outbox_disconnect(&client->outbox);
    list_init(&pending);
    while ((link = list_shift(&client->pending)) != NULL)
        list_append(&pending, link);
    while ((link = list_shift(&pending)) != NULL) {
        struct client_pending *request = container_of(link, struct client_pending, link);
        if (request->on_reply != NULL)
            request->on_reply(request->context, NULL);
        free(request);
    }
}

void client_wait_again(struct client *client, uint16_t code, uint64_t least_us, const char *why)
{
    uint64_t jitter_us = client_jitter_us(client, client->attempt);
    ASSERT(client->state != CLIENT_WAITING);
    client->transport->end(client->transport, code);
    client->attempt++;
    client->due_us = client_now_us(client) + (jitter_us > least_us ? jitter_us : least_us + jitter_us);
    client_set_state(client, CLIENT_WAITING, why);
    leave(client);
}

void client_stop(struct client *client, uint16_t code, const char *why)
{
    client->transport->end(client->transport, code);
    client_set_state(client, CLIENT_STOPPED, why);
    leave(client);
}

bool client_is_logged_in(const struct client *client)
{
    return client->state == CLIENT_REPLAY || client->state == CLIENT_LIVE;
}

/* -- what the transport says -- */

/* One is begun, and neither side has ended it. */
static bool has_connection(const struct client *client)
{
    return client->state != CLIENT_WAITING && client->state != CLIENT_STOPPED;
}

void client_on_open(struct client *client)
{
    ASSERT(client->state == CLIENT_CONNECTING);
    client_set_state(client, CLIENT_LOGGING_IN, NULL);
    client_login_send(client);
}

void client_on_heard(struct client *client)
{
    ASSERT(has_connection(client));
    client->heard_us = client_now_us(client);
    client->ping_due_us = 0;
}

/* What section 9 says of the codes after which a client stays away. */
static bool is_final(uint16_t code)
{
    return code == 1002 || code == 1003 || code == 1007 || code == 1009 || code == 4201;
}

void client_on_end(struct client *client, const struct client_end *end)
{
    ASSERT(has_connection(client));
    ASSERT(end->reason != NULL);
    if (end->code == 4101)
        client->is_expired = true;
    if (is_final(end->code) || (end->is_hopeless && !client->was_logged_in))
        client_stop(client, CLOSE_NORMAL, end->reason);
    else
        client_wait_again(client, CLOSE_NORMAL, end->retry_after_ms * MS_US, end->reason);
}

/* -- time -- */

static void step_connection(struct client *client, uint64_t now_us)
{
    if (client->ping_due_us != 0 && now_us >= client->ping_due_us) {
        client_wait_again(client, CLOSE_DEAD, 0, "the server does not answer");
        return;
    }
    if (client->ping_due_us == 0 && now_us >= client->heard_us + client->ping_us) {
        client->ping_due_us = now_us + DEAD_AFTER_US;
        (void)client_request(client, json_pack("{s:s}", "op", "ping"), NULL, NULL);
    }
    if (client->token[0] != '\0' && now_us >= client->token_due_us)
        client_token_check(client);
    if (client_is_logged_in(client))
        client_pump(client);
}

void client_step(struct client *client, short revents)
{
    uint64_t now_us = client_now_us(client);
    ASSERT(!client->is_busy);
    client->is_busy = true;
    client->transport->step(client->transport, revents);
    if (client->state == CLIENT_WAITING && now_us >= client->due_us)
        client_connect(client);
    else if ((client->state == CLIENT_CONNECTING || client->state == CLIENT_LOGGING_IN) && now_us >= client->due_us)
        client_wait_again(client, CLOSE_DEAD, 0, "the server does not answer to a login");
    else if (client_is_logged_in(client))
        step_connection(client, now_us);
    client->is_busy = false;
}

static uint64_t earlier(uint64_t a_us, uint64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

/* When client_step has something to do though nothing comes. */
static uint64_t next_us(const struct client *client)
{
    if (client->state == CLIENT_STOPPED)
        return UINT64_MAX;
    if (!client_is_logged_in(client))
        return client->due_us;
    uint64_t due_us = client->ping_due_us != 0 ? client->ping_due_us : client->heard_us + client->ping_us;
    if (client->token[0] != '\0')
        due_us = earlier(due_us, client->token_due_us);
    return earlier(due_us, client_outbox_due_us(&client->outbox));
}

int client_wants(const struct client *client, struct pollfd *poll_r)
{
    uint64_t now_us = client_now_us(client), due_us = next_us(client);
    uint64_t ms = due_us <= now_us ? 0 : (due_us - now_us + MS_US - 1) / MS_US;
    *poll_r = (struct pollfd){.fd = -1};
    int transport_ms = client->transport->wants(client->transport, poll_r);
    if (transport_ms >= 0 && (uint64_t)transport_ms < ms)
        ms = (uint64_t)transport_ms;
    return (int)(ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX);
}

void client_wait(struct client *client, int timeout_ms)
{
    struct pollfd fd;
    int ms = client_wants(client, &fd);
    int ready = poll(&fd, 1, ms < timeout_ms ? ms : timeout_ms);
    client_step(client, ready > 0 ? fd.revents : 0);
}

/* -- requests -- */

void client_put(struct client *client, json_t *object)
{
    ASSERT(client->state == CLIENT_LOGGING_IN || client_is_logged_in(client));
    char *text = json_dumps(object, JSON_COMPACT);
    ASSERT(text != NULL);
    client->transport->send(client->transport, text, strlen(text));
    free(text);
    json_decref(object);
}

bool client_request(struct client *client, json_t *request, client_on_reply *on_reply, void *context)
{
    ASSERT(json_is_string(json_object_get(request, "op")));
    ASSERT(json_object_get(request, "id") == NULL);
    if (!client_is_logged_in(client)) {
        json_decref(request);
        return false;
    }
    struct client_pending *pending = calloc(1, sizeof *pending);
    ASSERT(pending != NULL);
    *pending = (struct client_pending){.id = client->next_id++, .on_reply = on_reply, .context = context};
    list_init(&pending->link);
    list_append(&client->pending, &pending->link);
    json_object_set_new(request, "id", json_integer((json_int_t)pending->id));
    client_put(client, request);
    return true;
}

/* A first attempt may have been stored, and the server may have forgotten its key. */
static bool is_expired(const struct client_item *item, uint64_t now_us)
{
    return item->tried_us != 0 && now_us - item->tried_us > KEY_US;
}

static void expire(struct client *client, struct client_item *item)
{
    const struct client_outcome outcome = {.number = item->number,
                                           .to = client_item_to(item),
                                           .text = item->text,
                                           .key = item->key,
                                           .error = "expired",
                                           .reason = "it was sent a day ago and has no reply: look whether it is in "
                                                     "the history before you send it again"};
    if (client->options.handler.on_outcome != NULL)
        client->options.handler.on_outcome(client->options.handler.context, &outcome);
    client_outbox_remove(&client->outbox, item);
}

void client_pump(struct client *client)
{
    struct client_item *item;
    uint64_t now_us = client_now_us(client);
    while (client_is_logged_in(client) && (item = client_outbox_next(&client->outbox, now_us)) != NULL) {
        if (is_expired(item, now_us)) {
            expire(client, item);
            continue;
        }
        client_outbox_sent(item, client->next_id++, now_us);
        client_put(client, json_pack("{s:s,s:I,s:s,s:s,s:s}", "op", "send", "id", (json_int_t)item->request, "to",
                                     client_item_to(item), "text", item->text, "key", item->key));
    }
}

/* Behind the prefix of the client as many random digits again. */
static void make_key(const struct client *client, char key[LIMIT_KEY_BYTES + 1])
{
    (void)snprintf(key, LIMIT_KEY_BYTES + 1, "%s%016llx", client->key_prefix, (unsigned long long)random_number());
}

/* Why this can never be sent; NULL: it can. */
static const char *find_fault(const struct client *client, const char *to, const char *text, const char *key)
{
    if (!request_is_user_name(span_of(to)))
        return "the recipient is no user name: 1 to 128 printable ASCII characters, no blanks, quotes or backslashes";
    if (text[0] == '\0')
        return "the text is empty";
    if (strlen(text) > client->text_bytes_max)
        return "the text is too long: send it in parts";
    if (!utf8_is_valid(span_of(text)))
        return "the text is not UTF-8";
    if (key != NULL && (key[0] == '\0' || strlen(key) > LIMIT_KEY_BYTES || !utf8_is_valid(span_of(key))))
        return "the key must have 1 to 64 bytes of UTF-8";
    return NULL;
}

const char *client_send(struct client *client, const char *to, const char *text, const char *key, uint64_t *number_r)
{
    char random_key[LIMIT_KEY_BYTES + 1];
    const char *fault = find_fault(client, to, text, key);
    if (fault != NULL)
        return fault;
    if (key == NULL)
        make_key(client, random_key);
    *number_r = client->next_number++;
    (void)client_outbox_add(&client->outbox, *number_r, key != NULL ? key : random_key, to, text);
    return NULL;
}

/* -- opening and closing -- */

static int check_options(const struct client_options *options, char error[CLIENT_ERROR_BYTES])
{
    char token[CLIENT_TOKEN_BYTES];
    ASSERT(options->epoch == NULL || strlen(options->epoch) < CLIENT_EPOCH_BYTES);
    if (options->user == NULL && options->token_file == NULL)
        (void)snprintf(error, CLIENT_ERROR_BYTES,
                       "a user or a file with a token is needed: give --user or --token-file");
    else if (options->user != NULL && !request_is_user_name(span_of(options->user)))
        (void)snprintf(error, CLIENT_ERROR_BYTES,
                       "--user must be a user name: 1 to 128 printable ASCII characters, no blanks, quotes or "
                       "backslashes");
    else if (options->token_file == NULL || client_token_read(options->token_file, token, error, CLIENT_ERROR_BYTES))
        return 0;
    return -1;
}

int client_open(struct client **client_r, const struct client_options *options, char error[CLIENT_ERROR_BYTES])
{
    *client_r = NULL;
    struct client_transport *transport = options->transport;
    ASSERT(options->url != NULL || transport != NULL);
    if (check_options(options, error) != 0 || (transport == NULL && client_link_open(&transport, options, error) != 0))
        return -1;
    struct client *client = calloc(1, sizeof *client);
    ASSERT(client != NULL);
    client->options = *options;
    client->transport = transport;
    clock_init_system(&client->system_clock);
    client->clock = options->clock != NULL ? options->clock : &client->system_clock;
    if (options->random == NULL)
        client->options.random = random_up_to;
    client->state = CLIENT_WAITING; /* without an end: the first connect needs no wait */
    client->text_bytes_max = LIMIT_TEXT_BYTES;
    client->next_id = client->next_number = 1;
    list_init(&client->pending);
    client_outbox_init(&client->outbox);
    (void)snprintf(client->key_prefix, sizeof client->key_prefix, "%016llx", (unsigned long long)random_number());
    if (options->user != NULL)
        strcpy(client->user, options->user);
    if (options->epoch != NULL) {
        strcpy(client->epoch, options->epoch);
        client->cursor = options->cursor;
    }
    client->due_us = client_now_us(client);
    *client_r = client;
    return 0;
}

void client_close(struct client **client)
{
    if (*client == NULL)
        return;
    ASSERT(!(*client)->is_busy);
    (*client)->is_busy = true;
    (*client)->transport->close((*client)->transport);
    (*client)->state = CLIENT_STOPPED;
    leave(*client);
    client_outbox_fini(&(*client)->outbox);
    free(*client);
    *client = NULL;
}

uint32_t client_unsent(const struct client *client)
{
    return client->outbox.count;
}

enum client_state client_state(const struct client *client)
{
    return client->state;
}

const char *client_user(const struct client *client)
{
    return client->user;
}

uint64_t client_cursor(const struct client *client)
{
    return client->cursor;
}

const char *client_epoch(const struct client *client)
{
    return client->epoch;
}

uint64_t client_last(const struct client *client)
{
    return client->last;
}

const char *client_why(const struct client *client)
{
    return client->why;
}
