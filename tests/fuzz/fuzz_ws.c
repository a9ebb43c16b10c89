/* Frames cut at the places that the first bytes say: whole or in pieces, the events are the same, and bounded. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "protocol/ws.h"

#define MESSAGE_MAX 5000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

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
        char *copy = malloc(left), *from = copy;
        memcpy(copy, data + at, left);
        while (left > 0 && !ws.closed) {
            struct ws_event event;
            ws_next(&ws, pool, &from, &left, &event);
            if (event.kind == WS_EVENT_MORE)
                continue;
            uint32_t facts[] = {event.kind, event.kind >= WS_EVENT_CLOSE ? event.code : 0};
            sum = hash_crc32c(sum, facts, sizeof facts);
            if (event.kind < WS_EVENT_CLOSE) {
                ASSERT(event.bytes <= MESSAGE_MAX);
                sum = hash_crc32c(sum, event.data, event.bytes);
            }
        }
        free(copy);
    }
    ws_fini(&ws, pool);
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
