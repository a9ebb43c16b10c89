#include "hostile_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "hostile_hello.h"
#include "load/wire.h"

#define FIN 0x80u
#define HEADER_BYTES 6u /* of a short masked frame */
#define FLOOD_BYTES 65536u
#define HISTORY_PAGES 1000u
#define UNANSWERED_MAX 1024u /* requests of one connection that the server reads before it answers */
#define KEYS LIMIT_KEYS
#define GARBAGE_BYTES 4096u
#define HEAD_BYTES 7168u
#define LENGTH_HEADER_BYTES 14u /* of a long masked frame */
#define LENGTH_PAYLOAD_BYTES 1000u
#define TEXT_BYTES 64u
#define FILL_CONNECTIONS 8u

#define FANOUT(count)                                                                                                  \
    .about = "one user with " #count " connections; 50 of them, or all, send to that user, 20 sends unanswered each",  \
    .unit = HOSTILE_SENDS, .connections = count, .senders = 50, .opening = HOSTILE_OPENS_LOGIN, .block = HOSTILE_SEND, \
    .pace = HOSTILE_WINDOW, .window = 20, .block_answers = 1

#define FLOODERS(count)                                                                                                \
    .unit = HOSTILE_FRAMES, .connections = count, .user_sessions = 1, .opening = HOSTILE_OPENS_LOGIN,                  \
    .pace = HOSTILE_FLOOD

#define BAD_FRAMES(count)                                                                                              \
    .about = "6 connections, each again and again: the upgrade, " #count " bad frames and a login in one write",       \
    .unit = HOSTILE_CONNECTIONS, .connections = 6, .user_sessions = 1, .opening = HOSTILE_OPENS_BAD_FRAMES,            \
    .bad_frames = count, .end = HOSTILE_ENDS_ANSWERED, .session_ms = 2000

