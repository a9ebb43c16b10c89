/* load_wire.c: what is written. */
#include "load/wire.h"

#include <stdio.h>
#include <string.h>

#define HEADER_BYTES_LONG 8u /* with a length of 16 bits and the mask */
#define HEADER_BYTES_SHORT 6u

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put(char *at, const char *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

static char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[sizeof digits - ++count] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return put(at, digits + sizeof digits - count, count);
}

static void mask_payload(char *payload, size_t bytes, uint32_t mask)
{
    uint64_t wide = (uint64_t)mask << 32 | mask;
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t word;
        memcpy(&word, payload + at, 8);
        word ^= wide;
        memcpy(payload + at, &word, 8);
    }
    for (; at < bytes; at++)
        payload[at] = (char)(payload[at] ^ (char)(mask >> 8 * (at & 3)));
}

/* The payload stands behind room for the longer header; it moves if the shorter one will do. */
static size_t seal(char *out, char *end, uint8_t opcode, uint32_t mask)
{
    size_t bytes = (size_t)(end - out) - HEADER_BYTES_LONG;
    size_t header_bytes = bytes < 126 ? HEADER_BYTES_SHORT : HEADER_BYTES_LONG;
    mask_payload(out + HEADER_BYTES_LONG, bytes, mask);
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
    char *at = PUT(out + HEADER_BYTES_LONG, "{\"op\":\"login\",\"id\":");
    at = put_number(at, id);
    at = PUT(at, ",\"user\":\"");
    at = put(at, login->user.data, login->user.bytes);
    at = PUT(at, "\"");
    if (login->has_after) {
        at = PUT(at, ",\"after\":");
        at = put_number(at, login->after);
    }
    if (login->epoch.bytes > 0) {
        at = PUT(at, ",\"epoch\":\"");
        at = put(at, login->epoch.data, login->epoch.bytes);
        at = PUT(at, "\"");
    }
    return seal(out, PUT(at, "}"), LOAD_WIRE_TEXT, mask);
}

char *load_wire_begin_send(char *out, const struct load_wire_send *send, char **text_r)
{
    char *at = PUT(out + HEADER_BYTES_LONG, "{\"op\":\"send\",\"id\":");
    at = put_number(at, send->id);
    at = PUT(at, ",\"to\":\"");
    at = put(at, send->to.data, send->to.bytes);
    if (send->key.bytes > 0) {
        at = PUT(at, "\",\"key\":\"");
        at = put(at, send->key.data, send->key.bytes);
    }
    at = PUT(at, "\",\"text\":\"");
    *text_r = at;
    return PUT(at + send->text_bytes, "\"}");
}

size_t load_wire_end_send(char *out, char *end, uint32_t mask)
{
    return seal(out, end, LOAD_WIRE_TEXT, mask);
}

size_t load_wire_put_history(char *out, uint32_t mask, uint64_t id, uint64_t before, uint32_t limit)
{
    char *at = PUT(out + HEADER_BYTES_LONG, "{\"op\":\"history\",\"id\":");
    at = put_number(at, id);
    if (before > 0) {
        at = PUT(at, ",\"before\":");
        at = put_number(at, before);
    }
    at = PUT(at, ",\"limit\":");
    at = put_number(at, limit);
    return seal(out, PUT(at, "}"), LOAD_WIRE_TEXT, mask);
}

size_t load_wire_put_pong(char *out, uint32_t mask, struct span payload)
{
    return seal(out, put(out + HEADER_BYTES_LONG, payload.data, payload.bytes), LOAD_WIRE_PONG, mask);
}

size_t load_wire_put_upgrade(char *out, const char *host)
{
    int bytes = snprintf(
        out, LOAD_WIRE_ROOM,
        "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: chitchat.v1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host);
    return (size_t)bytes;
}
