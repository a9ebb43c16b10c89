#include "protocol/ws.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <wslay/wslay.h>

#include "base/assert.h"
#include "protocol/utf8.h"

#define HEADER_BYTES_MIN 2u
#define CONTROL_BYTES_MAX 125u
#define BUFFER_BYTES_FIRST 4096u
/* A buffer that grew past this is not kept for the next message. */
#define BUFFER_BYTES_KEPT (64u << 10)

struct ws_parser {
    struct ws_parser *next; /* in the pool */
    wslay_frame_context_ptr frame;

    /* What wslay may read now: bytes of the current frame only. */
    const char *input;
    size_t input_bytes;
    bool has_stand_in; /* after `input`, a zero for the first payload byte: see take_header */

    /* The current frame. */
    uint8_t header_bytes; /* of its header, read by wslay */
    uint8_t header_size;  /* of the whole header; HEADER_BYTES_MIN until the second byte says it */
    bool in_frame;        /* the header is complete */
    uint8_t opcode;
    bool fin;
    bool is_first_due;   /* the first payload byte, for which the stand-in was given, is still to come */
    uint8_t first_mask;  /* its mask */
    uint64_t frame_left; /* payload bytes still to come */

    /* The current message. */
    bool in_message;
    uint8_t message_opcode;
    struct utf8 utf8;
    char *buffer;
    size_t buffer_bytes;
    size_t buffer_room;

    char control[CONTROL_BYTES_MAX + 1];
    uint32_t control_bytes;
};

struct ws_pool {
    uint64_t message_bytes_max;
    uint64_t bytes_max;
    uint64_t bytes; /* of all parsers and their buffers */
    bool allow_binary;
    struct ws_parser *free;
};

static ssize_t on_wslay_recv(uint8_t *out, size_t bytes, int flags, void *user_data)
{
    struct ws_parser *parser = user_data;
    (void)flags;
    size_t piece = bytes < parser->input_bytes ? bytes : parser->input_bytes;
    if (piece > 0) {
        memcpy(out, parser->input, piece);
        parser->input += piece;
        parser->input_bytes -= piece;
        return (ssize_t)piece;
    }
    if (!parser->has_stand_in)
        return -1; /* wslay_frame_recv returns WSLAY_ERR_WANT_READ */
    parser->has_stand_in = false;
    *out = 0;
    return 1;
}

/* The allocator knows the size of wslay's context, which wslay does not export. */
static uint64_t parser_bytes(const struct ws_parser *parser)
{
    return sizeof *parser + malloc_usable_size(parser->frame) + parser->buffer_room;
}

static struct ws_parser *parser_make(struct ws_pool *pool)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = on_wslay_recv};
    struct ws_parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL)
        return NULL;
    if (wslay_frame_context_init(&parser->frame, &callbacks, parser) != 0) {
        free(parser);
        return NULL;
    }
    parser->header_size = HEADER_BYTES_MIN;
    pool->bytes += parser_bytes(parser);
    return parser;
}

static void parser_free(struct ws_pool *pool, struct ws_parser *parser)
{
    ASSERT(pool->bytes >= parser_bytes(parser));
    pool->bytes -= parser_bytes(parser);
    wslay_frame_context_free(parser->frame);
    free(parser->buffer);
    free(parser);
}

int ws_pool_open(struct ws_pool **pool_r, uint64_t message_bytes_max, uint64_t bytes_max, bool allow_binary)
{
    ASSERT(message_bytes_max > 0 && message_bytes_max <= INT64_MAX);
    struct ws_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return -ENOMEM;
    pool->message_bytes_max = message_bytes_max;
    pool->bytes_max = bytes_max;
    pool->allow_binary = allow_binary;
    *pool_r = pool;
    return 0;
}

void ws_pool_close(struct ws_pool **pool)
{
    if (*pool == NULL)
        return;
    for (struct ws_parser *parser = (*pool)->free, *next; parser != NULL; parser = next) {
        next = parser->next;
        parser_free(*pool, parser);
    }
    free(*pool);
    *pool = NULL;
}

