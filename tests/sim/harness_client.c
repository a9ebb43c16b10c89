/* harness_client.c: the clients of the harness, which send and read frames. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness_double.h"
#include "server/core_handlers.h"

struct client *harness_client_of(struct harness *harness, int fd)
{
    struct client *client = harness->clients;
    while (client != NULL && client->fd != fd)
        client = client->next;
    ASSERT(client != NULL);
    return client;
}

#define ROOM_FIRST 4096u

/* The buffer grows with what it holds: AddressSanitizer would mark all of a large one, for each client. */
static void make_room(char **data, size_t *room, size_t bytes)
{
    HARNESS_MUST(bytes <= CLIENT_BYTES_MAX);
    if (bytes <= *room)
        return;
    while (*room < bytes)
        *room = *room == 0 ? ROOM_FIRST : *room * 2;
    *data = realloc(*data, *room);
    HARNESS_MUST(*data != NULL);
}

void harness_client_receive(struct client *client, const void *data, size_t bytes)
{
    make_room(&client->in, &client->in_room, client->in_bytes + bytes);
    memcpy(client->in + client->in_bytes, data, bytes);
    client->in_bytes += bytes;
}

void harness_client_take(struct client *client, char *data, size_t bytes)
{
    HARNESS_MUST(bytes <= client_bytes_left(client));
    memcpy(data, client->out + client->out_taken, bytes);
    client->out_taken += bytes;
    if (client->out_taken == client->out_bytes)
        client->out_taken = client->out_bytes = 0;
}

static void add(struct client *client, const void *data, size_t bytes)
{
    make_room(&client->out, &client->out_room, client->out_bytes + bytes);
    memcpy(client->out + client->out_bytes, data, bytes);
    client->out_bytes += bytes;
}

/* Clients that choose no address share these. */
#define HOSTS 3

static uint8_t any_host(const struct harness *harness)
{
    return (uint8_t)(1 + harness->next_fd % HOSTS);
}

struct client *client_accept(struct harness *harness, uint32_t shard)
{
    return client_accept_from(harness, shard, any_host(harness));
}

struct client *client_accept_from(struct harness *harness, uint32_t shard, uint8_t host)
{
    struct client *client = calloc(1, sizeof *client);
    HARNESS_MUST(client != NULL);
    client->harness = harness;
    client->fd = host * HARNESS_FDS_OF_HOST + harness->next_fd++;
    make_room(&client->in, &client->in_room, ROOM_FIRST);
    make_room(&client->out, &client->out_room, ROOM_FIRST);
    client->next = harness->clients;
    harness->clients = client;
    core_handlers()->io.on_accept(harness->cores[shard], 0, client->fd);
    return client;
}

struct client *client_begin(struct harness *harness, uint32_t shard)
{
    return client_begin_from(harness, shard, any_host(harness));
}

struct client *client_begin_from(struct harness *harness, uint32_t shard, uint8_t host)
{
    static const char head[] = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct client *client = client_accept_from(harness, shard, host);
    add(client, head, sizeof head - 1);
    return client;
}

void client_send_bytes(struct client *client, const char *data, size_t bytes)
{
    add(client, data, bytes);
}

bool client_is_refused(const struct client *client)
{
    return client->in_bytes > 12 && memcmp(client->in, "HTTP/1.1 503", 12) == 0;
}

