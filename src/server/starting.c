#include "server/starting.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/admin_tokens.h"
#include "base/assert.h"
#include "base/clock.h"
#include "cli/config.h"
#include "connection/tls_socket.h"
#include "protocol/http.h"
#include "protocol/json_put.h"
#include "server/core.h"
#include "server/metrics_text.h"

#define HEAD "Cache-Control: no-store\r\nConnection: close\r\n"
#define JSON_TYPE "application/json"
#define HEAD_BYTES 2048u
#define ANSWER_HEAD_BYTES 512u /* of what stands before a body */
#define REASON_BYTES 123u      /* of a close frame, after its code */
#define LISTENERS_MAX (CONFIG_LISTENS_MAX > CONFIG_ADMINS_MAX ? CONFIG_LISTENS_MAX : CONFIG_ADMINS_MAX)

/* A connection: its request is read, then it is answered, then its end is awaited. */
struct starting_client {
    struct tls_socket connection;
    uint64_t until_us; /* monotonic */
    bool is_answered;
    bool is_ended; /* our side: the answer is sent */
    size_t bytes;  /* of head */
    char head[HEAD_BYTES];
    char *answer; /* owned; NULL: none, or all of it is given to the connection */
    size_t answer_bytes, sent;
};

struct starting {
    pthread_t thread;
    struct clock clock;
    uint32_t count;
    uint32_t listen_count;
    bool with_tls[LISTENERS_MAX];
    struct tls_context *tls; /* borrowed; NULL: no listener has TLS */

    /* Shared. */
    pthread_mutex_t lock;
    char reason[REASON_BYTES + 1];
    bool is_standby, is_known;  /* the address of the owner is */
    const struct server *shown; /* for /metrics; NULL: they are not shown here */

    /* Of the thread. */
    uint32_t client_count;
    struct starting_client clients[STARTING_CLIENTS_MAX]; /* oldest first */
    struct pollfd polled[]; /* an eventfd that ends the thread, then the listening descriptors, then the clients' */
};

static struct pollfd *polled_clients(struct starting *starting)
{
    return starting->polled + 1 + starting->count;
}

static bool is_ending(const struct starting *starting)
{
    return starting->polled[0].revents != 0;
}

/* The value of a header, whose name is given in small letters with a line break before it and a colon behind; empty:
 * there is none. */
static struct span header_of(const struct starting_client *client, const char *name)
{
    size_t name_bytes = strlen(name);
    for (size_t at = 0; at + name_bytes < client->bytes; at++) {
        struct span value = {client->head + at + name_bytes, 0};
        const char *end = memchr(value.data, '\r', client->bytes - at - name_bytes);
        if (strncasecmp(client->head + at, name, name_bytes) != 0 || end == NULL)
            continue;
        value.bytes = (size_t)(end - value.data);
        return span_trim(value);
    }
    return (struct span){NULL, 0};
}

/* What the thread may say now. */
struct words {
    char reason[REASON_BYTES + 1];
    bool is_standby, is_known;
    const struct server *shown;
};

static struct words words_take(struct starting *starting)
{
    struct words words;
    pthread_mutex_lock(&starting->lock);
    memcpy(words.reason, starting->reason, sizeof words.reason);
    words.is_standby = starting->is_standby;
    words.is_known = starting->is_known;
    words.shown = starting->shown;
    pthread_mutex_unlock(&starting->lock);
    return words;
}

/* -- answers: malloc'ed, with their length; NULL: no memory, so the connection is closed -- */

/* `status`: further headers may follow in it. */
static char *put_answer(const char *status, const char *type, const char *body, size_t body_bytes, size_t *bytes_r)
{
    char *answer = malloc(ANSWER_HEAD_BYTES + body_bytes);
    if (answer == NULL)
        return NULL;
    int used =
        snprintf(answer, ANSWER_HEAD_BYTES, "HTTP/1.1 %s\r\nContent-Type: %s\r\n" HEAD "Content-Length: %zu\r\n\r\n",
                 status, type, body_bytes);
    ASSERT(used > 0 && (size_t)used < ANSWER_HEAD_BYTES);
    memcpy(answer + used, body, body_bytes);
    *bytes_r = (size_t)used + body_bytes;
    return answer;
}

