#include "cli/client_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/span.h"
#include "cli/client_follow.h"
#include "cli/client_resolve.h"
#include "cli/client_tls.h"
#include "cli/client_upgrade.h"

#define RECEIVE_BYTES 65536u
/* A page of history has 256 KiB at most; a later server may send more. */
#define MESSAGE_BYTES_MAX (4u << 20)
#define ADDRESS_MS 5000
#define GOODBYE_MS 1000
#define NO_CLOSE 1006u
#define REASON_BYTES 512u

enum link_state {
    LINK_AWAY,
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_SECURING,
    LINK_UPGRADING,
    LINK_OPEN,
};

struct client_link {
    struct client_transport transport;
    struct client_follow server;            /* where it connects to */
    char host[CLIENT_URL_HOST_TEXT_BYTES];  /* HOST:PORT, for errors */
    struct client_tls_context *tls_context; /* owned; NULL: plain */
    struct client_tls *tls;                 /* owned; NULL: plain */

    /* The connection. */
    struct client *client; /* borrowed */
    enum link_state state;
    struct client_resolve *resolve; /* owned; while resolving */
    struct addrinfo *found;         /* owned */
    const struct addrinfo *at;      /* the address that is tried */
    uint64_t address_due_ms;        /* when the next one is tried */
    int fd;
    char key[CLIENT_UPGRADE_KEY_BYTES];
    struct buffer head; /* of the answer to the upgrade */
    struct buffer out;  /* plain bytes to send; with TLS those of client_tls_output are sent instead */
    uint32_t sent;      /* of the output */
    wslay_event_context_ptr frames;
    struct span given; /* to wslay; borrowed */
    bool is_dead;      /* writing has failed */
    uint16_t close_code;
    char close_reason[126];
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct client_link *link_of(struct client_transport *transport)
{
    return container_of(transport, struct client_link, transport);
}

/* -- the end -- */

static void release(struct client_link *link)
{
    client_resolve_close(&link->resolve);
    if (link->found != NULL)
        freeaddrinfo(link->found);
    link->found = NULL;
    link->at = NULL;
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    if (link->tls != NULL)
        client_tls_end(link->tls);
    link->head.bytes = link->out.bytes = link->sent = 0;
    link->is_dead = false;
    link->close_code = 0;
    link->state = LINK_AWAY;
}

/* wslay's context is freed here, where none of its callbacks runs. */
static void drop_frames(struct client_link *link)
{
    if (link->frames != NULL)
        wslay_event_context_free(link->frames);
    link->frames = NULL;
}

static void __attribute__((format(printf, 4, 5)))
finish(struct client_link *link, struct client_end end, bool is_hopeless, const char *format, ...)
{
    char reason[REASON_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    struct client *client = link->client;
    /* What is wrong with a URL that another node has named says nothing of the URL that the user gave. */
    end.is_hopeless = is_hopeless && client_follow_is_given(&link->server);
    end.reason = reason;
    if (end.code == 0)
        end.code = NO_CLOSE;
    release(link);
    client_on_end(client, &end);
}

/* -- writing -- */

static struct buffer *output_of(struct client_link *link)
{
    return link->tls != NULL ? client_tls_output(link->tls) : &link->out;
}

static void put_plain(struct client_link *link, const void *data, size_t bytes)
{
    if (link->tls != NULL) {
        link->is_dead |= !client_tls_write(link->tls, data, (uint32_t)bytes);
        return;
    }
    buffer_grow(&link->out, (uint32_t)bytes);
    memcpy(link->out.data + link->out.bytes, data, bytes);
    link->out.bytes += (uint32_t)bytes;
}

/* Sends what the socket takes. */
static void flush(struct client_link *link)
{
    struct buffer *out = output_of(link);
    ASSERT(link->fd >= 0);
    while (!link->is_dead && link->sent < out->bytes) {
        ssize_t bytes = send(link->fd, out->data + link->sent, out->bytes - link->sent, MSG_NOSIGNAL);
        if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        link->is_dead = bytes < 0;
        link->sent += bytes > 0 ? (uint32_t)bytes : 0;
    }
    link->sent = out->bytes = 0;
}

/* -- frames -- */

static ssize_t frames_on_recv(wslay_event_context_ptr frames, uint8_t *data, size_t bytes, int flags, void *context)
{
    struct client_link *link = context;
    size_t count = link->given.bytes < bytes ? link->given.bytes : bytes;
    (void)flags;
    if (count == 0 || link->state != LINK_OPEN) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(data, link->given.data, count);
    link->given = (struct span){link->given.data + count, link->given.bytes - count};
    return (ssize_t)count;
}

static ssize_t frames_on_send(wslay_event_context_ptr frames, const uint8_t *data, size_t bytes, int flags,
                              void *context)
{
    (void)frames, (void)flags;
    put_plain(context, data, bytes);
    return (ssize_t)bytes;
}

static int frames_on_mask(wslay_event_context_ptr frames, uint8_t *mask, size_t bytes, void *context)
{
    (void)frames, (void)context;
    return getrandom(mask, bytes, 0) == (ssize_t)bytes ? 0 : -1;
}

static void frames_on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *message,
                              void *context)
{
    struct client_link *link = context;
    (void)frames;
    if (link->state != LINK_OPEN)
        return; /* the client has ended the connection in an earlier frame */
    if (message->opcode == WSLAY_TEXT_FRAME) {
        client_on_frame(link->client, (const char *)message->msg, message->msg_length);
    } else if (message->opcode == WSLAY_CONNECTION_CLOSE) {
        link->close_code = message->status_code != 0 ? message->status_code : 1000;
        size_t bytes = message->msg_length > 2 ? message->msg_length - 2 : 0;
        (void)snprintf(link->close_reason, sizeof link->close_reason, "%.*s", (int)bytes,
                       bytes > 0 ? (const char *)message->msg + 2 : "");
        client_follow_on_close(&link->server, link->close_code, link->close_reason);
    }
}

static void open_frames(struct client_link *link)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = frames_on_recv,
                                                           .send_callback = frames_on_send,
                                                           .genmask_callback = frames_on_mask,
                                                           .on_msg_recv_callback = frames_on_message};
    ASSERT(link->state == LINK_OPEN);
    drop_frames(link);
    int status = wslay_event_context_client_init(&link->frames, &callbacks, link);
    ASSERT(status == 0);
    wslay_event_config_set_max_recv_msg_length(link->frames, MESSAGE_BYTES_MAX);
}

