/*
 * ws.h: the server side of RFC 6455 framing. wslay's frame API parses headers and unmasks; this module adds the rules
 * that wslay leaves to its user: mask required, reserved bits zero, opcodes known, fragments in order, the length of
 * the message, UTF-8 (checked as it comes, also across fragments), close payloads, binary refused unless allowed.
 *
 * What bounds a message: the payloads of all its fragments are at most `message_bytes_max` together, checked by each
 * frame's header before its payload is buffered; and the buffers of all messages of a pool are within its `bytes_max`.
 * The number of fragments has no bound, since an empty one takes no memory. Each is an event, so that the caller can
 * count it, pause, or close.
 *
 * The caller has bytes and asks for the next event. Bytes of a frame that has not begun stay with the caller, so the
 * caller may stop at any event and keep the rest (stash, handover). wslay never gets a byte beyond the frame that it
 * reads. At a frame boundary outside a fragmented message a connection has neither parser nor buffer: all connections
 * of a shard share those of `struct ws_pool`. A masked text that is whole in the caller's bytes is read where it lies
 * and takes no parser either.
 *
 * One thread at a time. A `struct ws` may move to another thread with its parser, which is malloc'ed memory: ws_leave
 * on the old thread, ws_enter on the new one, to whose pool the parser then belongs.
 */
#ifndef CHITCHAT_PROTOCOL_WS_H
#define CHITCHAT_PROTOCOL_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct ws_pool;
struct ws_parser;

/* Parsers and message buffers for the connections of one thread, idle and lent. Where they have `bytes_max` or more, no
 * parser is made and no buffer grows: the message is refused with 1011. 0 or -ENOMEM. */
int ws_pool_open(struct ws_pool **pool_r, uint64_t message_bytes_max, uint64_t bytes_max, bool allow_binary);
/* Frees the pool and its idle parsers; ws_fini, before this, frees one that a connection has. */
void ws_pool_close(struct ws_pool **pool);

/* Bytes of the parsers that connections have, and of their buffers. */
uint64_t ws_pool_bytes_out(const struct ws_pool *pool);

/* One connection's place in its frames. */
struct ws {
    struct ws_parser *parser; /* owned; NULL at a boundary */
    uint8_t closed;           /* a close frame or an error was an event: ws_next may not be called again */
};

void ws_init(struct ws *ws);
/* Frees the parser, if any, which `pool` no longer counts. */
void ws_fini(struct ws *ws, struct ws_pool *pool);
/* The connection moves to another thread with its parser, if any: ws_leave takes the parser out of the old pool's
 * count, ws_enter adds it to the new one's. */
void ws_leave(const struct ws *ws, struct ws_pool *pool);
void ws_enter(const struct ws *ws, struct ws_pool *pool);

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum ws_event_kind {
    WS_EVENT_MORE,     /* all bytes were taken, no event */
    WS_EVENT_FRAGMENT, /* a frame, not the last one, of a message */
    WS_EVENT_MESSAGE,  /* a whole message: data, bytes, opcode WS_TEXT or WS_BINARY */
    WS_EVENT_PING,     /* data, bytes: the payload for the pong */
    WS_EVENT_PONG,     /* data, bytes */
    WS_EVENT_CLOSE,    /* the peer's close frame; `code` is the one to answer with (1000 if it had none) */
    WS_EVENT_ERROR,    /* a rule is broken; `code` is the close code to send (1002, 1003, 1007, 1009, 1011), `reason`
                          its text */
};

struct ws_event {
    enum ws_event_kind kind;
    enum ws_opcode opcode;
    char *data; /* may be changed in place; valid until the next call with this pool, and may lie in the bytes given */
    size_t bytes;
    uint16_t code;
    const char *reason; /* static */
};

/* Takes bytes from *data (moving *data and *bytes on) until there is an event. The bytes may be changed. */
void ws_next(struct ws *ws, struct ws_pool *pool, char **data, size_t *bytes, struct ws_event *event_r);

/* Writes the header of an unmasked, unfragmented server frame; returns its bytes (2, 4 or 10). */
#define WS_HEADER_BYTES_MAX 10
uint32_t ws_header_write(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes);
/* Writes a whole close frame (at most 127 bytes); `reason` is cut to what fits. Returns its bytes. */
uint32_t ws_close_write(uint8_t *out, uint16_t code, const char *reason);

#endif