static char *put_error(const char *status, const char *code, const char *message, size_t *bytes_r)
{
    char body[256 + LIMIT_ESCAPED_BYTES(REASON_BYTES)];
    char *at = JSON_PUT(body, "{\"error\":\"");
    at = json_put_escaped(at, span_of(code));
    at = JSON_PUT(at, "\",\"message\":\"");
    at = json_put_escaped(at, span_of(message));
    at = JSON_PUT(at, "\"}\n");
    return put_answer(status, JSON_TYPE, body, (size_t)(at - body), bytes_r);
}

/* The upgrade of a WebSocket, and a close frame with 1001. */
static char *put_close(const struct words *words, const struct starting_client *client, struct span key,
                       size_t *bytes_r)
{
    struct span protocols = header_of(client, "\r\nsec-websocket-protocol:");
    char accept[29];
    char *answer = malloc(ANSWER_HEAD_BYTES);
    if (answer == NULL)
        return NULL;
    http_accept_value(key, accept);
    bool has_protocol = protocols.bytes > 0 && memmem(protocols.data, protocols.bytes, "chitchat.v1", 11) != NULL;
    int used = snprintf(answer, ANSWER_HEAD_BYTES,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n%s\r\n\x88%c\x03\xe9%s",
                        accept, has_protocol ? "Sec-WebSocket-Protocol: chitchat.v1\r\n" : "",
                        (int)(2 + strlen(words->reason)), words->reason);
    ASSERT(used > 0 && (size_t)used < ANSWER_HEAD_BYTES);
    *bytes_r = (size_t)used;
    return answer;
}

static bool has_token(const struct server *server, const struct starting_client *client)
{
    struct span token = header_of(client, "\r\nauthorization: bearer ");
    return token.bytes > 0 && admin_tokens_have(server->admin_tokens, token);
}

/* No web page, and a Host that is known. */
static bool is_of_this_machine(const struct server *server, const struct starting_client *client)
{
    return header_of(client, "\r\norigin:").data == NULL
           && http_is_known_host(&server->cores[0]->conns.http, header_of(client, "\r\nhost:"));
}

/* By the rules of http/credential.h for an admin address. */
static char *put_metrics(const struct server *server, const struct starting_client *client, size_t *bytes_r)
{
    if (server->admin_tokens != NULL && !has_token(server, client))
        return put_error("401 Unauthorized\r\nWWW-Authenticate: Bearer", "bad_token",
                         "this needs a token: send Authorization: Bearer and a line of the file of --admin-token-file",
                         bytes_r);
    if (server->admin_tokens == NULL && !is_of_this_machine(server, client))
        return put_error("403 Forbidden", "forbidden",
                         "web pages may not use the admin address, nor who names a Host that is not known: use the "
                         "IP address or localhost, or start the server with --admin-token-file",
                         bytes_r);
    char *text = malloc(metrics_text_bytes_max(server));
    if (text == NULL)
        return NULL;
    char *answer = put_answer("200 OK", METRICS_CONTENT_TYPE, text, metrics_text_write(server, text), bytes_r);
    free(text);
    return answer;
}

static char *put_not_ready(const struct words *words, size_t *bytes_r)
{
    static const char unavailable[] = "503 Service Unavailable";
    char message[sizeof "standby, owner is " + REASON_BYTES];
    if (!words->is_standby)
        return put_error(unavailable, "starting", "the server reads its data: wait", bytes_r);
    (void)snprintf(message, sizeof message, "standby, owner is %s", words->is_known ? words->reason : "not known");
    return put_error(unavailable, "standby", message, bytes_r);
}

static bool begins_with(const struct starting_client *client, const char *text)
{
    size_t bytes = strlen(text);
    return client->bytes >= bytes && memcmp(client->head, text, bytes) == 0;
}

static bool is_head(const struct starting_client *client)
{
    return begins_with(client, "HEAD ");
}

/* GET or HEAD of `path`, which has a blank behind it. */
static bool asks_for(const struct starting_client *client, const char *path)
{
    size_t method_bytes = is_head(client) ? 5 : 4;
    size_t bytes = strlen(path);
    return (is_head(client) || begins_with(client, "GET ")) && client->bytes >= method_bytes + bytes
           && memcmp(client->head + method_bytes, path, bytes) == 0;
}

/* -- clients -- */

/* Sends what the socket takes. The rest follows when it takes more. */
static void answer_send(struct starting_client *client)
{
    if (client->answer != NULL) {
        ssize_t bytes =
            tls_socket_write(&client->connection, client->answer + client->sent, client->answer_bytes - client->sent);
        if (bytes == -EAGAIN)
            return;
        client->sent += bytes > 0 ? (size_t)bytes : 0;
        if (bytes > 0 && client->sent < client->answer_bytes)
            return;
        free(client->answer);
        client->answer = NULL;
    }
    client->is_ended = tls_socket_end(&client->connection);
}