static void send_frames(struct client_link *link)
{
    if (link->frames != NULL && wslay_event_want_write(link->frames))
        link->is_dead |= wslay_event_send(link->frames) != 0;
    flush(link);
}

static void take_frames(struct client_link *link, const char *data, size_t bytes)
{
    ASSERT(link->state == LINK_OPEN && link->frames != NULL);
    link->given = (struct span){data, bytes};
    client_on_heard(link->client);
    int status = wslay_event_recv(link->frames);
    link->given = (struct span){0};
    if (link->state != LINK_OPEN)
        return;
    send_frames(link);
    if (link->close_code != 0)
        finish(link, (struct client_end){.code = link->close_code}, false, "the server closed the connection: %u %s",
               link->close_code, link->close_reason);
    else if (status != 0 || !wslay_event_get_read_enabled(link->frames))
        finish(link, (struct client_end){0}, false, "the server sent what is no WebSocket frame");
}

/* -- the upgrade -- */

static void begin_upgrade(struct client_link *link)
{
    uint8_t random[16];
    char request[CLIENT_UPGRADE_HEAD_BYTES];
    ssize_t bytes = getrandom(random, sizeof random, 0);
    ASSERT(bytes == sizeof random);
    client_upgrade_key(random, link->key);
    link->state = LINK_UPGRADING;
    put_plain(link, request, client_upgrade_write(&link->server.url, link->key, request));
    flush(link);
}

