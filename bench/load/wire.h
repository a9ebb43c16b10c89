/*
 * wire.h: the protocol (PROTOCOL.md) as a client writes it (wire.c) and reads it (wire_read.c). Masked frames are
 * written to the caller's buffer; server frames are read in place. Nothing is allocated. Pure.
 */
#ifndef CHITCHAT_BENCH_LOAD_WIRE_H
#define CHITCHAT_BENCH_LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Room for any frame that these functions write, beside the text of a send and the token of a login. */
#define LOAD_WIRE_ROOM 512u
/* The payload of a control frame (RFC 6455), and a mid (PROTOCOL.md). */
#define LOAD_WIRE_CONTROL_BYTES_MAX 125u
#define LOAD_WIRE_MID_CHARS_MAX 20u

/* Each writes one masked frame to `out`, which has room for it, and returns its bytes. `mask` is the frame's mask. */
struct load_wire_login {
    struct span user;
    struct span token; /* in place of the user; empty: none */
    bool has_after;
    uint64_t after;
    struct span epoch; /* empty: none */
};
size_t load_wire_put_login(char *out, uint32_t mask, uint64_t id, const struct load_wire_login *login);

/* The caller writes the text, `text_bytes` at *text_r, and then calls load_wire_end_send with what this returned. */
struct load_wire_send {
    uint64_t id;
    struct span to;
    struct span key; /* empty: none */
    uint32_t text_bytes;
};
char *load_wire_begin_send(char *out, const struct load_wire_send *send, char **text_r);
size_t load_wire_end_send(char *out, char *end, uint32_t mask);

/* `before` 0: the newest. `with`: only of the conversation with this user; empty: of all. */
size_t load_wire_put_history(char *out, uint32_t mask, uint64_t id, uint64_t before, uint32_t limit, struct span with);
size_t load_wire_put_peers(char *out, uint32_t mask, uint64_t id, uint64_t before, uint32_t limit);
size_t load_wire_put_seen(char *out, uint32_t mask, uint64_t id, struct span with, uint64_t ts);
size_t load_wire_put_typing(char *out, uint32_t mask, uint64_t id, struct span to);
/* The request `ping`, not the control frame. */
size_t load_wire_put_ping(char *out, uint32_t mask, uint64_t id);
/* Answers a ping, whose payload (at most LOAD_WIRE_CONTROL_BYTES_MAX) is repeated. */
size_t load_wire_put_pong(char *out, uint32_t mask, struct span payload);
size_t load_wire_put_upgrade(char *out, const char *host);

/* A server's frame. */
enum { LOAD_WIRE_TEXT = 1, LOAD_WIRE_CLOSE = 8, LOAD_WIRE_PING = 9, LOAD_WIRE_PONG = 10 };
struct load_wire_frame {
    uint8_t opcode;
    struct span payload; /* borrows data */
    size_t wanted_bytes; /* of an incomplete frame: it stays incomplete with fewer bytes than these */
};
/* The bytes of the frame at `data`; 0: it is incomplete; -1: no server sends this (masked, fragmented, reserved bits,
 * too long). */
int64_t load_wire_read_frame(const char *data, size_t bytes, struct load_wire_frame *frame_r);

/* An object of the protocol: the fields of all operations; an absent field is empty or 0. Strings are as on the wire,
 * with their escapes. */
struct load_wire_object {
    struct span op, mid, from, to, text, key, code, epoch, user, with;
    struct span messages; /* the array, with its brackets: that of `history` or of `peers` */
    struct span entry;    /* the object `last` of a conversation */
    uint64_t id, ts, prev, last, next, retry_after, unseen, seen, seen_by;
    bool has_id, has_prev, has_ts, has_next, dup, reset, more;
    bool is_any; /* read by the general reader: any field may be set */
};
/* Reads one object at `at`; returns what follows it, or NULL if there is none. */
const char *load_wire_read_object(const char *at, const char *end, struct load_wire_object *object_r);
/* Reads the next element of `messages`. *at is NULL at first, and *object is the same for all elements. False at the
 * end; *is_broken_r if `messages` is no array of objects. */
bool load_wire_next_message(struct span messages, const char **at, struct load_wire_object *object, bool *is_broken_r);

/* In the header, so that the compiler knows the length of a literal. */
static inline bool load_wire_is(struct span span, const char *word)
{
    return span.bytes == strlen(word) && memcmp(span.data, word, span.bytes) == 0;
}

/* Whether this may be the mid of a message. */
static inline bool load_wire_is_mid(struct span mid)
{
    return mid.bytes > 0 && mid.bytes <= LOAD_WIRE_MID_CHARS_MAX;
}

#endif