uint64_t ws_pool_bytes_out(const struct ws_pool *pool)
{
    uint64_t bytes = pool->bytes;
    for (const struct ws_parser *parser = pool->free; parser != NULL; parser = parser->next) {
        ASSERT(bytes >= parser_bytes(parser));
        bytes -= parser_bytes(parser);
    }
    return bytes;
}

static struct ws_parser *pool_take(struct ws_pool *pool)
{
    struct ws_parser *parser = pool->free;
    if (parser == NULL)
        return pool->bytes < pool->bytes_max ? parser_make(pool) : NULL;
    pool->free = parser->next;
    if (parser->buffer_room > BUFFER_BYTES_KEPT) {
        pool->bytes -= parser->buffer_room;
        free(parser->buffer);
        parser->buffer = NULL;
        parser->buffer_room = 0;
    }
    return parser;
}

void ws_leave(const struct ws *ws, struct ws_pool *pool)
{
    if (ws->parser == NULL)
        return;
    ASSERT(pool->bytes >= parser_bytes(ws->parser));
    pool->bytes -= parser_bytes(ws->parser);
}

void ws_enter(const struct ws *ws, struct ws_pool *pool)
{
    if (ws->parser != NULL)
        pool->bytes += parser_bytes(ws->parser);
}

void ws_init(struct ws *ws)
{
    *ws = (struct ws){.parser = NULL};
}

void ws_fini(struct ws *ws, struct ws_pool *pool)
{
    if (ws->parser != NULL)
        parser_free(pool, ws->parser); /* within a frame or a message: no other connection can use it */
    ws->parser = NULL;
}

/* -- rules -- */

static void fail(struct ws *ws, struct ws_event *event, uint16_t code, const char *reason)
{
    ws->closed = 1;
    *event = (struct ws_event){.kind = WS_EVENT_ERROR, .code = code, .reason = reason};
}

static bool is_control(uint8_t opcode)
{
    return (opcode & 8) != 0;
}

/* The order and the form of frames. NULL: no rule is broken. */
static const char *check_form(const struct ws_parser *parser, const struct wslay_frame_iocb *header)
{
    if (header->rsv != WSLAY_RSV_NONE)
        return "reserved bits are set";
    if (!header->mask)
        return "the frame is not masked";
    if (is_control(header->opcode))
        return header->opcode > WS_PONG ? "unknown opcode" : NULL;
    if (header->opcode > WS_BINARY)
        return "unknown opcode";
    if (header->opcode == WSLAY_CONTINUATION_FRAME)
        return parser->in_message ? NULL : "a continuation without a beginning";
    return parser->in_message ? "a message begins within another" : NULL;
}

/* The rules on a header that wslay leaves to its user. False: *event says which one is broken. */
static bool check_header(struct ws *ws, const struct ws_pool *pool, const struct wslay_frame_iocb *header,
                         struct ws_event *event)
{
    const struct ws_parser *parser = ws->parser;
    const char *wrong = check_form(parser, header);
    if (wrong != NULL) {
        fail(ws, event, 1002, wrong);
        return false;
    }
    if (header->opcode == WS_BINARY && !pool->allow_binary) {
        fail(ws, event, 1003, "binary frames are not accepted");
        return false;
    }
    if (is_control(header->opcode))
        return true;
    uint64_t before = parser->in_message ? parser->buffer_bytes : 0;
    ASSERT(before <= pool->message_bytes_max);
    if (header->payload_length > pool->message_bytes_max - before) {
        fail(ws, event, 1009, "the message is too long");
        return false;
    }
    return true;
}

/* -- frames -- */

/* Moves `piece` bytes from the caller to what wslay may read. */
static void input_set(struct ws_parser *parser, char **data, size_t *bytes, size_t piece)
{
    ASSERT(parser->input_bytes == 0);
    parser->input = *data;
    parser->input_bytes = piece;
    *data += piece;
    *bytes -= piece;
}

static void begin_frame(struct ws_parser *parser, const struct wslay_frame_iocb *header)
{
    ASSERT(header->data_length == (header->payload_length > 0));
    parser->in_frame = true;
    parser->opcode = header->opcode;
    parser->fin = header->fin;
    parser->frame_left = header->payload_length;
    parser->is_first_due = header->payload_length > 0;
    parser->first_mask = parser->is_first_due ? header->data[0] : 0;
    parser->control_bytes = 0;
    if (!is_control(parser->opcode) && parser->opcode != WSLAY_CONTINUATION_FRAME) {
        parser->in_message = true;
        parser->message_opcode = parser->opcode;
        parser->buffer_bytes = 0;
        parser->utf8 = (struct utf8){0, 0, 0};
    }
}