static void refuse_upgrade(struct client_link *link, const struct client_upgrade *upgrade)
{
    struct client_end end = {.retry_after_ms = upgrade->retry_after_s * 1000};
    int status = upgrade->status;
    char body[200];
    (void)snprintf(body, sizeof body, "%.*s", (int)upgrade->body.bytes, upgrade->body.data);
    if (status == 0)
        finish(link, end, true, "%s does not speak HTTP: check the URL", link->host);
    else if (status == 101)
        finish(link, end, true, "%s answers like a WebSocket but is none: check the URL", link->host);
    else
        finish(link, end, status >= 300 && status < 500 && status != 429, "%s refused with status %d%s%s", link->host,
               status, body[0] != '\0' ? ": " : ": check the URL", body);
}

static void take_head(struct client_link *link, const char *data, size_t bytes)
{
    struct client_upgrade upgrade;
    ASSERT(link->state == LINK_UPGRADING);
    buffer_grow(&link->head, (uint32_t)bytes);
    memcpy(link->head.data + link->head.bytes, data, bytes);
    link->head.bytes += (uint32_t)bytes;
    switch (client_upgrade_read((struct span){link->head.data, link->head.bytes}, link->key, &upgrade)) {
    case CLIENT_UPGRADE_PART: return;
    case CLIENT_UPGRADE_REFUSED: refuse_upgrade(link, &upgrade); return;
    case CLIENT_UPGRADE_DONE: break;
    }
    link->state = LINK_OPEN;
    open_frames(link);
    client_on_open(link->client);
    if (link->state == LINK_OPEN && link->head.bytes > upgrade.head_bytes)
        take_frames(link, link->head.data + upgrade.head_bytes, link->head.bytes - upgrade.head_bytes);
    if (link->state == LINK_OPEN)
        send_frames(link);
}

/* -- reading -- */

static void take_plain(struct client_link *link, const char *data, size_t bytes)
{
    if (link->state == LINK_UPGRADING)
        take_head(link, data, bytes);
    else if (link->state == LINK_OPEN)
        take_frames(link, data, bytes);
}

static void fail_tls(struct client_link *link)
{
    char why[REASON_BYTES / 2];
    ASSERT(link->tls != NULL);
    bool is_hopeless = client_tls_explain(link->tls, why, sizeof why);
    finish(link, (struct client_end){0}, is_hopeless, "%s: %s", link->host, why);
}

static void take_secured(struct client_link *link, const char *data, size_t bytes)
{
    char plain[RECEIVE_BYTES];
    client_tls_give(link->tls, data, (uint32_t)bytes);
    while (link->state != LINK_AWAY) {
        int64_t count = client_tls_read(link->tls, plain, sizeof plain);
        if (count < 0) {
            fail_tls(link);
            return;
        }
        if (link->state == LINK_SECURING && client_tls_is_secured(link->tls))
            begin_upgrade(link);
        if (count == 0)
            break;
        take_plain(link, plain, (size_t)count);
    }
    if (link->state != LINK_AWAY)
        flush(link);
}

static void receive(struct client_link *link)
{
    char data[RECEIVE_BYTES];
    ASSERT(link->fd >= 0);
    ssize_t bytes = recv(link->fd, data, sizeof data, 0);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (bytes <= 0)
        finish(link, (struct client_end){0}, false, "the connection to %s ended%s%s", link->host, bytes < 0 ? ": " : "",
               bytes < 0 ? strerror(errno) : "");
    else if (link->tls != NULL)
        take_secured(link, data, (size_t)bytes);
    else
        take_plain(link, data, (size_t)bytes);
}

/* -- connecting -- */

static void on_connected(struct client_link *link)
{
    if (link->tls == NULL) {
        begin_upgrade(link);
        return;
    }
    link->state = LINK_SECURING;
    if (!client_tls_begin(link->tls))
        fail_tls(link);
    else
        flush(link);
}