/* NULL as `text`: there is no memory for it. */
static void answer_with(struct starting_client *client, char *text, size_t bytes)
{
    client->answer = text;
    client->answer_bytes = bytes;
    client->sent = 0;
    client->is_answered = true;
    answer_send(client);
}

static bool is_sending(const struct starting_client *client)
{
    return client->is_answered && !client->is_ended;
}

static void answer(struct starting *starting, struct starting_client *client)
{
    static const char live[] = "{\"status\":\"live\"}";
    struct words words = words_take(starting);
    struct span key = header_of(client, "\r\nsec-websocket-key:");
    char *text;
    size_t bytes = 0;
    if (key.bytes > 0)
        text = put_close(&words, client, key, &bytes);
    else if (asks_for(client, "/livez "))
        text = put_answer("200 OK", JSON_TYPE, live, strlen(live), &bytes);
    else if (asks_for(client, "/metrics ") && words.shown != NULL)
        text = put_metrics(words.shown, client, &bytes);
    else
        text = put_not_ready(&words, &bytes);
    if (text != NULL && is_head(client))
        bytes = (size_t)((char *)memmem(text, bytes, "\r\n\r\n", 4) + 4 - text);
    answer_with(client, text, bytes);
}

/* Plain HTTP on an address with TLS. */
static void refuse_plain(struct starting_client *client)
{
    struct span refusal = http_answer_not_tls();
    answer_with(client, strndup(refusal.data, refusal.bytes), refusal.bytes);
}

/* Reads what has come, and answers a complete head, or one that is too long. After the answer the client's end is
 * awaited: a close before it may reset the connection. False: the connection is over. */
static bool serve(struct starting *starting, short events, struct starting_client *client)
{
    bool was_sending = is_sending(client);
    if (was_sending && (events & POLLOUT) != 0)
        answer_send(client);
    if ((was_sending || !client->connection.waits_to_write) && (events & ~POLLOUT) == 0)
        return true;
    size_t used = client->is_answered ? 0 : client->bytes;
    ssize_t bytes = tls_socket_read(&client->connection, client->head + used, HEAD_BYTES - used);
    if (bytes == 0 && is_sending(client))
        return true; /* its side has ended: the answer is still sent */
    if (bytes == -EPROTO)
        refuse_plain(client);
    if (bytes <= 0)
        return bytes == -EAGAIN || bytes == -EPROTO;
    if (client->is_answered)
        return true;
    client->bytes += (size_t)bytes;
    if (client->bytes == HEAD_BYTES || memmem(client->head, client->bytes, "\r\n\r\n", 4) != NULL)
        answer(starting, client);
    return true;
}

static void drop(struct starting *starting, uint32_t index)
{
    struct pollfd *polled = polled_clients(starting) + index;
    struct starting_client *client = starting->clients + index;
    uint32_t behind = --starting->client_count - index;
    tls_socket_close(&client->connection);
    free(client->answer);
    memmove(polled, polled + 1, behind * sizeof *polled);
    memmove(client, client + 1, behind * sizeof *client);
}

static void serve_all(struct starting *starting)
{
    uint64_t now_us = clock_monotonic_us(&starting->clock);
    for (uint32_t i = starting->client_count; i-- > 0;) {
        struct pollfd *polled = polled_clients(starting) + i;
        struct starting_client *client = starting->clients + i;
        bool goes_on = polled->revents == 0 || serve(starting, polled->revents, client);
        if (goes_on && now_us >= client->until_us && !client->is_answered && client->bytes > 0)
            answer(starting, client);
        if (!goes_on || now_us >= client->until_us)
            drop(starting, i);
        else
            polled->events = is_sending(client) || client->connection.waits_to_write ? POLLOUT : POLLIN;
    }
}

/* Of too many clients the oldest goes. */
static void take(struct starting *starting, int fd, bool with_tls)
{
    struct tls_socket connection;
    if (!tls_socket_open(&connection, fd, with_tls ? starting->tls : NULL))
        return;
    if (starting->client_count == STARTING_CLIENTS_MAX)
        drop(starting, 0);
    uint32_t index = starting->client_count++;
    uint64_t time_us = (with_tls ? STARTING_TLS_CLIENT_MS : STARTING_CLIENT_MS) * UINT64_C(1000);
    polled_clients(starting)[index] = (struct pollfd){.fd = fd, .events = POLLIN};
    struct starting_client *client = starting->clients + index;
    client->connection = connection;
    client->until_us = clock_monotonic_us(&starting->clock) + time_us;
    client->is_answered = client->is_ended = false;
    client->bytes = 0;
    client->answer = NULL;
}

