/* How long does it take to read a request, as the server does: JSON, id, op, fields? Each round reads a copy, since
 * reading changes the bytes. */
#include "protocol/request.h"
#include "micro/micro.h"

#define FRAME_BYTES_MAX 20000u

struct question {
    struct request_reader *reader;
    const char *frame;
    size_t bytes;
};

static void read_frames(void *context, uint64_t rounds)
{
    struct question *question = context;
    char copy[FRAME_BYTES_MAX];
    for (uint64_t i = 0; i < rounds; i++) {
        struct request request;
        struct request_error error;
        memcpy(copy, question->frame, question->bytes);
        bool is_good = request_read(question->reader, copy, question->bytes, &request, &error)
                       && request_read_op(question->reader, &request, &error)
                       && request_read_fields(question->reader, &request, false, &error);
        ASSERT(is_good);
    }
}

static void ask(struct micro *micro, struct request_reader *reader, const char *name, const char *frame)
{
    struct question question = {reader, frame, strlen(frame)};
    micro_run(micro, name, 1, read_frames, &question);
}

static char *send_of(uint32_t text_bytes, const char *piece)
{
    char *frame = malloc(text_bytes + 100);
    ASSERT(frame != NULL);
    char *at = frame + sprintf(frame, "{\"op\":\"send\",\"id\":123456,\"to\":\"load-77\",\"text\":\"");
    for (size_t bytes = strlen(piece); text_bytes >= bytes; text_bytes -= (uint32_t)bytes)
        at += sprintf(at, "%s", piece);
    sprintf(at, "\"}");
    return frame;
}

int main(void)
{
    struct micro micro = {.program = "request"};
    struct request_reader *reader;
    char *small = send_of(64, "a"), *large = send_of(16384, "a"), *escaped = send_of(64, "\\n\\\"\xC3\xA4 ");
    micro_must(request_reader_open(&reader));
    ask(&micro, reader, "read a send, 64 bytes of text", small);
    ask(&micro, reader, "read a send, 64 bytes with escapes and umlauts", escaped);
    ask(&micro, reader, "read a send, 16 KiB of text", large);
    ask(&micro, reader, "read a login",
        "{\"op\":\"login\",\"id\":1,\"user\":\"alice\",\"after\":1763900000000000,\"epoch\":\"9f1c2d3e\"}");
    ask(&micro, reader, "read a history", "{\"op\":\"history\",\"id\":4,\"before\":1763900000200001,\"limit\":50}");
    ask(&micro, reader, "read a ping", "{\"op\":\"ping\",\"id\":7}");
    request_reader_close(&reader);
    free(small);
    free(large);
    free(escaped);
    micro_end(&micro);
    return 0;
}