/* By the second byte of a header (RFC 6455, 5.2). */
static uint8_t header_size(uint8_t second)
{
    uint32_t length = second & 0x7Fu;
    return (uint8_t)(HEADER_BYTES_MIN + (length == 126 ? 2 : length == 127 ? 8 : 0) + ((second & 0x80) != 0 ? 4 : 0));
}

/* How many of the bytes belong to the header, as far as its size is known. */
static size_t header_piece(struct ws_parser *parser, const char *data, size_t bytes)
{
    if (parser->header_bytes < HEADER_BYTES_MIN && parser->header_bytes + bytes >= HEADER_BYTES_MIN)
        parser->header_size = header_size((uint8_t)data[1 - parser->header_bytes]);
    size_t missing = (size_t)(parser->header_size - parser->header_bytes);
    return bytes < missing ? bytes : missing;
}

/*
 * Takes header bytes. True when the header is complete and breaks no rule.
 *
 * wslay reports a header together with the frame's first payload byte, not before; but a frame that is too long is
 * refused before its payload comes. So once the header is complete, wslay gets a zero in place of that byte, if there
 * is one. What it makes of the zero is the byte's mask. For this alone the size of the header is read here.
 */
static bool take_header(struct ws *ws, const struct ws_pool *pool, char **data, size_t *bytes, struct ws_event *event)
{
    struct ws_parser *parser = ws->parser;
    struct wslay_frame_iocb header;
    size_t piece = header_piece(parser, *data, *bytes);
    input_set(parser, data, bytes, piece);
    parser->header_bytes = (uint8_t)(parser->header_bytes + piece);
    bool is_complete = parser->header_bytes == parser->header_size;
    parser->has_stand_in = is_complete;
    ssize_t result = wslay_frame_recv(parser->frame, &header);
    parser->has_stand_in = false;
    if (result < 0 && result != WSLAY_ERR_WANT_READ) {
        fail(ws, event, 1002, "a control frame is fragmented or too long, or a length is malformed");
        return false;
    }
    ASSERT((result >= 0) == is_complete);
    if (!is_complete || !check_header(ws, pool, &header, event))
        return false;
    begin_frame(parser, &header);
    return true;
}

static bool buffer_add(struct ws_pool *pool, struct ws_parser *parser, const uint8_t *data, size_t bytes)
{
    if (parser->buffer_bytes + bytes > parser->buffer_room) {
        size_t room = parser->buffer_room == 0 ? BUFFER_BYTES_FIRST : parser->buffer_room * 2;
        while (room < parser->buffer_bytes + bytes)
            room *= 2;
        if (pool->bytes + room - parser->buffer_room > pool->bytes_max)
            return false;
        char *grown = realloc(parser->buffer, room);
        if (grown == NULL)
            return false;
        pool->bytes += room - parser->buffer_room;
        parser->buffer = grown;
        parser->buffer_room = room;
    }
    memcpy(parser->buffer + parser->buffer_bytes, data, bytes);
    parser->buffer_bytes += bytes;
    return true;
}

/* Adds unmasked payload. False: *event says what is wrong. */
static bool add_payload(struct ws *ws, struct ws_pool *pool, const uint8_t *data, size_t bytes, struct ws_event *event)
{
    struct ws_parser *parser = ws->parser;
    if (is_control(parser->opcode)) {
        ASSERT(parser->control_bytes + bytes <= CONTROL_BYTES_MAX);
        memcpy(parser->control + parser->control_bytes, data, bytes);
        parser->control_bytes += (uint32_t)bytes;
        return true;
    }
    if (parser->message_opcode == WS_TEXT && !utf8_feed(&parser->utf8, data, bytes)) {
        fail(ws, event, 1007, "the text is not UTF-8");
        return false;
    }
    if (!buffer_add(pool, parser, data, bytes)) {
        fail(ws, event, 1011, "the memory for messages is used up: reconnect later");
        return false;
    }
    return true;
}

