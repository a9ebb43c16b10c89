#include "protocol/json.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "protocol/json_string.h"

/* The shortest member is `"":0` and a comma or brace. */
#define MEMBER_BYTES_MIN 5u
/* The names of an object with more members are compared through the table. */
#define PAIRS_MAX 8u
/* 2^53 - 1 has 16 digits. */
#define INTEGER_DIGITS_MAX 16u

struct json_reader {
    /* Set by open, then only read. */
    struct hash_key seed;
    size_t bytes_max;
    uint32_t members_max;

    /* The members of the objects that have not ended, those of the outer one first. */
    struct json_member *members;
    uint32_t count;

    /* Indices of members + 1, 0 if free; cleared for each object that needs it. */
    uint32_t *slots;
};

struct parser {
    struct json_reader *reader;
    char *at;
    char *end;
    const char *reason;
    uint32_t depth;
};

static uint32_t slots_for(uint32_t count)
{
    uint32_t slots = 2 * PAIRS_MAX;
    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

int json_reader_open(struct json_reader **reader_r, size_t bytes_max)
{
    ASSERT(bytes_max < UINT32_MAX);
    struct json_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return -ENOMEM;
    reader->bytes_max = bytes_max;
    reader->members_max = (uint32_t)(bytes_max / MEMBER_BYTES_MIN) + 1;
    reader->members = malloc(reader->members_max * sizeof *reader->members);
    reader->slots = malloc(slots_for(reader->members_max) * sizeof *reader->slots);
    int status = reader->members == NULL || reader->slots == NULL ? -ENOMEM : 0;
    if (status == 0 && getentropy(&reader->seed, sizeof reader->seed) != 0)
        status = -errno;
    if (status != 0)
        json_reader_close(&reader);
    *reader_r = reader;
    return status;
}

void json_reader_close(struct json_reader **reader)
{
    if (*reader != NULL) {
        free((*reader)->members);
        free((*reader)->slots);
        free(*reader);
    }
    *reader = NULL;
}

static bool fail(struct parser *parser, const char *reason)
{
    parser->reason = reason;
    return false;
}

/* The next byte that is not a blank, without taking it; 0 at the end, which begins no token. */
static inline char peek_token(struct parser *parser)
{
    while (parser->at < parser->end) {
        char byte = *parser->at;
        if (byte != ' ' && byte != '\n' && byte != '\t' && byte != '\r')
            return byte;
        parser->at++;
    }
    return 0;
}

static bool take_byte(struct parser *parser, char byte)
{
    if (parser->at == parser->end || *parser->at != byte)
        return false;
    parser->at++;
    return true;
}

static bool take_digits(struct parser *parser)
{
    char *start = parser->at;
    while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
        parser->at++;
    return parser->at > start;
}

static bool take_number(struct parser *parser)
{
    take_byte(parser, '-');
    if (!take_byte(parser, '0') && !take_digits(parser))
        return false;
    if (take_byte(parser, '.') && !take_digits(parser))
        return false;
    if (take_byte(parser, 'e') || take_byte(parser, 'E')) {
        if (!take_byte(parser, '+'))
            take_byte(parser, '-');
        return take_digits(parser);
    }
    return true;
}

static bool read_number(struct parser *parser, struct json_member *member)
{
    char *start = parser->at;
    if (!take_number(parser))
        return fail(parser, "bad JSON: a number does not have the form of RFC 8259");
    member->kind = JSON_KIND_NUMBER;
    member->value = (struct span){start, (size_t)(parser->at - start)};
    return true;
}

static bool read_word(struct parser *parser, struct span word, enum json_kind kind, struct json_member *member)
{
    size_t left = (size_t)(parser->end - parser->at);
    if (left < word.bytes || memcmp(parser->at, word.data, word.bytes) != 0)
        return fail(parser, "bad JSON: a value is neither string, number, object, array, true, false nor null");
    parser->at += word.bytes;
    member->kind = kind;
    return true;
}

/* `at` is at the opening quote. */
static bool read_string(struct parser *parser, struct span *string_r)
{
    parser->at++;
    parser->reason = json_string_read(&parser->at, parser->end, string_r);
    return parser->reason == NULL;
}

/* Most names differ in their length or their first byte. */
static inline bool is_name_same(struct span a, struct span b)
{
    if (a.bytes != b.bytes)
        return false;
    return a.bytes == 0 || (a.data[0] == b.data[0] && span_equal(a, b));
}

static bool is_pair_same(const struct json_member *a, const struct json_member *b)
{
    return is_name_same(a->name, b->name);
}

static bool are_pairs_unique(const struct json_member *members, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (is_pair_same(&members[i], &members[k]))
                return false;
    return true;
}

static bool are_hashed_unique(struct json_reader *reader, const struct json_member *members, uint32_t count)
{
    ASSERT(count <= reader->members_max);
    uint32_t mask = slots_for(count) - 1;
    memset(reader->slots, 0, ((size_t)mask + 1) * sizeof *reader->slots);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)hash_siphash13(reader->seed, members[i].name) & mask;
        for (; reader->slots[at] != 0; at = (at + 1) & mask)
            if (is_pair_same(&members[i], &members[reader->slots[at] - 1]))
                return false;
        reader->slots[at] = i + 1;
    }
    return true;
}