bool client_take_head(struct client *client)
{
    char *end = memmem(client->in, client->in_bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    HARNESS_MUST(memcmp(client->in, "HTTP/1.1 101", 12) == 0);
    client->in_taken = (size_t)(end + 4 - client->in);
    return true;
}

struct client *client_connect(struct harness *harness, uint32_t shard)
{
    struct client *client = client_begin(harness, shard);
    harness_run_until_idle(harness);
    HARNESS_MUST(client_take_head(client));
    return client;
}

void client_free(struct client **client)
{
    struct client **at = &(*client)->harness->clients;
    while (*at != *client)
        at = &(*at)->next;
    *at = (*client)->next;
    free((*client)->in);
    free((*client)->out);
    free(*client);
    *client = NULL;
}

void client_send_frame(struct client *client, uint8_t first_byte, const char *payload, size_t bytes)
{
    uint8_t header[4] = {first_byte};
    uint32_t header_bytes = 2;
    HARNESS_MUST(bytes < 65536);
    if (bytes < 126) {
        header[1] = (uint8_t)(0x80 | bytes);
    } else {
        header[1] = 0x80 | 126;
        header[2] = (uint8_t)(bytes >> 8);
        header[3] = (uint8_t)bytes;
        header_bytes = 4;
    }
    add(client, header, header_bytes);
    add(client, "\0\0\0\0", 4); /* a mask that changes nothing */
    add(client, payload, bytes);
}

void client_send(struct client *client, const char *format, ...)
{
    char text[LIMIT_FRAME_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    HARNESS_MUST(bytes >= 0);
    client_send_frame(client, FRAME_TEXT, text, (size_t)bytes);
}

/* Header bytes of the frame at `at`, and the length of its payload. 0: the frame is not complete. */
static size_t frame_header(const uint8_t *at, size_t bytes, size_t *payload_bytes)
{
    size_t header_bytes = bytes < 2 ? 0 : at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;
    if (header_bytes == 0 || bytes < header_bytes)
        return 0;
    *payload_bytes = at[1];
    if (header_bytes > 2) {
        *payload_bytes = 0;
        for (size_t i = 2; i < header_bytes; i++)
            *payload_bytes = *payload_bytes << 8 | at[i];
    }
    return bytes < header_bytes + *payload_bytes ? 0 : header_bytes;
}

enum client_frame client_next_frame(struct client *client, char **data_r, size_t *bytes_r, int *code_r)
{
    for (;;) {
        uint8_t *at = (uint8_t *)client->in + client->in_taken;
        size_t header_bytes = frame_header(at, client->in_bytes - client->in_taken, bytes_r);
        if (header_bytes == 0) {
            memmove(client->in, at, client->in_bytes - client->in_taken);
            client->in_bytes -= client->in_taken;
            client->in_taken = 0;
            return CLIENT_NOTHING;
        }
        client->in_taken += header_bytes + *bytes_r;
        *data_r = (char *)at + header_bytes;
        *code_r = *bytes_r < 2 ? 1005 : at[2] << 8 | at[3];
        if (at[0] == 0x88)
            return CLIENT_CLOSE;
        client->pongs += at[0] == FRAME_PONG;
        if (at[0] == FRAME_TEXT)
            return CLIENT_TEXT; /* else ping, pong */
    }
}

json_t *client_next(struct client *client)
{
    char *data;
    size_t bytes;
    int code;
    json_error_t error;
    enum client_frame kind = client_next_frame(client, &data, &bytes, &code);
    if (kind == CLIENT_NOTHING)
        return NULL;
    if (kind == CLIENT_CLOSE)
        return json_pack("{s:i}", "close", code);
    json_t *frame = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
    if (frame == NULL)
        harness_fail("%s", error.text);
    return frame;
}

void client_stall(struct client *client, bool stalled)
{
    client->is_stalled = stalled;
}

void client_end(struct client *client)
{
    client->has_ended = true;
}

void client_drop(struct client *client)
{
    client->is_gone = true;
}

void clients_drop(struct harness *harness)
{
    for (struct client *client = harness->clients; client != NULL; client = client->next) {
        client->is_stalled = false;
        client->is_gone = true;
    }
}

size_t client_bytes_left(const struct client *client)
{
    return client->out_bytes - client->out_taken;
}

uint32_t client_pongs(const struct client *client)
{
    return client->pongs;
}

uint32_t client_parts(const struct client *client)
{
    return client->parts;
}

bool client_is_closed(const struct client *client)
{
    return client->is_closed;
}

struct client *client_login(struct harness *harness, uint32_t shard, const char *user, const char *extra)
{
    struct client *client = client_connect(harness, shard);
    client_send(client, "{\"op\":\"login\",\"id\":0,\"user\":\"%s\"%s}", user, extra);
    harness_run_until_idle(harness);
    json_decref(client_expect(client, "ok"));
    return client;
}

json_t *client_expect(struct client *client, const char *op)
{
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        if (strcmp(frame_text(frame, "op"), op) == 0)
            return frame;
    harness_fail("no frame `%s` was received", op);
}

uint64_t frame_number(const json_t *frame, const char *field)
{
    json_t *value = json_object_get(frame, field);
    if (!json_is_integer(value))
        harness_fail("the frame has no number %s", field);
    return (uint64_t)json_integer_value(value);
}

const char *frame_text(const json_t *frame, const char *field)
{
    const char *text = json_string_value(json_object_get(frame, field));
    return text == NULL ? "" : text;
}

const char *history_texts(struct client *client, const char *fields)
{
    static char texts[65536];
    size_t at = 0;
    size_t index;
    json_t *message;
    client_send(client, "{\"op\":\"history\",\"id\":77%s}", fields);
    harness_run_until_idle(client->harness);
    json_t *frame = client_expect(client, "history");
    texts[0] = '\0';
    json_array_foreach(json_object_get(frame, "messages"), index, message) at +=
        (size_t)snprintf(texts + at, sizeof texts - at, "%s%s", index == 0 ? "" : " ", frame_text(message, "text"));
    json_decref(frame);
    return texts;
}
