/*
 * echo.c: `chitchat-echo PORT`: a WebSocket server on 127.0.0.1 that gives every message back, text and binary, up to
 * 16 MiB, on the server's own code for io, HTTP and framing; so that public conformance suites can be run against it.
 * The server takes any path. PORT 0 lets the system choose; `ready PORT` on stdout says which. SIGTERM ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/list.h"
#include "protocol/http.h"
#include "protocol/ws.h"
#include "shard/io.h"

#define MESSAGE_BYTES_MAX (UINT64_C(16) << 20)
/* More than this waiting for a peer, and it is not read until it has taken it. */
#define OUTPUT_PAUSE_BYTES (1u << 20)
#define GATHER_US 1000000u
#define BACKLOG 1024

struct output {
    char *data;
    size_t bytes;
    size_t room;
};

struct peer {
    struct io_socket socket;
    struct http_head *head; /* until the upgrade, then NULL */
    struct ws ws;
    struct output waiting;
    struct output flying;
    bool is_ending; /* nothing more is said after what waits */
    bool has_peer_ended;
    bool is_paused;
    bool is_closing; /* io_close was called */
};

struct echo {
    struct io *io;
    struct ws_pool *pool;
    struct http_options http;
    int listen_fd;
};

static void put(struct peer *peer, const void *data, size_t bytes)
{
    struct output *output = &peer->waiting;
    if (output->bytes + bytes > output->room) {
        output->room = 2 * (output->bytes + bytes);
        output->data = realloc(output->data, output->room);
        ASSERT(output->data != NULL);
    }
    if (bytes > 0)
        memcpy(output->data + output->bytes, data, bytes);
    output->bytes += bytes;
}

static void drop(struct echo *echo, struct peer *peer)
{
    if (peer->is_closing)
        return;
    peer->is_closing = true;
    io_close(echo->io, &peer->socket);
}

/* Sends what waits; ends our side when all is said, and the connection when the peer has ended its own. Not before:
 * what the peer sends behind its close frame would reset the connection, and it would lose what it has not read. */
static void flush(struct echo *echo, struct peer *peer)
{
    if (peer->is_closing || io_is_sending(&peer->socket))
        return;
    if (peer->waiting.bytes > 0) {
        struct output sent = peer->flying;
        peer->flying = peer->waiting;
        peer->waiting = sent;
        peer->waiting.bytes = 0;
        io_send(echo->io, &peer->socket, &(struct iovec){peer->flying.data, peer->flying.bytes}, 1);
        return;
    }
    if (peer->is_ending && peer->has_peer_ended)
        drop(echo, peer);
    else if (peer->is_ending)
        io_shutdown_send(echo->io, &peer->socket);
}

static void put_close(struct peer *peer, uint16_t code, const char *reason)
{
    uint8_t frame[128];
    put(peer, frame, ws_close_write(frame, code, reason));
    peer->is_ending = true;
}

static void put_frame(struct peer *peer, enum ws_opcode opcode, const struct ws_event *event)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    put(peer, header, ws_header_write(header, opcode, event->bytes));
    put(peer, event->data, event->bytes);
}

static void on_event(struct peer *peer, const struct ws_event *event)
{
    switch (event->kind) {
    case WS_EVENT_MESSAGE: put_frame(peer, event->opcode, event); return;
    case WS_EVENT_PING: put_frame(peer, WS_PONG, event); return;
    case WS_EVENT_CLOSE: put_close(peer, event->code, ""); return;
    case WS_EVENT_ERROR: put_close(peer, event->code, event->reason); return;
    case WS_EVENT_PONG:
    case WS_EVENT_FRAGMENT:
    case WS_EVENT_MORE: return;
    }
}

static void take_head(struct peer *peer, char **data, size_t *bytes)
{
    struct http_result result = http_head_feed(peer->head, *data, *bytes);
    *data += result.used;
    *bytes = result.verdict == HTTP_MORE ? 0 : *bytes - result.used;
    if (result.verdict == HTTP_MORE)
        return;
    put(peer, result.answer.data, result.answer.bytes);
    peer->is_ending = result.verdict == HTTP_ANSWER;
    http_head_close(&peer->head);
}