/* The byte that wslay did not get: see take_header. */
static bool take_first_byte(struct ws *ws, struct ws_pool *pool, char **data, size_t *bytes, struct ws_event *event)
{
    struct ws_parser *parser = ws->parser;
    uint8_t first = (uint8_t) * *data ^ parser->first_mask;
    parser->is_first_due = false;
    parser->frame_left--;
    ++*data;
    --*bytes;
    return add_payload(ws, pool, &first, 1, event);
}

static bool take_payload(struct ws *ws, struct ws_pool *pool, char **data, size_t *bytes, struct ws_event *event)
{
    struct ws_parser *parser = ws->parser;
    struct wslay_frame_iocb frame;
    if (parser->is_first_due && !take_first_byte(ws, pool, data, bytes, event))
        return false;
    size_t piece = *bytes < parser->frame_left ? *bytes : (size_t)parser->frame_left;
    input_set(parser, data, bytes, piece);
    for (size_t left = piece; left > 0; left -= frame.data_length) {
        if (wslay_frame_recv(parser->frame, &frame) <= 0) {
            fail(ws, event, 1002, "the frame breaks a rule");
            return false;
        }
        if (!add_payload(ws, pool, frame.data, frame.data_length, event))
            return false;
    }
    parser->frame_left -= piece;
    return true;
}

/* -- events -- */