static const struct hostile_plan plans[] = {
    {.name = "fan-out-1000", FANOUT(1000)},
    {.name = "fan-out-100", FANOUT(100)},
    {.name = "fan-out-30", FANOUT(30)},
    {.name = "history-with",
     .about = "8 connections of a user with 12,000 entries each ask at once for 1,000 pages `with` an unknown user",
     .unit = HOSTILE_PAGES,
     .connections = 8,
     .fill = 12000,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_HISTORY,
     .pages = HISTORY_PAGES,
     .pace = HOSTILE_WINDOW,
     .window = 1,
     .block_answers = HISTORY_PAGES},
    {.name = "unanswered",
     .about = "1,000 connections of a user with 12,000 entries, 1,024 pages `with` an unknown user unanswered on each",
     .unit = HOSTILE_PAGES,
     .connections = 1000,
     .fill = 12000,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_HISTORY,
     .pages = UNANSWERED_MAX,
     .pace = HOSTILE_WINDOW,
     .window = 1,
     .block_answers = UNANSWERED_MAX},
    {.name = "pages-deaf",
     .about = "200 connections of a user with 12,000 entries: pages of 1,000 entries again and again; nothing is read",
     .unit = HOSTILE_FRAMES,
     .connections = 200,
     .fill = 12000,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_PAGES_OF_ALL,
     .pages = HISTORY_PAGES,
     .pace = HOSTILE_FLOOD,
     .is_deaf = true,
     .is_about_memory = true},
    {.name = "key-windows",
     .about = "2,000 users, each again and again: sends with 10,000 different keys",
     .unit = HOSTILE_SENDS,
     .connections = 2000,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_KEYED,
     .pace = HOSTILE_WINDOW,
     .window = 1,
     .block_answers = KEYS,
     .is_about_memory = true},
    {.name = "pongs", .about = "8 connections: empty pongs", FLOODERS(8), .block = HOSTILE_PONGS},
    {.name = "pongs-1", .about = "one connection: empty pongs", FLOODERS(1), .block = HOSTILE_PONGS},
    {.name = "continuations",
     .about = "8 connections: empty continuation frames of a message that never ends",
     FLOODERS(8),
     .block = HOSTILE_CONTINUATIONS},
    {.name = "pings", .about = "4 connections: empty pings; the pongs are read", FLOODERS(4), .block = HOSTILE_PINGS},
    {.name = "pings-125",
     .about = "4 connections: pings of 125 bytes; the pongs are read",
     FLOODERS(4),
     .block = HOSTILE_PINGS,
     .payload_bytes = 125},
    {.name = "pings-deaf",
     .about = "4 connections: pings of 125 bytes; nothing is read",
     FLOODERS(4),
     .block = HOSTILE_PINGS,
     .payload_bytes = 125,
     .is_deaf = true},
    {.name = "bad-frames", BAD_FRAMES(2000)},
    {.name = "bad-frames-700", BAD_FRAMES(700)},
    {.name = "full-refusals",
     .about = "connects until the server is full, then 300 more a second, each held for 3 s",
     .unit = HOSTILE_REFUSALS,
     .connections = 15000,
     .user_sessions = 100,
     .opening = HOSTILE_OPENS_LOGIN,
     .extra_per_s = 300,
     .hold_ms = 3000},
    {.name = "partial-heads",
     .about = "10,000 connections, each with 7 KB of an HTTP head that never ends",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 10000,
     .user_sessions = 1,
     .block = HOSTILE_HEAD,
     .least_s = 12,
     .is_about_memory = true},
    {.name = "slow-heads",
     .about = "200 connections, each with an HTTP head of which every byte is a write of its own",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 200,
     .user_sessions = 1,
     .block = HOSTILE_HEAD,
     .pace = HOSTILE_BYTEWISE},
    {.name = "silent",
     .about = "5,000 connections that send nothing",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 5000,
     .user_sessions = 1,
     .least_s = 12,
     .is_about_memory = true},
    {.name = "connects",
     .about = "64 connections, each again and again: connect, close",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 64,
     .user_sessions = 1,
     .end = HOSTILE_ENDS_ANSWERED},
    {.name = "half-closes",
     .about = "64 connections, each again and again: the upgrade, 20 bad frames, a login, the end of its side; the "
              "answers are read",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 64,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_BAD_FRAMES,
     .bad_frames = 20,
     .is_half_closing = true},
    {.name = "half-closes-deaf",
     .about = "2,000 connections: a login, the end of its side; nothing is read",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 2000,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_BAD_FRAMES,
     .bad_frames = 200,
     .is_half_closing = true,
     .is_deaf = true},
    {.name = "garbage",
     .about = "16 connections, each again and again: 4 KB of garbage for an HTTP head",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 16,
     .user_sessions = 1,
     .block = HOSTILE_GARBAGE},
    {.name = "garbage-frames",
     .about = "16 connections, each again and again: a login, 4 KB of garbage for frames",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 16,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_GARBAGE},
    {.name = "huge-lengths",
     .about = "16 connections, each again and again: a login, a frame that declares 2^63 - 1 bytes",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 16,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_LENGTH,
     .declared = (UINT64_C(1) << 63) - 1},
    {.name = "long-frames",
     .about = "2,000 connections, each with 1,000 bytes of a frame that declares 131,072",
     .unit = HOSTILE_CONNECTIONS,
     .connections = 2000,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_LENGTH,
     .declared = 131072,
     .is_about_memory = true},
    {.name = "bad-requests",
     .about = "8 connections: text frames `{}`, each answered by an error",
     FLOODERS(8),
     .block = HOSTILE_TEXTS,
     .text = "{}"},
    {.name = "tiny-frames",
     .about = "8 connections: text frames of one byte, each answered by an error",
     FLOODERS(8),
     .block = HOSTILE_TEXTS,
     .text = "{"},
    {.name = "slow-sends",
     .about = "200 connections, each with sends of which every byte is a write of its own",
     .unit = HOSTILE_SENDS,
     .connections = 200,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_LOGIN,
     .block = HOSTILE_SEND,
     .pace = HOSTILE_BYTEWISE,
     .block_answers = 1},
    {.name = "login-storm",
     .about = "4 connections, each again and again: connect, upgrade, login, close",
     .unit = HOSTILE_LOGINS,
     .connections = 4,
     .user_sessions = 1,
     .opening = HOSTILE_OPENS_LOGIN,
     .end = HOSTILE_ENDS_ANSWERED},
    {.name = "replay",
     .about = "200 connections of a user with 12,000 entries, each again and again: a login with `after` 0",
     .unit = HOSTILE_REPLAYS,
     .connections = 200,
     .fill = 12000,
     .opening = HOSTILE_OPENS_REPLAY,
     .end = HOSTILE_ENDS_LIVE},
    {.name = "tls-hellos",
     .about = "64 connections, each again and again: a ClientHello; closed when the server has answered",
     .unit = HOSTILE_FLIGHTS,
     .connections = 64,
     .block = HOSTILE_HELLO,
     .end = HOSTILE_ENDS_FLIGHT,
     .is_tls = true},
    {.name = "tls-half-open",
     .about = "10,000 connections, each with a ClientHello and nothing more",
     .unit = HOSTILE_FLIGHTS,
     .connections = 10000,
     .block = HOSTILE_HELLO,
     .least_s = 12,
     .is_about_memory = true,
     .is_tls = true},
    {.name = "tls-slow-hellos",
     .about = "200 connections, each with ClientHellos of which every byte is a write of its own",
     .unit = HOSTILE_FLIGHTS,
     .connections = 200,
     .block = HOSTILE_HELLO,
     .pace = HOSTILE_BYTEWISE,
     .is_tls = true},
};

