/*
 * load_wire.h: PROTOCOL as a client writes and reads it: masked frames into a buffer that the caller gives, server
 * frames read where they lie. Nothing is allocated, nothing is kept. Pure.
 */
#ifndef CHITCHAT_BENCH_LOAD_WIRE_H
#define CHITCHAT_BENCH_LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Room for any frame that these write, beside the text. */
#define LOAD_WIRE_ROOM 512u

/* Each writes a whole masked frame to `out`, with room for it, and returns its bytes. `mask` is the frame's mask. */
struct load_wire_login {
    struct span user;
    bool has_after;
    uint64_t after;
    struct span epoch; /* empty: none */
};
size_t load_wire_put_login(char *out, uint32_t mask, uint64_t id, const struct load_wire_login *login);

/* The text is left to the caller, who writes `text_bytes` where *text_r says, and then calls load_wire_end_send. */
struct load_wire_send {
    uint64_t id;
    struct span to;
    struct span key; /* empty: none */
    uint32_t text_bytes;
};
char *load_wire_begin_send(char *out, const struct load_wire_send *send, char **text_r);
size_t load_wire_end_send(char *out, char *end, uint32_t mask);

/* `before` 0: the newest. */
size_t load_wire_put_history(char *out, uint32_t mask, uint64_t id, uint64_t before, uint32_t limit);
/* Answers a ping: `payload` is its. */
size_t load_wire_put_pong(char *out, uint32_t mask, struct span payload);
size_t load_wire_put_upgrade(char *out, const char *host);

/* A server's frame. */
enum { LOAD_WIRE_TEXT = 1, LOAD_WIRE_CLOSE = 8, LOAD_WIRE_PING = 9, LOAD_WIRE_PONG = 10 };
struct load_wire_frame {
    uint8_t opcode;
    struct span payload; /* borrows data */
    size_t wanted_bytes; /* of one that is not whole: with fewer than so many it stays so */
};
/* The bytes that the frame takes; 0: it is not whole yet; -1: no server sends this (masked, fragmented, reserved bits).
 */
int64_t load_wire_read_frame(const char *data, size_t bytes, struct load_wire_frame *frame_r);

/* An object of the protocol: all fields of all operations, those absent empty or 0. Strings are as on the wire, escapes
 * and all. */
struct load_wire_object {
    struct span op, mid, from, to, text, key, code, epoch, user;
    struct span messages; /* the array, with its brackets */
    uint64_t id, ts, prev, last, next, retry_after;
    bool has_id, has_prev, has_ts, has_next, dup, reset, more;
    bool is_any; /* not one of the two that are read at once: any field may be set */
};
/* Reads one object at `at`; returns what follows it, or NULL if it is none. */
const char *load_wire_read_object(const char *at, const char *end, struct load_wire_object *object_r);
/* Goes through the elements of `messages`: *at is NULL at first, and *object is the same for all. False at the end;
 * *is_broken_r if it is no array of objects. */
bool load_wire_next_message(struct span messages, const char **at, struct load_wire_object *object, bool *is_broken_r);

/* In the header, so that the length of a literal is known. */
static inline bool load_wire_is(struct span span, const char *word)
{
    return span.bytes == strlen(word) && memcmp(span.data, word, span.bytes) == 0;
}

#endif
