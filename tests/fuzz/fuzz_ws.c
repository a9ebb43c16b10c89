/* Frames cut at the places that the first bytes say: whole or in pieces, the events are the same, and bounded. A text
 * is UTF-8, and at the end the pool has lent nothing. */
#include "base/hash.h"
#include "fuzz.h"
#include "protocol/utf8.h"
#include "protocol/ws.h"

#define MESSAGE_MAX 5000u

/* A digest of all events. */
static uint32_t digest(const uint8_t *data, size_t bytes, size_t piece, bool allow_binary)
{
    struct ws_pool *pool;
    struct ws ws;
    uint32_t sum = 0;
    ASSERT(ws_pool_open(&pool, MESSAGE_MAX, UINT64_MAX, allow_binary) == 0);
    ws_init(&ws);
    for (size_t at = 0; at < bytes && !ws.closed; at += piece) {
        size_t left = bytes - at < piece ? bytes - at : piece;
        char *copy = fuzz_copy(data + at, left), *from = copy;
        while (left > 0 && !ws.closed) {
            struct ws_event event;
            ws_next(&ws, pool, &from, &left, &event);
            if (event.kind == WS_EVENT_MORE)
                continue;
            uint32_t facts[] = {event.kind, event.kind >= WS_EVENT_CLOSE ? event.code : 0};
            sum = hash_crc32c(sum, facts, sizeof facts);
            if (event.kind < WS_EVENT_CLOSE) {
                ASSERT(event.bytes <= MESSAGE_MAX);
                if (event.kind == WS_EVENT_MESSAGE)
                    ASSERT(event.opcode == WS_TEXT || allow_binary);
                if (event.kind == WS_EVENT_MESSAGE && event.opcode == WS_TEXT)
                    ASSERT(utf8_is_valid((struct span){event.data, event.bytes}));
                sum = hash_crc32c(sum, event.data, event.bytes);
            }
        }
        free(copy);
    }
    ws_fini(&ws, pool);
    ASSERT(ws_pool_bytes_out(pool) == 0);
    ws_pool_close(&pool);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    bool allow_binary = (data[0] & 1) != 0;
    size_t piece = 1 + data[1];
    uint32_t whole = digest(data + 2, bytes - 2, bytes, allow_binary);
    ASSERT(digest(data + 2, bytes - 2, piece, allow_binary) == whole);
    ASSERT(digest(data + 2, bytes - 2, 1, allow_binary) == whole);
    return 0;
}