#define PLANS ((uint32_t)(sizeof plans / sizeof plans[0]))

uint32_t hostile_plan_count(void)
{
    return PLANS;
}

const struct hostile_plan *hostile_plan_at(uint32_t index)
{
    ASSERT(index < PLANS);
    return &plans[index];
}

uint32_t hostile_plan_find(const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < PLANS; i++)
        if (strlen(plans[i].name) == bytes && memcmp(plans[i].name, name, bytes) == 0)
            return i;
    return UINT32_MAX;
}

const struct hostile_plan *hostile_plan_filler(void)
{
    static const struct hostile_plan filler = {.name = "fill",
                                               .about = "puts entries into the first user's timeline",
                                               .unit = HOSTILE_SENDS,
                                               .connections = FILL_CONNECTIONS,
                                               .opening = HOSTILE_OPENS_LOGIN,
                                               .block = HOSTILE_SEND,
                                               .pace = HOSTILE_WINDOW,
                                               .window = 16,
                                               .block_answers = 1};
    return &filler;
}

void hostile_plan_user(const struct hostile_plan *plan, const char *run, uint32_t nth, char name_r[HOSTILE_NAME_BYTES])
{
    uint32_t number = plan->user_sessions == 0 ? 0 : nth / plan->user_sessions;
    snprintf(name_r, HOSTILE_NAME_BYTES, "hostile-%s-%u", run, number);
}

/* The mask is 0, so a payload is written as it is. */
static char *put_frame(char *at, uint8_t first, const char *payload, size_t bytes)
{
    *at++ = (char)first;
    if (bytes < 126) {
        *at++ = (char)(0x80u | bytes);
    } else {
        *at++ = (char)(0x80u | 126u);
        *at++ = (char)(bytes >> 8);
        *at++ = (char)bytes;
    }
    memset(at, 0, 4);
    if (bytes > 0)
        memcpy(at + 4, payload, bytes);
    return at + 4 + bytes;
}

static int take_room(struct hostile_bytes *bytes_r, size_t room)
{
    *bytes_r = (struct hostile_bytes){.data = malloc(room)};
    return bytes_r->data != NULL ? 0 : -ENOMEM;
}

void hostile_bytes_free(struct hostile_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct hostile_bytes){.data = NULL};
}