/* Accepts one client of each listener that has some. */
static void accept_all(struct starting *starting)
{
    for (uint32_t i = 0; i < starting->count; i++) {
        if (starting->polled[1 + i].revents == 0)
            continue;
        /* The listening descriptor blocks: so poll says first that there is a client, and one is accepted. */
        int fd = accept4(starting->polled[1 + i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            take(starting, fd, starting->with_tls[i % starting->listen_count]);
    }
}

/* How long poll may wait, in milliseconds. */
static int wait_ms(struct starting *starting)
{
    if (starting->client_count == 0)
        return -1;
    uint64_t now_us = clock_monotonic_us(&starting->clock);
    uint64_t until_us = starting->clients[0].until_us;
    for (uint32_t i = 1; i < starting->client_count; i++)
        if (starting->clients[i].until_us < until_us)
            until_us = starting->clients[i].until_us;
    return until_us <= now_us ? 0 : (int)((until_us - now_us + 999) / 1000);
}

static void *run(void *context)
{
    struct starting *starting = context;
    for (;;) {
        nfds_t count = 1 + starting->count + starting->client_count;
        if (poll(starting->polled, count, wait_ms(starting)) < 0) {
            if (errno != EINTR)
                break;
            continue;
        }
        serve_all(starting);
        if (is_ending(starting))
            break;
        accept_all(starting);
    }
    while (starting->client_count > 0)
        drop(starting, 0);
    return NULL;
}

int starting_open(struct starting **starting_r, const int *fds, uint32_t count, const bool *with_tls,
                  uint32_t listen_count, struct tls_context *tls)
{
    ASSERT(listen_count > 0 && listen_count <= LISTENERS_MAX && count % listen_count == 0);
    uint32_t polled_count = 1 + count + STARTING_CLIENTS_MAX;
    struct starting *starting = calloc(1, sizeof *starting + polled_count * sizeof starting->polled[0]);
    *starting_r = NULL;
    if (starting == NULL)
        return -ENOMEM;
    clock_init_system(&starting->clock);
    pthread_mutex_init(&starting->lock, NULL);
    starting_say_owner(starting, "");
    starting->is_standby = false;
    starting->count = count;
    starting->listen_count = listen_count;
    memcpy(starting->with_tls, with_tls, listen_count * sizeof *with_tls);
    starting->tls = tls;
    for (uint32_t i = 0; i < listen_count; i++)
        ASSERT(tls != NULL || !with_tls[i]);
    for (uint32_t i = 0; i < count; i++)
        starting->polled[1 + i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    int end = eventfd(0, EFD_CLOEXEC);
    starting->polled[0] = (struct pollfd){.fd = end, .events = POLLIN};
    int status = end < 0 ? -errno : -pthread_create(&starting->thread, NULL, run, starting);
    if (status != 0) {
        if (end >= 0)
            close(end);
        free(starting);
        return status;
    }
    *starting_r = starting;
    return 0;
}

void starting_say_owner(struct starting *starting, const char *address)
{
    if (starting == NULL)
        return;
    bool is_known = address[0] != '\0' && strlen(address) <= REASON_BYTES;
    pthread_mutex_lock(&starting->lock);
    (void)snprintf(starting->reason, sizeof starting->reason, "%s",
                   is_known ? address : "this node does not serve yet: reconnect later");
    starting->is_standby = true;
    starting->is_known = is_known;
    pthread_mutex_unlock(&starting->lock);
}

void starting_show_metrics(struct starting *starting, const struct server *server)
{
    if (starting == NULL)
        return;
    pthread_mutex_lock(&starting->lock);
    starting->shown = server;
    pthread_mutex_unlock(&starting->lock);
}

void starting_close(struct starting **starting_p)
{
    struct starting *starting = *starting_p;
    const uint64_t one = 1;
    *starting_p = NULL;
    if (starting == NULL)
        return;
    ssize_t written = write(starting->polled[0].fd, &one, sizeof one);
    ASSERT(written == sizeof one);
    pthread_join(starting->thread, NULL);
    close(starting->polled[0].fd);
    pthread_mutex_destroy(&starting->lock);
    free(starting);
}
