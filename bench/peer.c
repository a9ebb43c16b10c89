/* peer.c: one connection: upgrade, frames out, frames in, and what must be true of them. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "load.h"

#define HEAD_END "\r\n\r\n"

static void broken(struct load *load, const char *what, const char *frame, size_t bytes)
{
    if (load->all.broken++ == 0)
        snprintf(load->first_broken, sizeof load->first_broken, "%s: %.*s", what, (int)(bytes < 180 ? bytes : 180), frame);
}

/* -- out -- */

static char *out_room(struct load *load, struct peer *peer, size_t bytes)
{
    if (peer->out_bytes + bytes > peer->out_room) {
        peer->out_room = (uint32_t)(peer->out_bytes + bytes) * 2;
        peer->out = realloc(peer->out, peer->out_room);
        ASSERT(peer->out != NULL);
    }
    if (list_is_empty(&peer->flush_link))
        list_append(&load->flush, &peer->flush_link);
    return peer->out + peer->out_bytes;
}

/* A masked text frame, as RFC 6455 asks of clients. */
static void put_frame(struct load *load, struct peer *peer, const char *text, uint32_t bytes)
{
    char *at = out_room(load, peer, bytes + 14);
    uint32_t mask = load_below(load, UINT32_MAX);
    *at++ = (char)0x81;
    if (bytes < 126) {
        *at++ = (char)(0x80 | bytes);
    } else {
        *at++ = (char)(0x80 | 126);
        *at++ = (char)(bytes >> 8);
        *at++ = (char)bytes;
    }
    memcpy(at, &mask, 4);
    at += 4;
    for (uint32_t i = 0; i < bytes; i += 4) {
        uint32_t word = 0;
        uint32_t count = bytes - i < 4 ? bytes - i : 4;
        memcpy(&word, text + i, count);
        word ^= mask;
        memcpy(at + i, &word, count);
    }
    peer->out_bytes = (uint32_t)(at + bytes - peer->out);
}

static void flush(struct load *load, struct peer *peer)
{
    list_remove(&peer->flush_link);
    if (peer->is_gone || peer->out_bytes == 0 || io_is_sending(&peer->socket))
        return;
    char *data = peer->out;
    uint32_t room = peer->out_room, bytes = peer->out_bytes;
    peer->out = peer->flying;
    peer->out_room = peer->flying_room;
    peer->out_bytes = 0;
    peer->flying = data;
    peer->flying_room = room;
    io_send(load->io, &peer->socket, &(struct iovec){data, bytes}, 1);
}

void peer_flush_all(struct load *load)
{
    while (!list_is_empty(&load->flush))
        flush(load, container_of(load->flush.next, struct peer, flush_link));
}

int peer_connect(struct load *load, struct peer *peer)
{
    static const char head[] = "GET /ws HTTP/1.1\r\nHost: load\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&load->options.address, sizeof load->options.address) != 0) {
        int status = -errno;
        close(fd);
        return status;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer->has_upgraded = peer->is_logged_in = peer->is_live = peer->is_gone = false;
    peer->in_bytes = peer->out_bytes = peer->unanswered = 0;
    list_init(&peer->flush_link);
    io_adopt(load->io, &peer->socket, fd);
    io_recv_start(load->io, &peer->socket);
    memcpy(out_room(load, peer, sizeof head - 1), head, sizeof head - 1);
    peer->out_bytes += (uint32_t)sizeof head - 1;
    peer->login_at_us = load_now_us();
    load->open_count++;
    peer_login(load, peer);
    return 0;
}

void peer_login(struct load *load, struct peer *peer)
{
    char text[160];
    bool replays = load->options.scenario == SCENARIO_STORM || load->options.scenario == SCENARIO_REPLAY;
    int bytes = snprintf(text, sizeof text, "{\"op\":\"login\",\"id\":\"login\",\"user\":\"load-%u\"", peer->user);
    if (replays)
        bytes += snprintf(text + bytes, sizeof text - (size_t)bytes, ",\"after\":%llu", (unsigned long long)peer->cursor);
    text[bytes++] = '}';
    put_frame(load, peer, text, (uint32_t)bytes);
}

/* The text names sender, number and time; the rest is filling. */
void peer_send(struct load *load, struct peer *peer, uint32_t to, uint64_t intended_us)
{
    char text[512 + 16384], body[96];
    uint32_t id = peer->sent++;
    peer->unanswered++;
    peer->sent_at_us[id & peer->sent_mask] = intended_us;
    int begun = snprintf(body, sizeof body, "%u/%u/%llu/", peer->index, id, (unsigned long long)intended_us);
    uint32_t filling = load->options.text_bytes > (uint32_t)begun ? load->options.text_bytes - (uint32_t)begun : 0;
    int bytes = snprintf(text, sizeof text, "{\"op\":\"send\",\"id\":%u,\"to\":\"load-%u\",\"text\":\"%s", id, to, body);
    memset(text + bytes, 'x', filling);
    bytes += (int)filling;
    if (load->options.has_keys)
        bytes += snprintf(text + bytes, sizeof text - (size_t)bytes, "\",\"key\":\"%llx-%u-%u",
                          (unsigned long long)load->options.seed, peer->index, id);
    memcpy(text + bytes, "\"}", 2);
    put_frame(load, peer, text, (uint32_t)bytes + 2);
}

