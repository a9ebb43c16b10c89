/* Requests in pieces of any size give the events, heads and bodies of the whole, and what follows a request does not
 * change it. A target that is read holds no more bytes than it had, and decoding gives what a second decoder gives. */
#include "protocol/http_request.h"

#include "base/hash.h"
#include "fuzz.h"
#include "protocol/http_target.h"

#define EVENTS_MAX 256u

struct outcome {
    uint32_t digest; /* of all events and what they say, bodies apart */
    uint32_t body_digest;
    size_t body_bytes; /* of all bodies */
    size_t used;       /* up to the end of the last complete request */
    uint32_t count;    /* of complete requests */
    bool is_inside;
    bool is_error;
};

static void on_body(void *context, const char *data, size_t bytes)
{
    struct outcome *outcome = context;
    ASSERT(bytes > 0);
    outcome->body_digest = hash_crc32c(outcome->body_digest, data, bytes);
    outcome->body_bytes += bytes;
}

static void add(struct outcome *outcome, const void *data, size_t bytes)
{
    outcome->digest = hash_crc32c(outcome->digest, data, bytes);
}

static void add_span(struct outcome *outcome, struct span span)
{
    bool is_there = span.data != NULL;
    add(outcome, &is_there, sizeof is_there);
    add(outcome, &span.bytes, sizeof span.bytes);
    if (span.bytes > 0)
        add(outcome, span.data, span.bytes);
}

static void add_head(struct outcome *outcome, const struct http_request_head *head)
{
    uint8_t fields[] = {(uint8_t)head->method, head->has_body, head->has_length, head->keeps_alive, head->minor};
    ASSERT(head->target != NULL && head->target_bytes > 0);
    ASSERT(head->minor == 0 || head->host.data != NULL);
    ASSERT(head->has_length || head->content_length == 0);
    add(outcome, fields, sizeof fields);
    add(outcome, &head->content_length, sizeof head->content_length);
    add_span(outcome, (struct span){head->target, head->target_bytes});
    add_span(outcome, head->host);
    add_span(outcome, head->origin);
    add_span(outcome, head->authorization);
    add_span(outcome, head->content_type);
    add_span(outcome, head->expect);
}

static int digit_of(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits) % 16;
}

/* The plain way, byte by byte. */
static void check_decoding(struct span text)
{
    size_t bytes = 0, at = 0;
    char *out = malloc(text.bytes + 1);
    bool is_good = http_percent_decode(text, false, out, &bytes);
    for (size_t i = 0; is_good && i < text.bytes; i++, at++) {
        bool is_escaped = text.data[i] == '%';
        ASSERT(!is_escaped || i + 2 < text.bytes);
        char wanted = is_escaped ? (char)(digit_of(text.data[i + 1]) * 16 + digit_of(text.data[i + 2])) : text.data[i];
        ASSERT(at < bytes && out[at] == wanted);
        i += is_escaped ? 2 : 0;
    }
    ASSERT(!is_good || at == bytes);
    free(out);
}

static void check_target(struct span target)
{
    struct http_target read;
    char *copy = fuzz_copy((const uint8_t *)target.data, target.bytes);
    check_decoding(target);
    if (http_target_read(copy, target.bytes, &read) == NULL) {
        size_t bytes = read.path.bytes;
        ASSERT(read.query_count <= HTTP_QUERIES_MAX);
        for (uint32_t i = 0; i < read.query_count; i++)
            bytes += read.queries[i].name.bytes + read.queries[i].value.bytes;
        ASSERT(bytes <= target.bytes || span_equal(read.path, SPAN_LITERAL("/")));
    }
    free(copy);
}

static bool take_event(struct outcome *outcome, const struct http_parser *parser, const struct http_fed *fed,
                       size_t end)
{
    if (fed->event == HTTP_EVENT_MORE)
        return true;
    add(outcome, &fed->event, sizeof fed->event);
    if (fed->event == HTTP_EVENT_ERROR) {
        ASSERT(fed->status >= 400 && fed->message != NULL);
        add(outcome, &fed->status, sizeof fed->status);
        outcome->is_error = true;
        return false;
    }
    add_head(outcome, http_parser_head(parser));
    if (fed->event == HTTP_EVENT_HEAD)
        return true;
    const struct http_request_head *head = http_parser_head(parser);
    check_target((struct span){head->target, head->target_bytes});
    add(outcome, &outcome->body_digest, sizeof outcome->body_digest);
    add(outcome, &outcome->body_bytes, sizeof outcome->body_bytes);
    outcome->used = end;
    return ++outcome->count < EVENTS_MAX;
}

static struct outcome outcome_of(const uint8_t *data, size_t bytes, size_t piece)
{
    struct outcome outcome = {0};
    struct http_parser *parser = http_parser_begin(malloc(http_parser_bytes()), on_body, &outcome);
    bool goes_on = true;
    for (size_t at = 0; at < bytes && goes_on;) {
        size_t count = bytes - at < piece ? bytes - at : piece;
        char *copy = fuzz_copy(data + at, count);
        struct http_fed fed = http_parser_feed(parser, copy, count);
        ASSERT(fed.used <= count);
        ASSERT(fed.event != HTTP_EVENT_MORE || fed.used == count);
        goes_on = take_event(&outcome, parser, &fed, at + fed.used);
        at += fed.used;
        free(copy);
    }
    outcome.is_inside = goes_on && http_parser_is_inside(parser);
    free(parser);
    return outcome;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    ASSERT(a->digest == b->digest);
    ASSERT(a->count == b->count && a->used == b->used);
    ASSERT(a->is_error == b->is_error && a->is_inside == b->is_inside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    size_t piece = 1 + data[0] % 64;
    data++;
    bytes--;
    struct outcome whole = outcome_of(data, bytes, bytes);
    struct outcome pieces = outcome_of(data, bytes, piece);
    check_same(&whole, &pieces);
    if (whole.count == 0)
        return 0;
    struct outcome alone = outcome_of(data, whole.used, bytes);
    ASSERT(alone.count == whole.count && alone.used == whole.used);
    ASSERT(!alone.is_error && !alone.is_inside);
    return 0;
}