static bool is_close_code(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static void close_event(struct ws *ws, struct ws_event *event)
{
    const struct ws_parser *parser = ws->parser;
    const uint8_t *at = (const uint8_t *)parser->control;
    uint16_t code = 1000;
    if (parser->control_bytes == 1) {
        fail(ws, event, 1002, "a close frame has half a code");
        return;
    }
    if (parser->control_bytes >= 2)
        code = (uint16_t)(at[0] << 8 | at[1]);
    if (!is_close_code(code)) {
        fail(ws, event, 1002, "a close frame has no valid code");
        return;
    }
    if (parser->control_bytes > 2 && !utf8_is_valid((struct span){parser->control + 2, parser->control_bytes - 2})) {
        fail(ws, event, 1007, "the reason of a close frame is not UTF-8");
        return;
    }
    ws->closed = 1;
    *event = (struct ws_event){.kind = WS_EVENT_CLOSE, .code = code};
}

static void control_event(struct ws *ws, struct ws_event *event)
{
    struct ws_parser *parser = ws->parser;
    if (parser->opcode == WS_CLOSE) {
        close_event(ws, event);
        return;
    }
    *event = (struct ws_event){.kind = parser->opcode == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG,
                               .data = parser->control,
                               .bytes = parser->control_bytes};
}

static void message_event(struct ws *ws, struct ws_event *event)
{
    struct ws_parser *parser = ws->parser;
    ASSERT(parser->in_message);
    parser->in_message = false;
    if (parser->message_opcode == WS_TEXT && !utf8_is_whole(&parser->utf8)) {
        fail(ws, event, 1007, "the text ends within a character");
        return;
    }
    *event = (struct ws_event){.kind = WS_EVENT_MESSAGE,
                               .opcode = (enum ws_opcode)parser->message_opcode,
                               .data = parser->buffer_bytes == 0 ? parser->control : parser->buffer,
                               .bytes = parser->buffer_bytes};
}

/* All of the frame was read. */
static void end_frame(struct ws *ws, struct ws_event *event)
{
    struct ws_parser *parser = ws->parser;
    ASSERT(parser->in_frame && parser->frame_left == 0);
    parser->in_frame = false;
    parser->header_bytes = 0;
    parser->header_size = HEADER_BYTES_MIN;
    if (is_control(parser->opcode))
        control_event(ws, event);
    else if (parser->fin)
        message_event(ws, event);
    else
        event->kind = WS_EVENT_FRAGMENT;
}

/* -- whole frames -- */

static void unmask(char *payload, size_t bytes, const char *mask)
{
    uint32_t narrow;
    memcpy(&narrow, mask, sizeof narrow);
    uint64_t wide = (uint64_t)narrow << 32 | narrow;
    size_t at = 0;
    for (; at + sizeof wide <= bytes; at += sizeof wide) {
        uint64_t word;
        memcpy(&word, payload + at, sizeof word);
        word ^= wide;
        memcpy(payload + at, &word, sizeof word);
    }
    for (; at < bytes; at++)
        payload[at] = (char)(payload[at] ^ mask[at % 4]);
}

/* The usual input: one masked frame that is a whole text below 64 KiB, and all of it available. The text is read where
 * it lies. False: the input is something else and unchanged, for the parser. */
static bool take_whole_text(struct ws *ws, const struct ws_pool *pool, char **data, size_t *bytes,
                            struct ws_event *event)
{
    const uint8_t *head = (const uint8_t *)*data;
    if (*bytes < 6 || head[0] != (0x80 | WS_TEXT) || head[1] < 0x80 || head[1] == 0xFF)
        return false;
    size_t length = head[1] & 0x7Fu;
    size_t head_bytes = 2;
    if (length == 126) {
        length = (size_t)head[2] << 8 | head[3];
        head_bytes = 4;
        if (length < 126)
            return false;
    }
    size_t whole = head_bytes + 4 + length;
    if (*bytes < whole || length > pool->message_bytes_max)
        return false;
    char *text = *data + head_bytes + 4;
    unmask(text, length, text - 4);
    *data += whole;
    *bytes -= whole;
    if (!utf8_is_valid((struct span){text, length}))
        fail(ws, event, 1007, "the text is not UTF-8");
    else
        *event = (struct ws_event){.kind = WS_EVENT_MESSAGE, .opcode = WS_TEXT, .data = text, .bytes = length};
    return true;
}

void ws_next(struct ws *ws, struct ws_pool *pool, char **data, size_t *bytes, struct ws_event *event_r)
{
    ASSERT(!ws->closed);
    *event_r = (struct ws_event){.kind = WS_EVENT_MORE};
    if (*bytes == 0)
        return;
    if (ws->parser == NULL && take_whole_text(ws, pool, data, bytes, event_r))
        return;
    if (ws->parser == NULL)
        ws->parser = pool_take(pool);
    if (ws->parser == NULL) {
        fail(ws, event_r, 1011, "the memory for messages is used up: reconnect later");
        return;
    }
    struct ws_parser *parser = ws->parser;
    while (event_r->kind == WS_EVENT_MORE && *bytes > 0) {
        if (!parser->in_frame) {
            if (!take_header(ws, pool, data, bytes, event_r))
                break;
        } else if (!take_payload(ws, pool, data, bytes, event_r)) {
            break;
        }
        if (parser->frame_left == 0)
            end_frame(ws, event_r);
    }
    if (!ws->closed && !parser->in_frame && !parser->in_message && parser->header_bytes == 0) {
        ws->parser = NULL;
        parser->next = pool->free;
        pool->free = parser;
    }
}

uint32_t ws_header_write(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes)
{
    ASSERT(payload_bytes <= INT64_MAX);
    out[0] = (uint8_t)(0x80 | opcode);
    if (payload_bytes < 126) {
        out[1] = (uint8_t)payload_bytes;
        return 2;
    }
    uint32_t length_bytes = payload_bytes < 65536 ? 2 : 8;
    out[1] = length_bytes == 2 ? 126 : 127;
    for (uint32_t i = 0; i < length_bytes; i++)
        out[2 + i] = (uint8_t)(payload_bytes >> (8 * (length_bytes - 1 - i)));
    return 2 + length_bytes;
}

uint32_t ws_close_write(uint8_t *out, uint16_t code, const char *reason)
{
    ASSERT(is_close_code(code));
    ASSERT(reason != NULL);
    size_t reason_bytes = strlen(reason);
    if (reason_bytes > CONTROL_BYTES_MAX - 2)
        reason_bytes = CONTROL_BYTES_MAX - 2;
    uint32_t at = ws_header_write(out, WS_CLOSE, 2 + reason_bytes);
    out[at] = (uint8_t)(code >> 8);
    out[at + 1] = (uint8_t)code;
    memcpy(out + at + 2, reason, reason_bytes);
    return at + 2 + (uint32_t)reason_bytes;
}