void peer_ask_page(struct load *load, struct peer *peer)
{
    char text[128];
    int bytes = snprintf(text, sizeof text, "{\"op\":\"history\",\"id\":\"page\",\"limit\":%u", load->options.history_limit);
    if (peer->next_before > 0)
        bytes += snprintf(text + bytes, sizeof text - (size_t)bytes, ",\"before\":%llu", (unsigned long long)peer->next_before);
    text[bytes++] = '}';
    peer->asked_at_us = load->now_us;
    put_frame(load, peer, text, (uint32_t)bytes);
}

/* -- in -- */

/* The number behind `name`; false if it is not there. The server writes no blanks. */
static bool number(const char *frame, size_t bytes, const char *name, uint64_t *value_r)
{
    const char *at = memmem(frame, bytes, name, strlen(name));
    if (at == NULL)
        return false;
    uint64_t value = 0;
    for (at += strlen(name); at < frame + bytes && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *value_r = value;
    return true;
}

/* An entry of the timeline: the chain must hold. */
static void take_entry(struct load *load, struct peer *peer, const char *frame, size_t bytes)
{
    uint64_t ts, prev;
    if (!number(frame, bytes, "\"ts\":", &ts) || !number(frame, bytes, "\"prev\":", &prev)) {
        broken(load, "no ts or prev", frame, bytes);
        return;
    }
    if (prev != peer->cursor || ts <= prev)
        broken(load, "the chain is broken", frame, bytes);
    peer->cursor = ts;
}

static void take_message(struct load *load, struct peer *peer, const char *frame, size_t bytes)
{
    unsigned from, id;
    unsigned long long at_us;
    static const char text_name[] = "\"text\":\"";
    take_entry(load, peer, frame, bytes);
    const char *text = memmem(frame, bytes, text_name, sizeof text_name - 1);
    char head[96] = "";
    size_t left = text == NULL ? 0 : bytes - (size_t)(text + sizeof text_name - 1 - frame);
    if (left > 0)
        memcpy(head, text + sizeof text_name - 1, left < sizeof head - 1 ? left : sizeof head - 1);
    if (sscanf(head, "%u/%u/%llu/", &from, &id, &at_us) != 3 || from >= load->options.connections) {
        broken(load, "not what was sent", frame, bytes);
        return;
    }
    load->all.delivered++;
    load->got_by[peer->user]++;
    if (load->is_measuring) {
        load->measured.delivered++;
        histogram_add(&load->delivery, load->now_us > at_us ? load->now_us - at_us : 0);
    }
}

static void take_ok(struct load *load, struct peer *peer, const char *frame, size_t bytes)
{
    uint64_t id;
    if (!peer->is_logged_in && memmem(frame, bytes, "\"last\":", 7) != NULL) {
        bool replays = load->options.scenario == SCENARIO_STORM || load->options.scenario == SCENARIO_REPLAY;
        peer->is_logged_in = true;
        load->live_count++;
        histogram_add(&load->login, load->now_us - peer->login_at_us);
        if (!replays)
            number(frame, bytes, "\"last\":", &peer->cursor);
        if (!replays)
            load_on_ready(load, peer);
        return;
    }
    if (!number(frame, bytes, "\"id\":", &id)) {
        broken(load, "an ok without an id", frame, bytes);
        return;
    }
    take_entry(load, peer, frame, bytes);
    peer->unanswered--;
    load->all.acknowledged++;
    if (load->is_measuring) {
        uint64_t at_us = peer->sent_at_us[id & peer->sent_mask];
        load->measured.acknowledged++;
        histogram_add(&load->ok, load->now_us > at_us ? load->now_us - at_us : 0);
    }
    load_on_answer(load, peer);
}

static void take_error(struct load *load, struct peer *peer, const char *frame, size_t bytes)
{
    bool is_busy = memmem(frame, bytes, "\"busy\"", 6) != NULL;
    load->all.busy += is_busy;
    load->all.errors += !is_busy;
    if (!is_busy && load->all.errors == 1)
        fprintf(stderr, "chitchat-load: %.*s\n", (int)bytes, frame);
    if (peer->unanswered > 0)
        peer->unanswered--;
    load_on_answer(load, peer);
}

static void take_page(struct load *load, struct peer *peer, const char *frame, size_t bytes)
{
    uint64_t count = 0, next = 0;
    for (const char *at = frame; (at = memmem(at, bytes - (size_t)(at - frame), "{\"ts\":", 6)) != NULL; at += 6)
        count++;
    peer->next_before = number(frame, bytes, "\"next\":", &next) ? next : 0;
    if (load->is_measuring) {
        load->measured.pages++;
        load->measured.page_messages += count;
        histogram_add(&load->page, load->now_us - peer->asked_at_us);
    }
    load_on_page(load, peer);
}

static void take_frame(struct load *load, struct peer *peer, const char *frame, size_t bytes)
{
    if (bytes < 12 || memcmp(frame, "{\"op\":\"", 7) != 0)
        broken(load, "no frame of the protocol", frame, bytes);
    else if (frame[7] == 'm')
        take_message(load, peer, frame, bytes);
    else if (frame[7] == 'o')
        take_ok(load, peer, frame, bytes);
    else if (frame[7] == 'h')
        take_page(load, peer, frame, bytes);
    else if (frame[7] == 'e')
        take_error(load, peer, frame, bytes);
    else if (frame[7] == 'l') {
        peer->is_live = true;
        load_on_ready(load, peer);
    }
}

/* Takes whole frames off the front; returns the bytes used. */
static size_t take_frames(struct load *load, struct peer *peer, const char *data, size_t bytes)
{
    size_t at = 0;
    while (bytes - at >= 2) {
        const uint8_t *head = (const uint8_t *)data + at;
        size_t head_bytes = head[1] < 126 ? 2 : head[1] == 126 ? 4 : 10;
        if (bytes - at < head_bytes)
            break;
        uint64_t payload = head[1];
        if (head_bytes > 2) {
            payload = 0;
            for (size_t i = 2; i < head_bytes; i++)
                payload = payload << 8 | head[i];
        }
        if (bytes - at < head_bytes + payload)
            break;
        if ((head[0] & 15) == 1)
            take_frame(load, peer, data + at + head_bytes, payload);
        else if ((head[0] & 15) == 9)
            memcpy(out_room(load, peer, 6), "\x8A\x80\0\0\0\0", 6), peer->out_bytes += 6;
        at += head_bytes + payload;
    }
    return at;
}

static size_t take_head(struct load *load, struct peer *peer, const char *data, size_t bytes)
{
    const char *end = memmem(data, bytes, HEAD_END, 4);
    if (end == NULL)
        return 0;
    if (bytes < 12 || memcmp(data + 9, "101", 3) != 0)
        broken(load, "no upgrade", data, bytes);
    peer->has_upgraded = true;
    return (size_t)(end + 4 - data);
}

static void keep_rest(struct peer *peer, const char *data, size_t bytes)
{
    if (bytes > peer->in_room) {
        peer->in_room = (uint32_t)bytes * 2;
        peer->in = realloc(peer->in, peer->in_room);
        ASSERT(peer->in != NULL);
    }
    memmove(peer->in, data, bytes);
    peer->in_bytes = (uint32_t)bytes;
}

static void take(struct load *load, struct peer *peer, const char *data, size_t bytes)
{
    size_t used = peer->has_upgraded ? 0 : take_head(load, peer, data, bytes);
    if (peer->has_upgraded)
        used += take_frames(load, peer, data + used, bytes - used);
    if (used < bytes)
        keep_rest(peer, data + used, bytes - used);
    else
        peer->in_bytes = 0;
}

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    struct load *load = context;
    struct peer *peer = container_of(socket, struct peer, socket);
    if (result <= 0) {
        peer->is_gone = true;
        list_remove(&peer->flush_link);
        if (!load->is_ending)
            broken(load, "the server closed the connection", "", 0);
        io_close(load->io, socket);
        return;
    }
    if (peer->in_bytes == 0) {
        take(load, peer, data, (size_t)result);
        return;
    }
    if (peer->in_bytes + (uint32_t)result > peer->in_room) {
        peer->in_room = (peer->in_bytes + (uint32_t)result) * 2;
        peer->in = realloc(peer->in, peer->in_room);
        ASSERT(peer->in != NULL);
    }
    memcpy(peer->in + peer->in_bytes, data, (size_t)result);
    take(load, peer, peer->in, peer->in_bytes + (size_t)result);
}

static void on_sent(void *context, struct io_socket *socket, int result)
{
    struct load *load = context;
    struct peer *peer = container_of(socket, struct peer, socket);
    if (result == 0 && peer->out_bytes > 0 && list_is_empty(&peer->flush_link))
        list_append(&load->flush, &peer->flush_link);
}

static void on_closed(void *context, struct io_socket *socket)
{
    struct load *load = context;
    (void)socket;
    load->open_count--;
}

static void on_accept(void *context, uint32_t listener, int fd)
{
    (void)context, (void)listener, (void)fd;
}

static void on_released(void *context, struct io_socket *socket, int fd)
{
    (void)context, (void)socket, (void)fd;
}

static void on_written(void *context, struct io_write *write, int result)
{
    (void)context, (void)write, (void)result;
}

const struct io_handlers *peer_handlers(void)
{
    static const struct io_handlers handlers = {on_accept, on_recv, on_sent, on_closed, on_released, on_written};
    return &handlers;
}
