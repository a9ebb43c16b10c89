#include "frame.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18u
#define DEPTH_MAX 16u
#define COMPARED_ONE_IN 64u
#define VALUES_MAX 65536u /* a page of 1,000 messages has 8,000 */

struct plain {
    struct frame_reader *reader;
    char *at;
    char *end;
    uint32_t depth;
};

void frame_reader_open(struct frame_reader *reader)
{
    *reader = (struct frame_reader){.values = malloc(VALUES_MAX * sizeof *reader->values)};
    HARNESS_MUST(reader->values != NULL);
}

void frame_reader_close(struct frame_reader *reader)
{
    free(reader->values);
    json_decref(reader->json);
    reader->values = NULL;
    reader->json = NULL;
}

static struct value *add_value(struct frame_reader *reader, struct value value)
{
    HARNESS_MUST(reader->count < VALUES_MAX);
    reader->values[reader->count] = value;
    return &reader->values[reader->count++];
}

/* -- plain -- */

static bool read_value(struct plain *plain, struct value **value_r);

static bool take_byte(struct plain *plain, char byte)
{
    if (plain->at == plain->end || *plain->at != byte)
        return false;
    plain->at++;
    return true;
}

static bool read_string(struct plain *plain, struct span *text_r)
{
    if (!take_byte(plain, '"'))
        return false;
    char *at = plain->at;
    while (at < plain->end && *at >= ' ' && *at != '"' && *at != '\\' && *at < 0x7f)
        at++;
    *text_r = (struct span){plain->at, (size_t)(at - plain->at)};
    plain->at = at;
    return take_byte(plain, '"');
}

static bool read_word(struct plain *plain, const char *word)
{
    size_t bytes = strlen(word);
    if ((size_t)(plain->end - plain->at) < bytes || memcmp(plain->at, word, bytes) != 0)
        return false;
    plain->at += bytes;
    return true;
}

/* Whatever is behind the digits and is no part of an integer is refused by the caller. */
static bool read_integer(struct plain *plain, int64_t *number_r)
{
    const char *begin = plain->at;
    int64_t number = 0;
    while (plain->at < plain->end && *plain->at >= '0' && *plain->at <= '9'
           && plain->at - begin < (ptrdiff_t)DIGITS_MAX)
        number = number * 10 + (*plain->at++ - '0');
    *number_r = number;
    return plain->at > begin && (*begin != '0' || plain->at - begin == 1);
}

static bool has_name(const struct value *first, struct span name)
{
    for (const struct value *member = first; member != NULL; member = member->next)
        if (member->name.bytes == name.bytes && memcmp(member->name.data, name.data, name.bytes) == 0)
            return true;
    return false;
}

static bool read_element(struct plain *plain, struct value *outer, struct value **last)
{
    struct span name = {NULL, 0};
    struct value *value;
    if (outer->kind == VALUE_OBJECT && (!read_string(plain, &name) || !take_byte(plain, ':')))
        return false;
    if ((outer->kind == VALUE_OBJECT && has_name(outer->first, name)) || !read_value(plain, &value))
        return false;
    value->name = name;
    *(*last == NULL ? &outer->first : &(*last)->next) = value;
    *last = value;
    outer->count++;
    return true;
}

static bool read_elements(struct plain *plain, struct value *outer)
{
    char end = outer->kind == VALUE_OBJECT ? '}' : ']';
    struct value *last = NULL;
    if (plain->depth == DEPTH_MAX)
        return false;
    if (take_byte(plain, end))
        return true;
    plain->depth++;
    do
        if (!read_element(plain, outer, &last))
            return false;
    while (take_byte(plain, ','));
    plain->depth--;
    return take_byte(plain, end);
}

static bool read_value(struct plain *plain, struct value **value_r)
{
    struct value *value = *value_r = add_value(plain->reader, (struct value){.kind = VALUE_NULL});
    char first = plain->at == plain->end ? '\0' : *plain->at;
    switch (first) {
    case '{':
    case '[':
        value->kind = first == '{' ? VALUE_OBJECT : VALUE_ARRAY;
        plain->at++;
        return read_elements(plain, value);
    case '"': value->kind = VALUE_STRING; return read_string(plain, &value->text);
    case 't': value->kind = VALUE_TRUE; return read_word(plain, "true");
    case 'f': value->kind = VALUE_FALSE; return read_word(plain, "false");
    case 'n': return read_word(plain, "null");
    default: value->kind = VALUE_INTEGER; return read_integer(plain, &value->number);
    }
}

bool frame_read_plain(struct frame_reader *reader, char *data, size_t bytes, struct value **value_r)
{
    struct plain plain = {.reader = reader, .at = data, .end = data + bytes};
    reader->count = 0;
    if (bytes == 0 || (*data != '{' && *data != '[') || !read_value(&plain, value_r) || plain.at != plain.end)
        return false;
    for (size_t i = 0; i < reader->count; i++)
        if (reader->values[i].kind == VALUE_STRING)
            data[reader->values[i].text.data + reader->values[i].text.bytes - data] = '\0';
    return true;
}

/* -- jansson -- */

static struct value *take_json(struct frame_reader *reader, json_t *json);

static void take_element(struct frame_reader *reader, json_t *json, struct span name, struct value *outer,
                         struct value **last)
{
    struct value *value = take_json(reader, json);
    value->name = name;
    *(*last == NULL ? &outer->first : &(*last)->next) = value;
    *last = value;
    outer->count++;
}

