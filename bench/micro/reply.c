/* How long does it take to write what the server sends? Whole frames: header and JSON. */
#include "protocol/reply.h"
#include "micro/micro.h"

#define PAGE_MESSAGES 50u

struct question {
    struct message message;
    struct request_id id;
    char *out; /* owned */
};

static void write_sent(void *context, uint64_t rounds)
{
    struct question *question = context;
    for (uint64_t i = 0; i < rounds; i++)
        micro_use(reply_write_sent(question->out, &question->id, question->message.ts + i, question->message.ts,
                                   question->message.mid));
}

static void write_msg(void *context, uint64_t rounds)
{
    struct question *question = context;
    for (uint64_t i = 0; i < rounds; i++)
        micro_use(reply_write_msg(question->out, &question->message, question->message.ts - 1));
}

static void write_page(void *context, uint64_t rounds)
{
    struct question *question = context;
    for (uint64_t i = 0; i < rounds; i++) {
        struct reply_page page;
        size_t bytes;
        reply_page_begin(&page, question->out, &question->id);
        for (uint32_t k = 0; k < PAGE_MESSAGES; k++)
            ASSERT(reply_page_add(&page, &question->message));
        reply_page_end(&page, true, question->message.ts, &bytes);
        micro_use(bytes);
    }
}

int main(void)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = {1, 2, 3, 4, 5};
    static char small[64], large[LIMIT_TEXT_BYTES];
    struct micro micro = {.program = "reply"};
    struct question question = {.id = {.kind = REQUEST_ID_INTEGER, .integer = 123456},
                                .out = malloc(REPLY_PAGE_BYTES_MAX)};
    memset(small, 'a', sizeof small);
    memset(large, 'a', sizeof large);
    ASSERT(question.out != NULL);
    question.message = (struct message){.ts = 1763900000200001,
                                        .other_ts = 1763900000200000,
                                        .role = ROLE_RECEIVED,
                                        .mid = mid,
                                        .from = SPAN_LITERAL("load-77"),
                                        .to = SPAN_LITERAL("load-1234"),
                                        .text = {small, sizeof small}};
    micro_run(&micro, "write the ok of a send", 1, write_sent, &question);
    micro_run(&micro, "write a msg, 64 bytes of text", 1, write_msg, &question);
    micro_run(&micro, "write a page of 50, per page", 1, write_page, &question);
    question.message.text = (struct span){large, sizeof large};
    micro_run(&micro, "write a msg, 16 KiB of text", 1, write_msg, &question);
    memset(small, '\n', sizeof small);
    question.message.text = (struct span){small, sizeof small};
    micro_run(&micro, "write a msg, 64 bytes that are all escaped", 1, write_msg, &question);
    free(question.out);
    micro_end(&micro);
    return 0;
}