/* Tries the addresses from link->at on; `error` is why the one before failed. */
static void connect_next(struct client_link *link, int error)
{
    for (; link->at != NULL; link->at = link->at->ai_next) {
        link->fd = socket(link->at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, link->at->ai_protocol);
        if (link->fd >= 0
            && (connect(link->fd, link->at->ai_addr, link->at->ai_addrlen) == 0 || errno == EINPROGRESS)) {
            link->state = LINK_CONNECTING;
            link->address_due_ms = now_ms() + ADDRESS_MS;
            return;
        }
        error = errno;
        if (link->fd >= 0)
            close(link->fd);
        link->fd = -1;
    }
    finish(link, (struct client_end){0}, false, "%s cannot be reached: %s", link->host, strerror(error));
}

static void try_next(struct client_link *link, int error)
{
    close(link->fd);
    link->fd = -1;
    link->at = link->at->ai_next;
    connect_next(link, error);
}

static void step_connecting(struct client_link *link, short revents)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    if (revents == 0) {
        if (link->at->ai_next != NULL && now_ms() >= link->address_due_ms)
            try_next(link, ETIMEDOUT);
        return;
    }
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    if (error == 0)
        on_connected(link);
    else
        try_next(link, error);
}

static void step_resolving(struct client_link *link, short revents)
{
    if (revents == 0)
        return;
    int status = client_resolve_take(link->resolve, &link->found);
    client_resolve_close(&link->resolve);
    link->at = link->found;
    if (status != 0)
        finish(link, (struct client_end){0}, false, "the host %s is not found: %s", link->server.url.host,
               gai_strerror(status));
    else
        connect_next(link, EADDRNOTAVAIL);
}

/* -- the transport -- */

/* The context of TLS has the name of the host by reference; a ticket is of no use to another host. */
static void choose_server(struct client_link *link)
{
    if (!client_follow_next(&link->server))
        return;
    client_url_host(&link->server.url, link->host);
    if (link->tls == NULL)
        return;
    client_tls_close(&link->tls);
    link->tls = client_tls_open(link->tls_context);
}

static void link_begin(struct client_transport *transport, struct client *client)
{
    struct client_link *link = link_of(transport);
    ASSERT(link->state == LINK_AWAY);
    link->client = client;
    link->state = LINK_RESOLVING;
    choose_server(link);
    int status = client_resolve_open(&link->resolve, link->server.url.host, link->server.url.port);
    ASSERT(status == 0);
}

static void link_send(struct client_transport *transport, const char *text, size_t bytes)
{
    struct client_link *link = link_of(transport);
    const struct wslay_event_msg message = {
        .opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)text, .msg_length = bytes};
    ASSERT(link->state == LINK_OPEN);
    link->is_dead |= wslay_event_queue_msg(link->frames, &message) != 0;
}

static void link_logged_in(struct client_transport *transport)
{
    ASSERT(link_of(transport)->state == LINK_OPEN);
    client_follow_on_login(&link_of(transport)->server);
}

/* What the socket does not take at once is lost: the other side sees the end anyway. */
static void link_end(struct client_transport *transport, uint16_t code)
{
    struct client_link *link = link_of(transport);
    if (link->state == LINK_OPEN && link->close_code == 0) {
        (void)wslay_event_queue_close(link->frames, code, NULL, 0);
        send_frames(link);
    }
    release(link);
}

static int link_wants(const struct client_transport *transport, struct pollfd *poll_r)
{
    const struct client_link *link = container_of(transport, struct client_link, transport);
    const struct buffer *out = link->tls != NULL ? client_tls_output(link->tls) : &link->out;
    if (link->state == LINK_AWAY)
        return -1;
    *poll_r = (struct pollfd){.fd = link->state == LINK_RESOLVING ? client_resolve_fd(link->resolve) : link->fd,
                              .events = link->state == LINK_CONNECTING ? POLLOUT : POLLIN};
    if (link->state > LINK_CONNECTING && out->bytes > link->sent)
        poll_r->events |= POLLOUT;
    if (link->is_dead || (link->state == LINK_OPEN && wslay_event_want_write(link->frames)))
        return 0;
    uint64_t now = now_ms();
    if (link->state != LINK_CONNECTING || link->at->ai_next == NULL)
        return -1;
    return link->address_due_ms > now ? (int)(link->address_due_ms - now) : 0;
}