static char *put_login(char *at, const char *user, bool has_after)
{
    struct load_wire_login login = {.user = {user, strlen(user)}, .has_after = has_after, .after = 0};
    return at + load_wire_put_login(at, 0, 1, &login);
}

int hostile_plan_build_opening(const struct hostile_plan *plan, const char *host, const char *user,
                               struct hostile_bytes *opening_r)
{
    *opening_r = (struct hostile_bytes){.data = NULL};
    if (plan->opening == HOSTILE_OPENS_SILENT)
        return 0;
    int status = take_room(opening_r, 2 * LOAD_WIRE_ROOM + plan->bad_frames * (HEADER_BYTES + 1));
    if (status != 0)
        return status;
    char *at = opening_r->data + load_wire_put_upgrade(opening_r->data, host);
    for (uint32_t i = 0; i < plan->bad_frames; i++)
        at = put_frame(at, FIN | LOAD_WIRE_TEXT, "{", 1);
    at = put_login(at, user, plan->opening == HOSTILE_OPENS_REPLAY);
    opening_r->bytes = (size_t)(at - opening_r->data);
    return 0;
}

uint32_t hostile_plan_opening_answers(const struct hostile_plan *plan)
{
    return plan->opening == HOSTILE_OPENS_SILENT ? 0 : plan->bad_frames + 1;
}

/* The same frame, as often as it fits. */
static int build_flood(uint8_t first, const char *payload, size_t payload_bytes, struct hostile_bytes *block_r)
{
    int status = take_room(block_r, FLOOD_BYTES);
    if (status != 0)
        return status;
    char *at = put_frame(block_r->data, first, payload, payload_bytes);
    block_r->unit_bytes = (size_t)(at - block_r->data);
    while ((size_t)(at - block_r->data) + block_r->unit_bytes <= FLOOD_BYTES)
        at = put_frame(at, first, payload, payload_bytes);
    block_r->bytes = (size_t)(at - block_r->data);
    return 0;
}

/* The first frame begins the message; all others are its continuations. */
static int build_continuations(struct hostile_bytes *block_r)
{
    int status = build_flood(0, NULL, 0, block_r);
    if (status != 0)
        return status;
    put_frame(block_r->data, LOAD_WIRE_TEXT, NULL, 0);
    block_r->loop_at = block_r->unit_bytes;
    return 0;
}

static int build_send(const char *user, struct hostile_bytes *block_r)
{
    char text[TEXT_BYTES], json[LOAD_WIRE_ROOM];
    memset(text, 'x', sizeof text);
    int bytes = snprintf(json, sizeof json, "{\"op\":\"send\",\"id\":2,\"to\":\"%s\",\"text\":\"%.*s\"}", user,
                         (int)sizeof text, text);
    int status = take_room(block_r, sizeof json + HEADER_BYTES + 2);
    if (status != 0)
        return status;
    block_r->bytes = (size_t)(put_frame(block_r->data, FIN | LOAD_WIRE_TEXT, json, (size_t)bytes) - block_r->data);
    block_r->unit_bytes = block_r->bytes;
    return 0;
}

/* The same request, `count` times. */
static int build_pages(const char *request, uint32_t count, struct hostile_bytes *block_r)
{
    size_t unit_bytes = HEADER_BYTES + strlen(request);
    int status = take_room(block_r, count * unit_bytes);
    if (status != 0)
        return status;
    char *at = block_r->data;
    for (uint32_t i = 0; i < count; i++)
        at = put_frame(at, FIN | LOAD_WIRE_TEXT, request, strlen(request));
    block_r->bytes = (size_t)(at - block_r->data);
    block_r->unit_bytes = unit_bytes;
    return 0;
}