static void take(struct echo *echo, struct peer *peer, char *data, size_t bytes)
{
    while (bytes > 0 && !peer->is_ending) {
        struct ws_event event;
        if (peer->head != NULL) {
            take_head(peer, &data, &bytes);
            continue;
        }
        ws_next(&peer->ws, echo->pool, &data, &bytes, &event);
        on_event(peer, &event);
    }
}

static void on_accept(void *context, uint32_t listener, int fd)
{
    struct echo *echo = context;
    int on = 1;
    (void)listener;
    if (fd < 0)
        return;
    struct peer *peer = calloc(1, sizeof *peer);
    ASSERT(peer != NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer->head = http_head_open(&echo->http);
    ASSERT(peer->head != NULL);
    ws_init(&peer->ws);
    io_adopt(echo->io, &peer->socket, fd);
    io_recv_start(echo->io, &peer->socket);
}

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    struct echo *echo = context;
    struct peer *peer = container_of(socket, struct peer, socket);
    if (result < 0) {
        drop(echo, peer);
        return;
    }
    if (result == 0)
        peer->is_ending = peer->has_peer_ended = true;
    else
        take(echo, peer, data, (size_t)result);
    if (peer->waiting.bytes > OUTPUT_PAUSE_BYTES && !peer->is_paused && !peer->is_ending) {
        peer->is_paused = true;
        io_recv_stop(echo->io, socket);
    }
    flush(echo, peer);
}

static void on_sent(void *context, struct io_socket *socket, int result)
{
    struct echo *echo = context;
    struct peer *peer = container_of(socket, struct peer, socket);
    if (result < 0) {
        drop(echo, peer);
        return;
    }
    flush(echo, peer);
    if (peer->is_paused && !peer->is_closing && peer->waiting.bytes == 0) {
        peer->is_paused = false;
        io_recv_start(echo->io, socket);
    }
}

static void on_closed(void *context, struct io_socket *socket)
{
    struct echo *echo = context;
    struct peer *peer = container_of(socket, struct peer, socket);
    ws_fini(&peer->ws, echo->pool);
    http_head_close(&peer->head);
    free(peer->waiting.data);
    free(peer->flying.data);
    free(peer);
}

static void on_released(void *context, struct io_socket *socket, int fd)
{
    (void)context, (void)socket, (void)fd;
}

static void on_written(void *context, struct io_write *write, int result)
{
    (void)context, (void)write, (void)result;
}

static void *run(void *argument)
{
    static const struct io_handlers handlers = {on_accept, on_recv, on_sent, on_closed, on_released, on_written};
    static const struct io_options options = {.recv_buffer_bytes = 65536, .recv_buffer_count = 64};
    struct echo *echo = argument;
    ASSERT(io_open(&echo->io, &options, &handlers, echo) == 0);
    io_accept_start(echo->io, 0, echo->listen_fd);
    while (io_gather(echo->io, GATHER_US) >= 0)
        continue;
    return NULL;
}

/* A listening socket on 127.0.0.1, and its port; -errno. */
static int listen_on(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, bytes) != 0 || listen(fd, BACKLOG) != 0
        || getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return -errno;
    *port = ntohs(address.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    static struct echo echo = {.http = {.any_path = true}};
    char *end = NULL;
    unsigned long port = argc == 2 ? strtoul(argv[1], &end, 10) : 65536;
    uint16_t bound = (uint16_t)port;
    sigset_t signals;
    pthread_t thread;
    int number;
    if (port > 65535 || end == argv[1] || *end != '\0') {
        fprintf(stderr, "usage: chitchat-echo PORT\n");
        return 2;
    }
    echo.listen_fd = listen_on(&bound);
    if (echo.listen_fd < 0) {
        fprintf(stderr, "chitchat-echo: cannot listen on 127.0.0.1:%u: %s\n", bound, strerror(-echo.listen_fd));
        return 1;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    ASSERT(ws_pool_open(&echo.pool, MESSAGE_BYTES_MAX, UINT64_MAX, true) == 0);
    ASSERT(pthread_create(&thread, NULL, run, &echo) == 0);
    printf("ready %u\n", bound);
    fflush(stdout);
    sigwait(&signals, &number);
    _exit(0);
}
