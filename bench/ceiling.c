/*
 * ceiling.c: `ceiling PORT`: a relay that does the least possible, as the upper limit of what the server could reach.
 * The relay answers the frames of chitchat-load and passes them on to all connections of the recipient, with one write
 * a connection and turn, on the server's own loop. The relay checks nothing, stores nothing, and sends nothing to a
 * sender's other connections. ./dev bench reports the server's figures as a share of these.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/list.h"
#include "load/put.h"
#include "shard/io.h"

#define USERS_MAX 65536u
#define FRAME_BYTES_MAX 20000u

struct peer {
    struct io_socket socket;
    bool has_upgraded;
    uint32_t user;
    struct list user_link; /* in user->peers, from the login on */
    char *in;
    size_t in_bytes;
    char *out;
    size_t out_bytes;
    size_t out_room;
    char *in_flight;
    size_t in_flight_room;
    struct list flush_link;
};

struct user {
    struct list peers;
    uint64_t cursor;
};

struct relay {
    struct io *io;
    struct list flush;
    struct user *users;
    uint64_t ts;
};

static char *room(struct relay *relay, struct peer *peer, size_t bytes)
{
    if (peer->out_bytes + bytes > peer->out_room) {
        peer->out_room = 2 * (peer->out_bytes + bytes);
        peer->out = realloc(peer->out, peer->out_room);
        ASSERT(peer->out != NULL);
    }
    if (list_is_empty(&peer->flush_link))
        list_append(&relay->flush, &peer->flush_link);
    return peer->out + peer->out_bytes;
}

/* Writes the header before the payload, where there is room for the longer one; returns where the frame begins. */
static char *seal(char *payload, size_t bytes)
{
    if (bytes < 126) {
        payload[-2] = (char)0x81;
        payload[-1] = (char)bytes;
        return payload - 2;
    }
    payload[-4] = (char)0x81;
    payload[-3] = 126;
    payload[-2] = (char)(bytes >> 8);
    payload[-1] = (char)bytes;
    return payload - 4;
}

static void put_frame(struct relay *relay, struct peer *peer, const char *frame, size_t bytes)
{
    memcpy(room(relay, peer, bytes), frame, bytes);
    peer->out_bytes += bytes;
}

static unsigned long number_behind(const char *frame, size_t bytes, const char *name)
{
    const char *at = memmem(frame, bytes, name, strlen(name));
    return at == NULL ? 0 : strtoul(at + strlen(name), NULL, 10);
}

static void relay_ok(struct relay *relay, struct peer *from, unsigned long id)
{
    struct user *user = &relay->users[from->user];
    char text[256], *payload = text + 4, *at = LOAD_PUT(payload, "{\"op\":\"ok\",\"id\":");
    uint64_t ts = ++relay->ts;
    at = load_put_number(at, id);
    at = LOAD_PUT(at, ",\"ts\":");
    at = load_put_number(at, ts);
    at = LOAD_PUT(at, ",\"prev\":");
    at = load_put_number(at, user->cursor);
    at = LOAD_PUT(at, ",\"mid\":\"AAAAAAAAAAAAAAAAAAAA\"}");
    user->cursor = ts;
    char *frame = seal(payload, (size_t)(at - payload));
    put_frame(relay, from, frame, (size_t)(at - frame));
}

/* `body`: the member `text` and all that follows it, as received. */
static void relay_msg(struct relay *relay, uint32_t from, unsigned long to, const char *body, size_t body_bytes)
{
    struct user *user = &relay->users[to];
    char text[FRAME_BYTES_MAX + 256], *payload = text + 4, *at = LOAD_PUT(payload, "{\"op\":\"msg\",\"ts\":");
    uint64_t ts = ++relay->ts;
    at = load_put_number(at, ts);
    at = LOAD_PUT(at, ",\"prev\":");
    at = load_put_number(at, user->cursor);
    at = LOAD_PUT(at, ",\"mid\":\"AAAAAAAAAAAAAAAAAAAA\",\"from\":\"load-");
    at = load_put_number(at, from);
    at = LOAD_PUT(at, "\",\"to\":\"load-");
    at = load_put_number(at, to);
    at = LOAD_PUT(at, "\",");
    at = load_put(at, body, body_bytes);
    user->cursor = ts;
    char *frame = seal(payload, (size_t)(at - payload));
    for (struct list *link = user->peers.next; link != &user->peers; link = link->next)
        put_frame(relay, container_of(link, struct peer, user_link), frame, (size_t)(at - frame));
}

/* The members are in the order in which chitchat-load writes them: id, to, text. */
static void relay_send(struct relay *relay, struct peer *from, const char *frame, size_t bytes)
{
    unsigned long id = number_behind(frame, bytes, "\"id\":");
    unsigned long to = number_behind(frame, bytes, "\"to\":\"load-");
    const char *body = memmem(frame, bytes, "\"text\":\"", 8);
    relay_ok(relay, from, id);
    if (to < USERS_MAX && body != NULL && bytes < FRAME_BYTES_MAX)
        relay_msg(relay, from->user, to, body, (size_t)(frame + bytes - body));
}

static void relay_login(struct relay *relay, struct peer *peer, const char *frame, size_t bytes)
{
    char text[128], *payload = text + 4, *at = LOAD_PUT(payload, "{\"op\":\"ok\",\"id\":1,\"epoch\":\"e\",\"last\":");
    unsigned long user = number_behind(frame, bytes, "\"user\":\"load-");
    ASSERT(user < USERS_MAX);
    peer->user = (uint32_t)user;
    list_append(&relay->users[user].peers, &peer->user_link);
    at = load_put_number(at, relay->users[user].cursor);
    at = LOAD_PUT(at, "}");
    char *out = seal(payload, (size_t)(at - payload));
    put_frame(relay, peer, out, (size_t)(at - out));
}