static struct value *take_json(struct frame_reader *reader, json_t *json)
{
    static const enum value_kind kinds[] = {
        [JSON_OBJECT] = VALUE_OBJECT,   [JSON_ARRAY] = VALUE_ARRAY, [JSON_STRING] = VALUE_STRING,
        [JSON_INTEGER] = VALUE_INTEGER, [JSON_REAL] = VALUE_REAL,   [JSON_TRUE] = VALUE_TRUE,
        [JSON_FALSE] = VALUE_FALSE,     [JSON_NULL] = VALUE_NULL};
    struct value *value = add_value(reader, (struct value){.kind = kinds[json_typeof(json)]}), *last = NULL;
    size_t index;
    const char *name;
    json_t *inner;
    value->number = json_integer_value(json);
    if (value->kind == VALUE_STRING)
        value->text = (struct span){json_string_value(json), json_string_length(json)};
    json_array_foreach(json, index, inner) take_element(reader, inner, (struct span){NULL, 0}, value, &last);
    json_object_foreach(json, name, inner) take_element(reader, inner, span_of(name), value, &last);
    return value;
}

static bool is_same_text(struct span text, const char *other, size_t bytes)
{
    return text.bytes == bytes && memcmp(text.data, other, bytes) == 0;
}

bool frame_is_same(const struct value *value, json_t *json)
{
    const struct value *inner = value->first;
    switch (value->kind) {
    case VALUE_OBJECT:
        if (!json_is_object(json) || json_object_size(json) != value->count)
            return false;
        for (; inner != NULL; inner = inner->next) {
            json_t *other = json_object_getn(json, inner->name.data, inner->name.bytes);
            if (other == NULL || !frame_is_same(inner, other))
                return false;
        }
        return true;
    case VALUE_ARRAY:
        if (!json_is_array(json) || json_array_size(json) != value->count)
            return false;
        for (size_t i = 0; inner != NULL; inner = inner->next)
            if (!frame_is_same(inner, json_array_get(json, i++)))
                return false;
        return true;
    case VALUE_STRING:
        return json_is_string(json) && is_same_text(value->text, json_string_value(json), json_string_length(json));
    case VALUE_INTEGER: return json_is_integer(json) && json_integer_value(json) == value->number;
    case VALUE_REAL: return json_is_real(json);
    case VALUE_TRUE: return json_is_true(json);
    case VALUE_FALSE: return json_is_false(json);
    case VALUE_NULL: return json_is_null(json);
    }
    return false;
}

/* Keeps what it reads until the next call. */
static json_t *load(struct frame_reader *reader, const char *data, size_t bytes)
{
    json_error_t error;
    json_decref(reader->json);
    reader->json = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
    if (reader->json == NULL)
        harness_fail("%s", error.text);
    return reader->json;
}

/* -- frames -- */

static const struct value *read_text(struct frame_reader *reader, char *data, size_t bytes)
{
    struct value *value;
    bool is_compared = reader->plain % COMPARED_ONE_IN == 0;
    json_t *json = is_compared ? load(reader, data, bytes) : NULL;
    if (frame_read_plain(reader, data, bytes, &value)) {
        reader->plain++;
        if (is_compared && !frame_is_same(value, json))
            harness_fail("jansson reads a frame in another way");
        return value;
    }
    json = is_compared ? json : load(reader, data, bytes);
    reader->count = 0;
    return take_json(reader, json);
}

static const struct value *make_close(struct frame_reader *reader, int64_t code)
{
    reader->count = 0;
    struct value *object = add_value(reader, (struct value){.kind = VALUE_OBJECT, .count = 1});
    object->first = add_value(reader, (struct value){.kind = VALUE_INTEGER, .number = code, .name = span_of("close")});
    return object;
}

const struct value *frame_next(struct frame_reader *reader, struct client *client)
{
    char *data;
    size_t bytes;
    int code;
    switch (client_next_frame(client, &data, &bytes, &code)) {
    case CLIENT_TEXT: return read_text(reader, data, bytes);
    case CLIENT_CLOSE: return make_close(reader, code);
    default: return NULL;
    }
}

const struct value *frame_expect(struct frame_reader *reader, struct client *client, const char *op)
{
    for (const struct value *frame; (frame = frame_next(reader, client)) != NULL;)
        if (strcmp(value_text(frame, "op"), op) == 0)
            return frame;
    harness_fail("no frame `%s` was received", op);
}

const struct value *value_get(const struct value *object, const char *name)
{
    if (object->kind != VALUE_OBJECT)
        return NULL;
    for (const struct value *member = object->first; member != NULL; member = member->next)
        if (is_same_text(member->name, name, strlen(name)))
            return member;
    return NULL;
}

bool value_is_true(const struct value *object, const char *name)
{
    const struct value *value = value_get(object, name);
    return value != NULL && value->kind == VALUE_TRUE;
}

uint64_t value_number(const struct value *object, const char *name)
{
    const struct value *value = value_get(object, name);
    if (value == NULL || value->kind != VALUE_INTEGER)
        harness_fail("the frame has no number %s", name);
    return (uint64_t)value->number;
}

const char *value_text(const struct value *object, const char *name)
{
    const struct value *value = value_get(object, name);
    return value == NULL || value->kind != VALUE_STRING ? "" : value->text.data;
}
