/* What the server writes is a frame with JSON that jansson reads, and has the values that it was written from. */
#include <jansson.h>

#include "fuzz.h"
#include "protocol/reply.h"
#include "protocol/utf8.h"

/* The payload of an unmasked text frame of exactly `bytes`. */
static json_t *read_frame(const char *frame, size_t bytes)
{
    const uint8_t *head = (const uint8_t *)frame;
    size_t length = head[1], at = 2;
    ASSERT(bytes >= 2 && head[0] == 0x81);
    if (length == 126) {
        length = (size_t)head[2] << 8 | head[3];
        at = 4;
    } else if (length == 127) {
        length = 0;
        for (at = 2; at < 10; at++)
            length = length << 8 | head[at];
    }
    ASSERT(at + length == bytes);
    json_t *value = json_loadb(frame + at, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    ASSERT(json_is_object(value));
    return value;
}

static void check_text(json_t *object, const char *name, struct span expected)
{
    json_t *value = json_object_get(object, name);
    if (expected.bytes == 0 && value == NULL)
        return;
    ASSERT(span_equal(expected, (struct span){json_string_value(value), json_string_length(value)}));
}

static void check_message(json_t *object, const struct message *message)
{
    ASSERT((uint64_t)json_integer_value(json_object_get(object, "ts")) == message->ts);
    check_text(object, "from", message->from);
    check_text(object, "to", message->to);
    check_text(object, "key", message->key);
    ASSERT(json_object_get(object, "text") != NULL);
    check_text(object, "text", message->text);
}

static void check_msg(const struct message *message)
{
    char *out = malloc(LIMIT_MSG_BYTES(message->text.bytes));
    ASSERT(out != NULL);
    size_t bytes = reply_write_msg(out, message, message->ts - 1);
    json_t *object = read_frame(out, bytes);
    check_message(object, message);
    json_decref(object);
    free(out);
}

static void check_page(const struct request_id *id, const struct message *message, uint32_t count)
{
    struct reply_page page;
    uint32_t added = 0;
    size_t bytes;
    char *out = malloc(REPLY_PAGE_BYTES_MAX);
    ASSERT(out != NULL);
    ASSERT(reply_page_message_bytes(message) <= reply_page_message_bytes_max(message));
    reply_page_begin(&page, out, id);
    while (added < count && reply_page_add(&page, message))
        added++;
    ASSERT(added >= 1);
    char *frame = reply_page_end(&page, true, message->ts, &bytes);
    ASSERT(frame >= out && bytes <= REPLY_PAGE_BYTES_MAX);
    json_t *object = read_frame(frame, bytes), *messages = json_object_get(object, "messages");
    ASSERT(json_array_size(messages) == added);
    check_message(json_array_get(messages, added - 1), message);
    json_decref(object);
    free(out);
}

static void check_peers(const struct request_id *id, const struct message *message, uint32_t count)
{
    struct reply_page page;
    struct reply_peer peer = {SPAN_LITERAL("bob"), message, count, message->ts, message->ts - 1};
    uint32_t added = 0;
    size_t bytes;
    char *out = malloc(REPLY_PAGE_BYTES_MAX);
    ASSERT(out != NULL);
    reply_page_begin_peers(&page, out, id);
    while (added < count && reply_page_add_peer(&page, &peer))
        added++;
    ASSERT(added >= 1);
    char *frame = reply_page_end(&page, true, message->ts, &bytes);
    ASSERT(frame >= out && bytes <= LIMIT_PAGE_BYTES);
    json_t *object = read_frame(frame, bytes), *peers = json_object_get(object, "peers");
    ASSERT(json_array_size(peers) == added);
    check_message(json_object_get(json_array_get(peers, added - 1), "last"), message);
    json_decref(object);
    free(out);
}

static void check_error(const struct request_id *id, struct span text, uint32_t retry_after_ms)
{
    char *out = malloc(REPLY_BYTES_MAX), *message = malloc(text.bytes + 1);
    ASSERT(out != NULL && message != NULL);
    memcpy(message, text.data, text.bytes);
    message[text.bytes] = 0;
    size_t bytes = reply_write_error(out, id, ERROR_BUSY, message, retry_after_ms);
    ASSERT(bytes <= REPLY_BYTES_MAX);
    json_t *object = read_frame(out, bytes), *written = json_object_get(object, "message");
    if (id->kind == REQUEST_ID_STRING)
        check_text(object, "id", (struct span){id->string, id->bytes});
    ASSERT(json_string_length(written) <= strlen(message));
    ASSERT(memcmp(json_string_value(written), message, json_string_length(written)) == 0);
    json_decref(object);
    free(message);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = {1, 2, 3};
    struct fuzz_input input = {data, bytes};
    struct request_id id = {.kind = REQUEST_ID_STRING};
    uint32_t count = 1 + (uint32_t)fuzz_number(&input, 1) * 4;
    enum role role = (enum role)(1 + fuzz_number(&input, 1) % 3);
    uint64_t ts = 1 + fuzz_number(&input, 7) % LIMIT_TS_MAX;
    struct span name = fuzz_span(&input, fuzz_number(&input, 1) % (LIMIT_ID_BYTES + 1));
    struct span text = {(const char *)input.data, input.bytes};
    if (text.bytes > LIMIT_TEXT_BYTES || !utf8_is_valid(text) || !utf8_is_valid(name))
        return 0;
    id.bytes = (uint8_t)name.bytes;
    memcpy(id.string, name.data, name.bytes);
    struct message message = {.ts = ts,
                              .other_ts = ts,
                              .role = role,
                              .mid = mid,
                              .from = SPAN_LITERAL("ann"),
                              .to = role == ROLE_SELF ? SPAN_LITERAL("ann") : SPAN_LITERAL("bob"),
                              .key = role == ROLE_RECEIVED ? (struct span){text.data, 0} : name,
                              .text = text};
    check_msg(&message);
    check_page(&id, &message, count);
    check_peers(&id, &message, count);
    check_error(&id, text, count);
    return 0;
}