/* Names are compared when their object ends: then they lie together on top. */
static bool are_names_unique(struct parser *parser, uint32_t first)
{
    struct json_reader *reader = parser->reader;
    const struct json_member *members = reader->members + first;
    uint32_t count = reader->count - first;
    bool unique = count <= PAIRS_MAX ? are_pairs_unique(members, count) : are_hashed_unique(reader, members, count);
    return unique || fail(parser, "bad JSON: a key is repeated in an object");
}

static bool enter(struct parser *parser)
{
    parser->at++;
    if (++parser->depth > LIMIT_JSON_DEPTH)
        return fail(parser, "bad JSON: objects and arrays nest deeper than 16");
    return true;
}

static bool leave(struct parser *parser)
{
    ASSERT(parser->depth > 0);
    parser->at++;
    parser->depth--;
    return true;
}

static bool read_value(struct parser *parser, struct json_member *member);

static bool read_member(struct parser *parser)
{
    struct json_reader *reader = parser->reader;
    ASSERT(reader->count < reader->members_max);
    struct json_member *member = &reader->members[reader->count++];
    if (peek_token(parser) != '"')
        return fail(parser, "bad JSON: a member of an object must begin with its key, a string");
    if (!read_string(parser, &member->name))
        return false;
    if (peek_token(parser) != ':')
        return fail(parser, "bad JSON: after an object's key there must be a colon");
    parser->at++;
    return read_value(parser, member);
}

/* `at` is at the brace. Leaves its members on top. */
static bool read_object(struct parser *parser)
{
    uint32_t first = parser->reader->count;
    if (!enter(parser))
        return false;
    if (peek_token(parser) == '}')
        return leave(parser);
    for (;;) {
        if (!read_member(parser))
            return false;
        char byte = peek_token(parser);
        if (byte == '}')
            return leave(parser) && are_names_unique(parser, first);
        if (byte != ',')
            return fail(parser, "bad JSON: after an object's member there must be a comma or a closing brace");
        parser->at++;
    }
}

static bool read_inner_object(struct parser *parser, struct json_member *member)
{
    uint32_t first = parser->reader->count;
    if (!read_object(parser))
        return false;
    parser->reader->count = first;
    member->kind = JSON_KIND_OBJECT;
    return true;
}

/* The string at `start` is unescaped, and shorter than it was: it is closed again, so that the array can be read once
 * more (json_array_next). */
static void close_string(char *start, size_t bytes, char *end)
{
    if (start + bytes + 1 == end)
        return;
    for (size_t i = 0; i < bytes; i++)
        if (start[i] == '"')
            start[i] = '\0';
    start[bytes] = '"';
    memset(start + bytes + 1, ' ', (size_t)(end - start) - bytes - 1);
}

static bool read_element(struct parser *parser)
{
    struct json_member element;
    char byte = peek_token(parser);
    char *start = parser->at + 1;
    if (!read_value(parser, &element))
        return false;
    if (byte == '"')
        close_string(start, element.value.bytes, parser->at);
    return true;
}

