/* wire.c: what a client writes. */
#include "load/wire.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "load/put.h"

#define HEADER_BYTES_LONG 8u /* with a length of 16 bits and the mask */
#define HEADER_BYTES_SHORT 6u

/* Masks the payload, which stands behind room for the longer header, and moves it if the shorter header is enough. */
static size_t seal(char *out, char *end, uint8_t opcode, uint32_t mask)
{
    size_t bytes = (size_t)(end - out) - HEADER_BYTES_LONG;
    ASSERT(bytes <= UINT16_MAX);
    size_t header_bytes = bytes < 126 ? HEADER_BYTES_SHORT : HEADER_BYTES_LONG;
    load_put_mask(out + HEADER_BYTES_LONG, bytes, mask);
    out[0] = (char)(0x80 | opcode);
    if (bytes < 126) {
        memmove(out + HEADER_BYTES_SHORT, out + HEADER_BYTES_LONG, bytes);
        out[1] = (char)(0x80 | bytes);
    } else {
        out[1] = (char)(0x80 | 126);
        out[2] = (char)(bytes >> 8);
        out[3] = (char)bytes;
    }
    memcpy(out + header_bytes - 4, &mask, 4);
    return header_bytes + bytes;
}

size_t load_wire_put_login(char *out, uint32_t mask, uint64_t id, const struct load_wire_login *login)
{
    char *at = LOAD_PUT(out + HEADER_BYTES_LONG, "{\"op\":\"login\",\"id\":");
    at = load_put_number(at, id);
    at = login->token.bytes > 0 ? LOAD_PUT(at, ",\"token\":\"") : LOAD_PUT(at, ",\"user\":\"");
    at = login->token.bytes > 0 ? load_put(at, login->token.data, login->token.bytes)
                                : load_put(at, login->user.data, login->user.bytes);
    at = LOAD_PUT(at, "\"");
    if (login->has_after) {
        at = LOAD_PUT(at, ",\"after\":");
        at = load_put_number(at, login->after);
    }
    if (login->epoch.bytes > 0) {
        at = LOAD_PUT(at, ",\"epoch\":\"");
        at = load_put(at, login->epoch.data, login->epoch.bytes);
        at = LOAD_PUT(at, "\"");
    }
    return seal(out, LOAD_PUT(at, "}"), LOAD_WIRE_TEXT, mask);
}

char *load_wire_begin_send(char *out, const struct load_wire_send *send, char **text_r)
{
    char *at = LOAD_PUT(out + HEADER_BYTES_LONG, "{\"op\":\"send\",\"id\":");
    at = load_put_number(at, send->id);
    at = LOAD_PUT(at, ",\"to\":\"");
    at = load_put(at, send->to.data, send->to.bytes);
    if (send->key.bytes > 0) {
        at = LOAD_PUT(at, "\",\"key\":\"");
        at = load_put(at, send->key.data, send->key.bytes);
    }
    at = LOAD_PUT(at, "\",\"text\":\"");
    *text_r = at;
    return LOAD_PUT(at + send->text_bytes, "\"}");
}

size_t load_wire_end_send(char *out, char *end, uint32_t mask)
{
    return seal(out, end, LOAD_WIRE_TEXT, mask);
}

/* The rest of a request for a page, behind its op. */
static char *put_page(char *at, uint64_t id, uint64_t before, uint32_t limit)
{
    at = LOAD_PUT(at, ",\"id\":");
    at = load_put_number(at, id);
    if (before > 0) {
        at = LOAD_PUT(at, ",\"before\":");
        at = load_put_number(at, before);
    }
    at = LOAD_PUT(at, ",\"limit\":");
    return load_put_number(at, limit);
}

size_t load_wire_put_history(char *out, uint32_t mask, uint64_t id, uint64_t before, uint32_t limit, struct span with)
{
    char *at = put_page(LOAD_PUT(out + HEADER_BYTES_LONG, "{\"op\":\"history\""), id, before, limit);
    if (with.bytes > 0) {
        at = LOAD_PUT(at, ",\"with\":\"");
        at = load_put(at, with.data, with.bytes);
        at = LOAD_PUT(at, "\"");
    }
    return seal(out, LOAD_PUT(at, "}"), LOAD_WIRE_TEXT, mask);
}

size_t load_wire_put_peers(char *out, uint32_t mask, uint64_t id, uint64_t before, uint32_t limit)
{
    char *at = put_page(LOAD_PUT(out + HEADER_BYTES_LONG, "{\"op\":\"peers\""), id, before, limit);
    return seal(out, LOAD_PUT(at, "}"), LOAD_WIRE_TEXT, mask);
}

size_t load_wire_put_seen(char *out, uint32_t mask, uint64_t id, struct span with, uint64_t ts)
{
    char *at = LOAD_PUT(out + HEADER_BYTES_LONG, "{\"op\":\"seen\",\"id\":");
    at = load_put_number(at, id);
    at = LOAD_PUT(at, ",\"with\":\"");
    at = load_put(at, with.data, with.bytes);
    at = LOAD_PUT(at, "\",\"ts\":");
    return seal(out, LOAD_PUT(load_put_number(at, ts), "}"), LOAD_WIRE_TEXT, mask);
}

size_t load_wire_put_typing(char *out, uint32_t mask, uint64_t id, struct span to)
{
    char *at = LOAD_PUT(out + HEADER_BYTES_LONG, "{\"op\":\"typing\",\"id\":");
    at = load_put_number(at, id);
    at = LOAD_PUT(at, ",\"to\":\"");
    at = load_put(at, to.data, to.bytes);
    return seal(out, LOAD_PUT(at, "\"}"), LOAD_WIRE_TEXT, mask);
}

size_t load_wire_put_ping(char *out, uint32_t mask, uint64_t id)
{
    char *at = LOAD_PUT(out + HEADER_BYTES_LONG, "{\"op\":\"ping\",\"id\":");
    return seal(out, LOAD_PUT(load_put_number(at, id), "}"), LOAD_WIRE_TEXT, mask);
}

size_t load_wire_put_pong(char *out, uint32_t mask, struct span payload)
{
    ASSERT(payload.bytes <= LOAD_WIRE_CONTROL_BYTES_MAX);
    return seal(out, load_put(out + HEADER_BYTES_LONG, payload.data, payload.bytes), LOAD_WIRE_PONG, mask);
}

size_t load_wire_put_upgrade(char *out, const char *host)
{
    int bytes = snprintf(
        out, LOAD_WIRE_ROOM,
        "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: chitchat.v1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host);
    ASSERT(bytes > 0 && bytes < (int)LOAD_WIRE_ROOM);
    return (size_t)bytes;
}
