/*
 * json.h: a strict reader of one JSON object (RFC 8259), in place: strings are unescaped where they lie, numbers stay
 * as they were written. The reader keeps the members of the outer object; values nested in them are checked and
 * skipped.
 *
 * Refused, besides what the grammar refuses: a value that is not an object, nesting deeper than LIMIT_JSON_DEPTH (the
 * outer object is 1), a key repeated in any object (compared after unescaping), bytes that are not UTF-8 in a string,
 * lone surrogates, and anything but blanks after the object. Time is linear in the bytes, whatever they are: the names
 * of an object with many members go through a table, hashed with a random seed of the reader.
 *
 * A reader is scratch memory, reused for each object. One thread.
 */
#ifndef CHITCHAT_PROTOCOL_JSON_H
#define CHITCHAT_PROTOCOL_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct json_reader;

enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
};

/* Spans are borrowed from the bytes that were read. */
struct json_member {
    struct span name;
    struct span value; /* a string's bytes, unescaped; a number as written; where an array lies, brackets included, as
                        * json_array_next reads it; else empty */
    enum json_kind kind;
};

/* For objects of at most `bytes_max` bytes, below 2^32 - 1: asserted. 0 or -errno. Memory is touched only as far as
 * objects need it. */
int json_reader_open(struct json_reader **reader_r, size_t bytes_max);
void json_reader_close(struct json_reader **reader);

/* True, and the members are valid until the next call, while `data` is; or false and *reason_r, static: what is wrong.
 * `bytes` is at most `bytes_max`. `data` is changed in both cases. */
bool json_read_object(struct json_reader *reader, char *data, size_t bytes, const char **reason_r);

/* The member of the outer object with this name, NULL if there is none. Borrowed from the reader. */
const struct json_member *json_find(const struct json_reader *reader, struct span name);

/* The number of members of the outer object. */
uint32_t json_member_count(const struct json_reader *reader);

/* Takes the next string off an array, which `left` is at first: the value of a member. Where the string holds a `"`,
 * *string_r has U+0000. False: the array is at its end, and *left is empty; or the next element is no string. */
bool json_array_next(struct span *left, struct span *string_r);

/* True and *value_r if `member` is a number without fraction and exponent, of magnitude below 2^53. */
bool json_member_integer(const struct json_member *member, int64_t *value_r);

#endif