/* chitchat-load looks at the newest messages of its users: there are none. */
static void relay_history(struct relay *relay, struct peer *peer, const char *frame, size_t bytes)
{
    char text[128], *payload = text + 4, *at = LOAD_PUT(payload, "{\"op\":\"history\",\"id\":");
    at = load_put_number(at, number_behind(frame, bytes, "\"id\":"));
    at = LOAD_PUT(at, ",\"messages\":[],\"more\":false}");
    char *out = seal(payload, (size_t)(at - payload));
    put_frame(relay, peer, out, (size_t)(at - out));
}

static size_t take_frames(struct relay *relay, struct peer *peer, char *data, size_t bytes)
{
    size_t at = 0;
    while (bytes - at >= 6) {
        const uint8_t *head = (const uint8_t *)data + at;
        size_t payload = head[1] & 127, head_bytes = 6;
        if (payload == 126) {
            if (bytes - at < 8)
                break;
            payload = (size_t)head[2] << 8 | head[3];
            head_bytes = 8;
        }
        if (bytes - at < head_bytes + payload)
            break;
        char *text = data + at + head_bytes;
        uint32_t mask;
        memcpy(&mask, text - 4, 4);
        load_put_mask(text, payload, mask);
        if (text[7] == 'l')
            relay_login(relay, peer, text, payload);
        else if (text[7] == 'h')
            relay_history(relay, peer, text, payload);
        else
            relay_send(relay, peer, text, payload);
        at += head_bytes + payload;
    }
    return at;
}

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    struct relay *relay = context;
    struct peer *peer = container_of(socket, struct peer, socket);
    size_t bytes = (size_t)result, used = 0;
    if (result <= 0) {
        list_remove(&peer->flush_link);
        list_remove(&peer->user_link);
        io_close(relay->io, socket);
        return;
    }
    if (peer->in_bytes > 0) {
        peer->in = realloc(peer->in, peer->in_bytes + bytes);
        ASSERT(peer->in != NULL);
        memcpy(peer->in + peer->in_bytes, data, bytes);
        bytes += peer->in_bytes;
        data = peer->in;
    }
    if (!peer->has_upgraded) {
        char *end = memmem(data, bytes, "\r\n\r\n", 4);
        if (end != NULL) {
            peer->has_upgraded = true;
            memcpy(room(relay, peer, sizeof answer - 1), answer, sizeof answer - 1);
            peer->out_bytes += sizeof answer - 1;
            used = (size_t)(end + 4 - data);
        }
    }
    if (peer->has_upgraded)
        used += take_frames(relay, peer, data + used, bytes - used);
    peer->in_bytes = bytes - used;
    if (peer->in_bytes == 0)
        return;
    if (data != peer->in) {
        peer->in = realloc(peer->in, peer->in_bytes);
        ASSERT(peer->in != NULL);
    }
    memmove(peer->in, data + used, peer->in_bytes);
}

static void on_accept(void *context, uint32_t listener, int fd)
{
    struct relay *relay = context;
    int on = 1;
    (void)listener;
    if (fd < 0)
        return;
    struct peer *peer = calloc(1, sizeof *peer);
    ASSERT(peer != NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    list_init(&peer->flush_link);
    list_init(&peer->user_link);
    io_adopt(relay->io, &peer->socket, fd);
    io_recv_start(relay->io, &peer->socket);
}

static void on_sent(void *context, struct io_socket *socket, int result)
{
    struct relay *relay = context;
    struct peer *peer = container_of(socket, struct peer, socket);
    if (result == 0 && peer->out_bytes > 0 && list_is_empty(&peer->flush_link))
        list_append(&relay->flush, &peer->flush_link);
}

static void on_closed(void *context, struct io_socket *socket)
{
    struct peer *peer = container_of(socket, struct peer, socket);
    (void)context;
    free(peer->in);
    free(peer->out);
    free(peer->in_flight);
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

static void flush_all(struct relay *relay)
{
    for (struct list *at; (at = list_shift(&relay->flush)) != NULL;) {
        struct peer *peer = container_of(at, struct peer, flush_link);
        if (peer->out_bytes == 0 || io_is_sending(&peer->socket))
            continue;
        char *data = peer->out;
        size_t bytes = peer->out_bytes, was_room = peer->out_room;
        peer->out = peer->in_flight;
        peer->out_room = peer->in_flight_room;
        peer->out_bytes = 0;
        peer->in_flight = data;
        peer->in_flight_room = was_room;
        io_send(relay->io, &peer->socket, &(struct iovec){data, bytes}, 1);
    }
}

int main(int argc, char **argv)
{
    static const struct io_handlers handlers = {on_accept, on_recv, on_sent, on_closed, on_released, on_written};
    static const struct io_options options = {.recv_buffer_bytes = 4096, .recv_buffer_count = 1024};
    static struct relay relay;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc != 2) {
        fprintf(stderr, "usage: ceiling PORT\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0) {
        fprintf(stderr, "ceiling: cannot listen at 127.0.0.1:%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    list_init(&relay.flush);
    relay.ts = (uint64_t)time(NULL) * 1000000;
    relay.users = calloc(USERS_MAX, sizeof *relay.users);
    int status = io_open(&relay.io, &options, &handlers, &relay);
    ASSERT(relay.users != NULL && status == 0);
    for (uint32_t i = 0; i < USERS_MAX; i++)
        list_init(&relay.users[i].peers);
    io_accept_start(relay.io, 0, fd);
    for (;;) {
        flush_all(&relay);
        status = io_gather(relay.io, 1000000);
        ASSERT(status >= 0);
    }
}
