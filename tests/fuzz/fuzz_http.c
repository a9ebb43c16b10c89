/* A head whole and in pieces gets the same answer. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "protocol/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *const origins[] = {"https://a.example", NULL};
static const struct host hosts[] = {{.kind = HOST_NAME, .name = {"b.example", 9}, .has_port = true, .port = 8443}};
static const struct http_options options = {.origins = origins, .hosts = hosts, .host_count = 1, .page = {"page", 4}};

static uint32_t answer(const uint8_t *data, size_t bytes, size_t piece, enum http_verdict *verdict_r)
{
    struct http_head *head = http_head_open(&options);
    struct http_result result = {.verdict = HTTP_MORE};
    size_t used = 0;
    ASSERT(head != NULL);
    for (size_t at = 0; at < bytes && result.verdict == HTTP_MORE; at += piece) {
        size_t count = bytes - at < piece ? bytes - at : piece;
        char *copy = malloc(count);
        memcpy(copy, data + at, count);
        result = http_head_feed(head, copy, count);
        ASSERT(result.used <= count);
        used = at + result.used;
        free(copy);
    }
    uint32_t sum = hash_crc32c(result.status, result.answer.data, result.answer.bytes);
    if (result.verdict == HTTP_UPGRADE)
        sum = hash_crc32c(sum, &used, sizeof used);
    *verdict_r = result.verdict;
    http_head_close(&head);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    enum http_verdict whole, parts;
    if (bytes < 1)
        return 0;
    uint32_t sum = answer(data + 1, bytes - 1, bytes, &whole);
    uint32_t again = answer(data + 1, bytes - 1, 1 + data[0] % 64, &parts);
    ASSERT(whole == parts && sum == again);
    return 0;
}