static void link_step(struct client_transport *transport, short revents)
{
    struct client_link *link = link_of(transport);
    if (link->state == LINK_AWAY) {
        drop_frames(link);
        return;
    }
    if (link->state == LINK_RESOLVING) {
        step_resolving(link, revents);
        return;
    }
    if (link->state == LINK_CONNECTING) {
        step_connecting(link, revents);
        return;
    }
    if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        receive(link);
    if (link->state == LINK_OPEN)
        send_frames(link);
    else if (link->state != LINK_AWAY)
        flush(link);
    if (link->is_dead)
        finish(link, (struct client_end){0}, false, "the connection to %s broke", link->host);
}

/* Waits until the server has ended its side, so that the last frames are not lost to a reset. */
static void say_goodbye(struct client_link *link)
{
    uint64_t due_ms = now_ms() + GOODBYE_MS;
    char data[RECEIVE_BYTES];
    ASSERT(link->state == LINK_OPEN);
    (void)wslay_event_queue_close(link->frames, 1000, NULL, 0);
    send_frames(link);
    for (uint64_t now = now_ms(); now < due_ms && !link->is_dead; now = now_ms()) {
        bool has_output = output_of(link)->bytes > link->sent;
        struct pollfd fd = {.fd = link->fd, .events = (short)(POLLIN | (has_output ? POLLOUT : 0))};
        if (poll(&fd, 1, (int)(due_ms - now)) < 0 && errno != EINTR)
            return;
        if ((fd.revents & POLLOUT) != 0)
            flush(link);
        if ((fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0 && recv(link->fd, data, sizeof data, 0) <= 0)
            return;
    }
}

static void link_close(struct client_transport *transport)
{
    struct client_link *link = link_of(transport);
    if (link->state == LINK_OPEN)
        say_goodbye(link);
    release(link);
    drop_frames(link);
    client_tls_close(&link->tls);
    client_tls_context_close(&link->tls_context);
    buffer_fini(&link->head);
    buffer_fini(&link->out);
    free(link);
}

static int open_tls(struct client_link *link, const struct client_options *options, char error[CLIENT_ERROR_BYTES])
{
    const struct client_tls_options tls = {.host = link->server.url.host,
                                           .ca_path = options->tls_ca,
                                           .keeps_tickets = true,
                                           .insecure_hint = "",
                                           .plain_hint = "take ws:// in place of wss://, or the port of --listen-tls"};
    if (!link->server.url.is_tls && options->tls_ca != NULL) {
        (void)snprintf(error, CLIENT_ERROR_BYTES, "--tls-ca is for wss:// URLs: take one, or leave it out");
        return -1;
    }
    if (!link->server.url.is_tls)
        return 0;
    if (!client_tls_context_open(&link->tls_context, &tls, error, CLIENT_ERROR_BYTES))
        return -1;
    link->tls = client_tls_open(link->tls_context);
    return 0;
}

int client_link_open(struct client_transport **transport_r, const struct client_options *options,
                     char error[CLIENT_ERROR_BYTES])
{
    static const struct client_transport transport = {.begin = link_begin,
                                                      .send = link_send,
                                                      .logged_in = link_logged_in,
                                                      .end = link_end,
                                                      .wants = link_wants,
                                                      .step = link_step,
                                                      .close = link_close};
    struct client_link *link = calloc(1, sizeof *link);
    ASSERT(link != NULL);
    *link = (struct client_link){.transport = transport, .fd = -1};
    const char *wrong = client_url_parse(options->url, "ws", &link->server.given);
    link->server.url = link->server.given;
    if (wrong == NULL && open_tls(link, options, error) == 0) {
        client_url_host(&link->server.url, link->host);
        *transport_r = &link->transport;
        return 0;
    }
    if (wrong != NULL)
        (void)snprintf(error, CLIENT_ERROR_BYTES, "the URL %s %s: give ws://HOST[:PORT] or wss://HOST[:PORT]",
                       options->url, wrong);
    free(link);
    return -1;
}
