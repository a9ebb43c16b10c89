/*
 * json_put.h: pieces of JSON appended at `at`; each function returns where the next piece goes. The caller provides the
 * room. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_JSON_PUT_H
#define CHITCHAT_PROTOCOL_JSON_PUT_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/span.h"

/* A literal, without escapes. */
#define JSON_PUT(at, literal) ((char *)memcpy((at), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

/* Bytes, without escapes. */
static inline char *json_put_span(char *at, struct span span)
{
    bytes_copy_short(at, span.data, span.bytes);
    return at + span.bytes;
}

/* A decimal number, of at most 20 digits. */
#define JSON_UNSIGNED_BYTES_MAX 20u
char *json_put_unsigned(char *at, uint64_t value);
/* How many digits json_put_unsigned writes. */
uint32_t json_unsigned_bytes(uint64_t value);

/* The inside of a string, escaped; the quotes are the caller's. At most six bytes for each of `text`. */
char *json_put_escaped(char *at, struct span text);
/* How many bytes json_put_escaped writes. */
size_t json_escaped_bytes(struct span text);
/* The longest prefix of `text`, which is UTF-8, that ends with a whole character and of which json_put_escaped writes
 * at most `bytes_max`. */
struct span json_cut(struct span text, size_t bytes_max);

#endif
