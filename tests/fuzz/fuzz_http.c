/* A head whole and in pieces gets the same answer, and what follows the head does not change it. An answer has the
 * status that the result says. */
#include <stdio.h>

#include "base/hash.h"
#include "fuzz.h"
#include "protocol/http.h"

static const struct origin origins[] = {
    {.kind = ORIGIN_BELOW, .scheme = {"https", 5}, .host = {.kind = HOST_NAME, .name = {"a.example", 9}}, .port = 443}};
/* Trusted proxies: 10.0.0.0/8. */
static const struct network proxies[] = {{{{[10] = 0xff, [11] = 0xff, [12] = 10}}, 104}};
static const struct address proxy = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}};
static const struct host hosts[] = {{.kind = HOST_NAME, .name = {"b.example", 9}, .has_port = true, .port = 8443}};
static const struct web_file files[] = {{{"/", 1}, "text/html", "\"a\"", {"page", 4}}};
static const struct http_options options = {.origins = origins,
                                            .origin_count = 1,
                                            .hosts = hosts,
                                            .host_count = 1,
                                            .proxies = {proxies, 1},
                                            .files = files,
                                            .file_count = 1};

struct outcome {
    enum http_verdict verdict;
    uint16_t status;
    size_t used;
    uint32_t digest;
};

static void check_answer(const struct http_result *result)
{
    char begin[16];
    snprintf(begin, sizeof begin, "HTTP/1.1 %u ", result->status);
    ASSERT(result->answer.bytes > strlen(begin) && memcmp(result->answer.data, begin, strlen(begin)) == 0);
    ASSERT((result->verdict == HTTP_UPGRADE) == (result->status == 101));
    if (result->verdict == HTTP_ANSWER)
        ASSERT(memmem(result->answer.data, result->answer.bytes, "\r\nConnection: close\r\n", 21) != NULL);
}

static struct outcome outcome_of(const uint8_t *data, size_t bytes, size_t piece)
{
    struct http_head *head = http_head_open(&options);
    struct http_result result = {.verdict = HTTP_MORE};
    struct outcome outcome = {HTTP_MORE, 0, 0, 0};
    ASSERT(head != NULL);
    http_head_set_peer(head, &proxy);
    for (size_t at = 0; at < bytes && result.verdict == HTTP_MORE; at += piece) {
        size_t count = bytes - at < piece ? bytes - at : piece;
        char *copy = fuzz_copy(data + at, count);
        result = http_head_feed(head, copy, count);
        ASSERT(result.used <= count);
        outcome.used = at + result.used;
        free(copy);
    }
    if (result.verdict != HTTP_MORE)
        check_answer(&result);
    else
        ASSERT(bytes < LIMIT_HTTP_HEAD_BYTES);
    outcome.verdict = result.verdict;
    outcome.status = result.status;
    outcome.digest = hash_crc32c(0, result.answer.data, result.answer.bytes);
    outcome.digest = hash_crc32c(outcome.digest, result.address.bytes, sizeof result.address.bytes);
    outcome.digest = hash_crc32c(outcome.digest, &result.ignored, sizeof result.ignored);
    http_head_close(&head);
    return outcome;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    ASSERT(a->verdict == b->verdict);
    ASSERT(a->status == b->status);
    ASSERT(a->digest == b->digest);
    if (a->verdict == HTTP_UPGRADE)
        ASSERT(a->used == b->used);
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
    if (whole.verdict != HTTP_UPGRADE)
        return 0;
    ASSERT(whole.used <= LIMIT_HTTP_HEAD_BYTES);
    struct outcome alone = outcome_of(data, whole.used, bytes);
    check_same(&whole, &alone);
    return 0;
}