/* All units have one length. */
static int build_keyed(const char *user, struct hostile_bytes *block_r)
{
    char json[LOAD_WIRE_ROOM];
    int status = take_room(block_r, KEYS * (sizeof json + HEADER_BYTES + 2));
    if (status != 0)
        return status;
    char *at = block_r->data;
    for (uint32_t i = 0; i < KEYS; i++) {
        int bytes = snprintf(json, sizeof json,
                             "{\"op\":\"send\",\"id\":4,\"to\":\"%s\",\"text\":\"x\",\"key\":\"%08u\"}", user, i);
        at = put_frame(at, FIN | LOAD_WIRE_TEXT, json, (size_t)bytes);
    }
    block_r->bytes = (size_t)(at - block_r->data);
    block_r->unit_bytes = block_r->bytes / KEYS;
    return 0;
}

/* Neither a method of HTTP nor a frame: the first byte has reserved bits. */
static int build_garbage(struct hostile_bytes *block_r)
{
    int status = take_room(block_r, GARBAGE_BYTES);
    if (status != 0)
        return status;
    uint32_t state = 1;
    for (size_t i = 0; i < GARBAGE_BYTES; i++) {
        state = state * 1664525u + 1013904223u;
        block_r->data[i] = (char)(0x70u | state >> 24);
    }
    block_r->bytes = block_r->unit_bytes = GARBAGE_BYTES;
    return 0;
}

static int build_length(uint64_t declared, struct hostile_bytes *block_r)
{
    int status = take_room(block_r, LENGTH_HEADER_BYTES + LENGTH_PAYLOAD_BYTES);
    if (status != 0)
        return status;
    char *at = block_r->data;
    *at++ = (char)(FIN | LOAD_WIRE_TEXT);
    *at++ = (char)(0x80u | 127u);
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (char)(declared >> shift);
    memset(at, 0, 4); /* the mask */
    memset(at + 4, 'x', LENGTH_PAYLOAD_BYTES);
    block_r->bytes = block_r->unit_bytes = LENGTH_HEADER_BYTES + LENGTH_PAYLOAD_BYTES;
    return 0;
}

static int build_head(const char *host, struct hostile_bytes *block_r)
{
    int status = take_room(block_r, HEAD_BYTES);
    if (status != 0)
        return status;
    int bytes = snprintf(block_r->data, HEAD_BYTES, "GET /ws HTTP/1.1\r\nHost: %s\r\nX-Long: ", host);
    memset(block_r->data + bytes, 'x', HEAD_BYTES - (size_t)bytes);
    block_r->bytes = block_r->unit_bytes = HEAD_BYTES;
    return 0;
}

int hostile_plan_build_block(const struct hostile_plan *plan, const char *host, const char *user,
                             struct hostile_bytes *block_r)
{
    static const char zeros[125];
    *block_r = (struct hostile_bytes){.data = NULL};
    switch (plan->block) {
    case HOSTILE_SEND: return build_send(user, block_r);
    case HOSTILE_HISTORY: return build_pages("{\"op\":\"history\",\"id\":3,\"with\":\"nobody\"}", plan->pages, block_r);
    case HOSTILE_PAGES_OF_ALL: return build_pages("{\"op\":\"history\",\"id\":3,\"limit\":1000}", plan->pages, block_r);
    case HOSTILE_KEYED: return build_keyed(user, block_r);
    case HOSTILE_GARBAGE: return build_garbage(block_r);
    case HOSTILE_HELLO: return hostile_hello_build(block_r);
    case HOSTILE_LENGTH: return build_length(plan->declared, block_r);
    case HOSTILE_PONGS: return build_flood(FIN | LOAD_WIRE_PONG, NULL, 0, block_r);
    case HOSTILE_PINGS: return build_flood(FIN | LOAD_WIRE_PING, zeros, plan->payload_bytes, block_r);
    case HOSTILE_CONTINUATIONS: return build_continuations(block_r);
    case HOSTILE_TEXTS: return build_flood(FIN | LOAD_WIRE_TEXT, plan->text, strlen(plan->text), block_r);
    case HOSTILE_HEAD: return build_head(host, block_r);
    case HOSTILE_NOTHING: break;
    }
    return 0;
}
