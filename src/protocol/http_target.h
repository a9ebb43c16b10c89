/*
 * http_target.h: the target of an HTTP request: its path, and its query as pairs. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_HTTP_TARGET_H
#define CHITCHAT_PROTOCOL_HTTP_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define HTTP_QUERIES_MAX 16u

struct http_query_pair {
    struct span name;
    struct span value;
};

struct http_target {
    struct span path; /* not decoded: an encoded slash is no separator */
    struct http_query_pair queries[HTTP_QUERIES_MAX];
    uint32_t query_count;
};

/* The path of a target in origin form or absolute form (RFC 9112, 3.2), without its query. Borrows `target`. */
struct span http_target_path(struct span target);

/* Reads a target; decodes the query in place, as forms encode it (+ is a blank). *target_r borrows the bytes. NULL; or,
 * static, what is wrong: too many parameters, or a % without two hexadecimal digits. */
const char *http_target_read(char *target, size_t bytes, struct http_target *target_r);

/* Decodes %XX of `text` into `out`, which has room for text.bytes and may be text.data. With `is_form` + is a blank.
 * False: a % without two hexadecimal digits. */
bool http_percent_decode(struct span text, bool is_form, char *out, size_t *bytes_r);

#endif
