/*
 * span.h: a borrowed range of bytes, without a NUL at its end. The function that gives a span says how long its bytes
 * stand. Pure; any thread.
 */
#ifndef CHITCHAT_BASE_SPAN_H
#define CHITCHAT_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

struct span {
    const char *data;
    size_t bytes;
};

#define SPAN_LITERAL(literal) ((struct span){(literal), sizeof(literal) - 1})

/* The bytes of a string, which it borrows. */
static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

/* The same, but letters of ASCII are equal in upper and lower case. */
static inline bool span_equal_any_case(struct span a, struct span b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || strncasecmp(a.data, b.data, a.bytes) == 0);
}

/* Without blanks and tabs at both ends. */
static inline struct span span_trim(struct span text)
{
    while (text.bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.bytes--;
    }
    while (text.bytes > 0 && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

/* Adds the next part of a text that lies in one piece: *span begins at the first part (before it, data is NULL) and
 * ends behind this one. */
static inline void span_grow(struct span *span, const char *part, size_t bytes)
{
    if (span->data == NULL)
        span->data = part;
    span->bytes = (size_t)(part + bytes - span->data);
}

/* Orders as memcmp does; a prefix comes first. Returns < 0, 0 or > 0. Words of 8 bytes, the last of which may overlap
 * the one before: names and keys are short, and a call of memcmp would take longer. */
static inline int span_compare(struct span a, struct span b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    size_t at = 0;
    while (common >= sizeof(uint64_t) && at < common) {
        size_t from = common - at < sizeof(uint64_t) ? common - sizeof(uint64_t) : at;
        uint64_t x = bytes_load_be64(a.data + from), y = bytes_load_be64(b.data + from);
        if (x != y)
            return x < y ? -1 : 1;
        at = from + sizeof(uint64_t);
    }
    int order = at == common ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
}

#endif
