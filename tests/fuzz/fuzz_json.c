/* Our reader against jansson, all members of the object: the same names, kinds and values. A string written again is
 * read as the same string, and json_cut cuts it at the last character that fits. */
#include "../unit/json_oracle.h"
#include "base/limits.h"
#include "fuzz.h"
#include "protocol/json.h"
#include "protocol/json_put.h"
#include "protocol/json_string.h"
#include "protocol/utf8.h"

static enum json_kind kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return JSON_KIND_OBJECT;
    case JSON_ARRAY: return JSON_KIND_ARRAY;
    case JSON_STRING: return JSON_KIND_STRING;
    case JSON_INTEGER:
    case JSON_REAL: return JSON_KIND_NUMBER;
    case JSON_TRUE: return JSON_KIND_TRUE;
    case JSON_FALSE: return JSON_KIND_FALSE;
    case JSON_NULL: break;
    }
    return JSON_KIND_NULL;
}

/* `room` is the limit for json_cut. */
static void check_string(struct span text, size_t room)
{
    struct span again;
    size_t bytes = json_escaped_bytes(text);
    char *written = malloc(bytes + 1);
    ASSERT(written != NULL);
    char *end = json_put_escaped(written, text);
    ASSERT((size_t)(end - written) == bytes);
    *end++ = '"';
    char *at = written;
    ASSERT(json_string_read(&at, end, &again) == NULL);
    ASSERT(at == end && span_equal(text, again));
    free(written);

    struct span cut = json_cut(text, room);
    ASSERT(cut.data == text.data && utf8_is_valid(cut) && json_escaped_bytes(cut) <= room);
    size_t next = cut.bytes + 1;
    while (next <= text.bytes && !utf8_is_valid((struct span){text.data, next}))
        next++;
    ASSERT(next > text.bytes || json_escaped_bytes((struct span){text.data, next}) > room);
}

static void check_member(const struct json_reader *reader, const char *name, const json_t *value, size_t room)
{
    const struct json_member *member = json_find(reader, span_of(name));
    int64_t number;
    ASSERT(member != NULL && member->kind == kind_of(value));
    if (json_is_string(value)) {
        ASSERT(span_equal(member->value, (struct span){json_string_value(value), json_string_length(value)}));
        check_string(member->value, room);
    }
    if (json_member_integer(member, &number))
        ASSERT(json_is_integer(value) && json_integer_value(value) == number);
    else if (json_is_integer(value))
        ASSERT(llabs(json_integer_value(value)) >= INT64_C(1) << 53);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct json_reader *reader;
    const char *reason = NULL, *name;
    json_t *object = NULL, *value;
    if (bytes < 1 || bytes > LIMIT_FRAME_BYTES || !utf8_is_valid((struct span){(const char *)data + 1, bytes - 1}))
        return 0;
    if (reader == NULL)
        ASSERT(json_reader_open(&reader, LIMIT_FRAME_BYTES) == 0);
    char *copy = fuzz_copy(data + 1, bytes - 1);
    enum oracle oracle = oracle_read((const char *)data + 1, bytes - 1, &object);
    bool is_read = json_read_object(reader, copy, bytes - 1, &reason);
    ASSERT(is_read || reason != NULL);
    if (oracle != ORACLE_CANNOT_SAY)
        ASSERT(is_read == (oracle == ORACLE_ACCEPTS));
    if (oracle == ORACLE_ACCEPTS)
        json_object_foreach(object, name, value)
        {
            check_member(reader, name, value, data[0]);
        }
    json_decref(object);
    free(copy);
    return 0;
}