static bool read_array(struct parser *parser, struct json_member *member)
{
    member->kind = JSON_KIND_ARRAY;
    if (!enter(parser))
        return false;
    if (peek_token(parser) == ']')
        return leave(parser);
    for (;;) {
        if (!read_element(parser))
            return false;
        char byte = peek_token(parser);
        if (byte == ']')
            return leave(parser);
        if (byte != ',')
            return fail(parser, "bad JSON: after an array's element there must be a comma or a closing bracket");
        parser->at++;
    }
}

static bool read_whole_array(struct parser *parser, struct json_member *member)
{
    char *start = parser->at;
    if (!read_array(parser, member))
        return false;
    member->value = (struct span){start, (size_t)(parser->at - start)};
    return true;
}

static bool read_value(struct parser *parser, struct json_member *member)
{
    member->value = (struct span){"", 0};
    switch (peek_token(parser)) {
    case '"': member->kind = JSON_KIND_STRING; return read_string(parser, &member->value);
    case '{': return read_inner_object(parser, member);
    case '[': return read_whole_array(parser, member);
    case 't': return read_word(parser, SPAN_LITERAL("true"), JSON_KIND_TRUE, member);
    case 'f': return read_word(parser, SPAN_LITERAL("false"), JSON_KIND_FALSE, member);
    case 'n': return read_word(parser, SPAN_LITERAL("null"), JSON_KIND_NULL, member);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return read_number(parser, member);
    default: return fail(parser, "bad JSON: a value is neither string, number, object, array, true, false nor null");
    }
}

static bool read_text(struct parser *parser)
{
    if (peek_token(parser) != '{')
        return fail(parser, "bad JSON: one JSON object is expected");
    if (!read_object(parser))
        return false;
    peek_token(parser);
    return parser->at == parser->end || fail(parser, "bad JSON: there are bytes after the object");
}

bool json_read_object(struct json_reader *reader, char *data, size_t bytes, const char **reason_r)
{
    ASSERT(bytes <= reader->bytes_max);
    ASSERT(data != NULL || bytes == 0);
    struct parser parser = {.reader = reader, .at = data, .end = data + bytes};
    reader->count = 0;
    bool is_read = read_text(&parser);
    if (!is_read) {
        reader->count = 0;
        *reason_r = parser.reason;
    }
    return is_read;
}

const struct json_member *json_find(const struct json_reader *reader, struct span name)
{
    for (uint32_t i = 0; i < reader->count; i++)
        if (is_name_same(reader->members[i].name, name))
            return &reader->members[i];
    return NULL;
}

uint32_t json_member_count(const struct json_reader *reader)
{
    return reader->count;
}

/* Whether `byte` may stand between the tokens of an array. */
static bool is_between(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r' || byte == ',';
}

bool json_array_next(struct span *left, struct span *string_r)
{
    const char *at = left->data, *end = left->data + left->bytes;
    at += at < end && *at == '['; /* the array's own: behind a string there is none */
    while (at < end && is_between(*at))
        at++;
    if (at < end && *at == ']')
        at = end;
    *left = (struct span){at, (size_t)(end - at)};
    if (at == end || *at != '"')
        return false;
    const char *close = memchr(at + 1, '"', (size_t)(end - at - 1));
    ASSERT(close != NULL);
    *string_r = (struct span){at + 1, (size_t)(close - at - 1)};
    *left = (struct span){close + 1, (size_t)(end - close - 1)};
    return true;
}

bool json_member_integer(const struct json_member *member, int64_t *value_r)
{
    if (member->kind != JSON_KIND_NUMBER)
        return false;
    struct span digits = member->value;
    ASSERT(digits.bytes > 0);
    bool is_negative = digits.data[0] == '-';
    digits.data += is_negative;
    digits.bytes -= is_negative;
    if (digits.bytes > INTEGER_DIGITS_MAX)
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < digits.bytes; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        value = value * 10 + (digits.data[i] - '0');
    }
    if (value > (int64_t)LIMIT_TS_MAX)
        return false;
    *value_r = is_negative ? -value : value;
    return true;
}
