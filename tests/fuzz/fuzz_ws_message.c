/* A message that is cut into fragments anywhere, empty ones and ones of a byte too, with pings between them, comes out
 * whole, whatever the pieces in which its bytes arrive; unless it is longer than allowed or not UTF-8. */
#include "fuzz.h"
#include "protocol/utf8.h"
#include "protocol/ws.h"

#define MESSAGE_MAX 2000u
#define FRAGMENTS_MAX 4000u
#define FRAME_HEADER_BYTES_MAX 14u

struct stream {
    uint8_t *data;
    size_t bytes;
    uint32_t pings;
};

/* Appends a masked frame. */
static void put_frame(struct stream *stream, uint8_t first, struct span payload, uint32_t mask)
{
    uint8_t *at = stream->data + stream->bytes;
    uint8_t key[4] = {(uint8_t)(mask >> 24), (uint8_t)(mask >> 16), (uint8_t)(mask >> 8), (uint8_t)mask};
    *at++ = first;
    if (payload.bytes < 126) {
        *at++ = (uint8_t)(0x80 | payload.bytes);
    } else {
        *at++ = 0x80 | 126;
        *at++ = (uint8_t)(payload.bytes >> 8);
        *at++ = (uint8_t)payload.bytes;
    }
    memcpy(at, key, sizeof key);
    at += sizeof key;
    for (size_t i = 0; i < payload.bytes; i++)
        *at++ = (uint8_t)payload.data[i] ^ key[i % 4];
    stream->bytes = (size_t)(at - stream->data);
}

/* The cuts are the first `cut_count` bytes of the input; each is the length of a fragment, and 255 is a ping. */
static void put_message(struct stream *stream, struct span cuts, struct span text, uint32_t mask)
{
    uint8_t opcode = WS_TEXT;
    for (size_t i = 0; i < cuts.bytes && i < FRAGMENTS_MAX; i++) {
        uint8_t cut = (uint8_t)cuts.data[i];
        if (cut == 255) {
            put_frame(stream, 0x80 | WS_PING, (struct span){"ping", 4}, mask);
            stream->pings++;
            continue;
        }
        size_t part = cut < text.bytes ? cut : text.bytes;
        put_frame(stream, opcode, (struct span){text.data, part}, mask);
        text.data += part;
        text.bytes -= part;
        opcode = 0;
    }
    put_frame(stream, 0x80 | opcode, text, mask);
}

static void check_stream(const struct stream *stream, struct span text, size_t piece)
{
    struct ws_pool *pool;
    struct ws ws;
    struct ws_event event = {.kind = WS_EVENT_MORE};
    uint32_t pings = 0;
    bool is_allowed = text.bytes <= MESSAGE_MAX && utf8_is_valid(text);
    ASSERT(ws_pool_open(&pool, MESSAGE_MAX, UINT64_MAX, false) == 0);
    ws_init(&ws);
    for (size_t at = 0; at < stream->bytes && !ws.closed; at += piece) {
        size_t left = stream->bytes - at < piece ? stream->bytes - at : piece;
        char *copy = fuzz_copy(stream->data + at, left), *from = copy;
        while (left > 0 && !ws.closed) {
            ws_next(&ws, pool, &from, &left, &event);
            pings += event.kind == WS_EVENT_PING;
            if (event.kind == WS_EVENT_MESSAGE)
                ASSERT(is_allowed && span_equal(text, (struct span){event.data, event.bytes}));
        }
        free(copy);
    }
    if (is_allowed)
        ASSERT(event.kind == WS_EVENT_MESSAGE && pings == stream->pings && ws.parser == NULL);
    else
        ASSERT(event.kind == WS_EVENT_ERROR && (event.code == 1007 || event.code == 1009));
    ws_fini(&ws, pool);
    ASSERT(ws_pool_bytes_out(pool) == 0);
    ws_pool_close(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    size_t piece = 1 + (size_t)fuzz_number(&input, 1);
    uint32_t mask = (uint32_t)fuzz_number(&input, 4);
    struct span cuts = fuzz_span(&input, (size_t)fuzz_number(&input, 2));
    struct span text = {(const char *)input.data, input.bytes};
    if (text.bytes > UINT16_MAX)
        return 0;
    size_t room = text.bytes + (cuts.bytes + 1) * (FRAME_HEADER_BYTES_MAX + 4);
    struct stream stream = {malloc(room), 0, 0};
    ASSERT(stream.data != NULL);
    put_message(&stream, cuts, text, mask);
    ASSERT(stream.bytes <= room);
    check_stream(&stream, text, stream.bytes);
    check_stream(&stream, text, piece);
    check_stream(&stream, text, 1);
    free(stream.data);
    return 0;
}
