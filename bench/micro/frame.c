/* How long does it take to parse a client's frame (RFC 6455, with unmasking and UTF-8)? Each round parses a copy, since
 * unmasking changes the bytes. */
#include "base/limits.h"
#include "micro/micro.h"
#include "protocol/ws.h"

struct question {
    struct ws_pool *pool;
    char *bytes, *copy; /* owned */
    size_t count;
    size_t piece; /* bytes that are parsed at once */
};

static void parse(void *context, uint64_t rounds)
{
    struct question *question = context;
    struct ws ws;
    ws_init(&ws);
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t messages = 0;
        memcpy(question->copy, question->bytes, question->count);
        for (size_t at = 0; at < question->count; at += question->piece) {
            char *data = question->copy + at;
            size_t left = question->count - at < question->piece ? question->count - at : question->piece;
            struct ws_event event;
            do {
                ws_next(&ws, question->pool, &data, &left, &event);
                messages += event.kind == WS_EVENT_MESSAGE;
                ASSERT(event.kind == WS_EVENT_MESSAGE || event.kind == WS_EVENT_MORE);
            } while (event.kind != WS_EVENT_MORE);
        }
        ASSERT(messages > 0);
    }
    ws_fini(&ws, question->pool);
}

/* `frames` masked text frames of `bytes` each, in pieces of `piece` bytes; 0: in one piece. */
static void ask(struct micro *micro, struct ws_pool *pool, const char *name, uint32_t frames, uint32_t bytes,
                size_t piece)
{
    static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    struct question question = {
        .pool = pool, .bytes = malloc(frames * (bytes + 8u)), .copy = malloc(frames * (bytes + 8u))};
    ASSERT(question.bytes != NULL && question.copy != NULL);
    for (uint32_t i = 0; i < frames; i++) {
        char *at = question.bytes + question.count;
        *at++ = (char)0x81;
        *at++ = (char)(0x80 | (bytes < 126 ? bytes : 126));
        if (bytes >= 126) {
            *at++ = (char)(bytes >> 8);
            *at++ = (char)bytes;
        }
        memcpy(at, mask, 4);
        for (uint32_t k = 0; k < bytes; k++)
            at[4 + k] = (char)('a' ^ mask[k % 4]);
        question.count = (size_t)(at + 4 + bytes - question.bytes);
    }
    question.piece = piece > 0 ? piece : question.count;
    micro_run(micro, name, frames, parse, &question);
    free(question.bytes);
    free(question.copy);
}

int main(void)
{
    struct micro micro = {.program = "frame"};
    struct ws_pool *pool;
    micro_must(ws_pool_open(&pool, LIMIT_FRAME_BYTES, UINT64_MAX, false));
    ask(&micro, pool, "parse a frame of 112 bytes, 1 at once", 1, 112, 0);
    ask(&micro, pool, "parse a frame of 112 bytes, 32 at once", 32, 112, 0);
    ask(&micro, pool, "parse a frame of 112 bytes, in pieces of 40", 8, 112, 40);
    ask(&micro, pool, "parse a frame of 16 KiB", 1, 16384, 0);
    ws_pool_close(&pool);
    micro_end(&micro);
    return 0;
}
