/*
 * ws.h: the server side of RFC 6455 framing over wslay's frame API, with the rules that wslay leaves to us: mask
 * required, RSV zero, opcodes known, fragments in order, length of the whole message bounded before it is buffered,
 * UTF-8 over fragments and failing fast, close payloads, binary refused (unless allowed). The number of fragments is
 * not bounded, since an empty one takes no memory; each is an event, so that the caller can count and pause.
 *
 * Pull style: the caller has bytes and asks for the next event; bytes of frames not yet begun stay with the caller, so
 * it may stop at any event and keep the rest (stash, handover). wslay is never given a byte beyond the frame that it is
 * reading: at a frame boundary outside a fragmented message a connection owns no parser and no buffer, and all
 * connections of a shard share those of `struct ws_pool`.
 *
 * One thread at a time; a `struct ws` may move to another thread with its pool's parser in it (malloc'ed memory): the
 * other thread gives it back to its own pool.
 */
#ifndef CHITCHAT_PROTOCOL_WS_H
#define CHITCHAT_PROTOCOL_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct ws_pool;
struct ws_parser;

/* Parsers and message buffers, for the connections of one thread; of those at rest and of those that connections have
 * in mid-frame, together at most `bytes_max`: past it a message that goes on is refused with 1011. 0 or -ENOMEM. */
int ws_pool_open(struct ws_pool **pool_r, uint64_t message_bytes_max, uint64_t bytes_max, bool allow_binary);
void ws_pool_close(struct ws_pool **pool);

/* Bytes of the parsers that connections have, and of their buffers. */
uint64_t ws_pool_bytes_out(const struct ws_pool *pool);

/* In each connection; 16 bytes. */
struct ws {
    struct ws_parser *parser; /* NULL at a boundary */
    uint8_t closed;           /* a close frame or an error was given as an event: nothing more is read */
};

void ws_init(struct ws *ws);
/* Gives the parser, if any, back to the pool. */
void ws_fini(struct ws *ws, struct ws_pool *pool);
/* A connection moves to another thread, with its parser, if any: from the count of one pool to that of another. */
void ws_leave(const struct ws *ws, struct ws_pool *pool);
void ws_enter(const struct ws *ws, struct ws_pool *pool);

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum ws_event_kind {
    WS_EVENT_MORE,     /* all bytes used up, no event */
    WS_EVENT_FRAGMENT, /* a frame of a message that goes on */
    WS_EVENT_MESSAGE,  /* a whole message: data, bytes, opcode WS_TEXT or WS_BINARY */
    WS_EVENT_PING,     /* data, bytes: to be given back in a pong */
    WS_EVENT_PONG,
    WS_EVENT_CLOSE, /* the peer's close frame; `code` is what to answer with (1000 if it had none: see `has_code`) */
    WS_EVENT_ERROR, /* a rule was broken; `code` is the close code to send (1002, 1003, 1007, 1009, 1011), `reason` says
                       why */
};

struct ws_event {
    enum ws_event_kind kind;
    enum ws_opcode opcode;
    char *data; /* may be changed in place; stands until the next call with this pool, and may lie in the bytes given */
    size_t bytes;
    uint16_t code;
    bool has_code;
    const char *reason; /* static */
};

/* Takes bytes from *data (moving *data and *bytes on) until there is an event. The bytes may be changed. */
void ws_next(struct ws *ws, struct ws_pool *pool, char **data, size_t *bytes, struct ws_event *event_r);

/* Header of an unmasked, unfragmented server frame: returns its bytes (2, 4 or 10). */
#define WS_HEADER_BYTES_MAX 10
uint32_t ws_header_write(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes);
/* A whole close frame (at most 127 bytes); `reason` is cut to what fits. Returns its bytes. */
uint32_t ws_close_write(uint8_t *out, uint16_t code, const char *reason);

#endif
