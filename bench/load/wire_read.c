/* wire_read.c: what a client reads: frames of the server, and the flat objects in them, in any order of their fields.
 */
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/bytes.h"
#include "load/wire.h"

int64_t load_wire_read_frame(const char *data, size_t bytes, struct load_wire_frame *frame_r)
{
    const uint8_t *head = (const uint8_t *)data;
    frame_r->wanted_bytes = 2;
    if (bytes < 2)
        return 0;
    if ((head[0] & 0xF0) != 0x80 || (head[1] & 0x80) != 0)
        return -1;
    frame_r->opcode = head[0] & 15;
    bool is_control = frame_r->opcode >= LOAD_WIRE_CLOSE && frame_r->opcode <= LOAD_WIRE_PONG;
    if (is_control && head[1] > LOAD_WIRE_CONTROL_BYTES_MAX)
        return -1;
    size_t head_bytes = head[1] < 126 ? 2 : head[1] == 126 ? 4 : 10;
    uint64_t payload_bytes = head_bytes == 2 ? head[1] : 0;
    frame_r->wanted_bytes = head_bytes;
    if (bytes < head_bytes)
        return 0;
    for (size_t i = 2; i < head_bytes; i++)
        payload_bytes = payload_bytes << 8 | head[i];
    if (payload_bytes > 1 << 20)
        return -1;
    frame_r->wanted_bytes = head_bytes + payload_bytes;
    if (bytes < frame_r->wanted_bytes)
        return 0;
    frame_r->payload = (struct span){data + head_bytes, (size_t)payload_bytes};
    return (int64_t)frame_r->wanted_bytes;
}

/* The next quote or backslash, or `end`. Sixteen bytes at a time, where so many can be read: most strings are short. */
static inline const char *find_mark(const char *at, const char *end)
{
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const void *)at);
        __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        __m128i slashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        unsigned marks = (unsigned)_mm_movemask_epi8(_mm_or_si128(quotes, slashes));
        if (marks != 0)
            return at + __builtin_ctz(marks);
    }
#endif
    while (at < end && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* A string at its opening quote; returns what follows the closing one, or NULL. */
static const char *read_string(const char *at, const char *end, struct span *string_r)
{
    const char *begin = at + 1;
    for (at = find_mark(begin, end); end - at >= 2 && *at == '\\';)
        at = find_mark(at + 2, end);
    if (at == end || *at != '"')
        return NULL;
    *string_r = (struct span){begin, (size_t)(at - begin)};
    return at + 1;
}

/* Eight digits at `at`: first pairs are joined, then fours, then all, each step in one operation. False: other bytes.
 */
static bool read_eight(const char *at, uint64_t *number_r)
{
    uint64_t ones = bytes_load_le64(at) ^ UINT64_C(0x3030303030303030);
    if (((ones | (ones + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080)) != 0)
        return false;
    uint64_t twos = (ones * 10 + (ones >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    uint64_t fours = (twos * 100 + (twos >> 16)) & UINT64_C(0x0000ffff0000ffff);
    *number_r = (fours * 10000 + (fours >> 32)) & UINT64_C(0xffffffff);
    return true;
}

static const char *read_number(const char *at, const char *end, uint64_t *number_r)
{
    uint64_t number = 0, eight;
    const char *begin = at;
    for (; end - at >= 8 && read_eight(at, &eight); at += 8)
        number = number * 100000000 + eight;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    *number_r = number;
    return at > begin ? at : NULL;
}

/* The array of a page, to be read later, element by element. No field behind it has a bracket. */
static const char *skip_messages(const char *at, const char *end, struct span *messages_r)
{
    const char *last = memrchr(at, ']', (size_t)(end - at));
    if (last == NULL)
        return NULL;
    *messages_r = (struct span){at, (size_t)(last + 1 - at)};
    return last + 1;
}

/* An object with any content. */
static const char *skip_nested(const char *at, const char *end, struct span *nested_r)
{
    const char *begin = at;
    struct span ignored;
    for (int depth = 0; at != NULL && at < end;) {
        if (*at == '"') {
            at = read_string(at, end, &ignored);
            continue;
        }
        depth += *at == '{';
        depth -= *at == '}';
        at++;
        if (depth == 0) {
            *nested_r = (struct span){begin, (size_t)(at - begin)};
            return at;
        }
    }
    return NULL;
}

enum kind { STRING, NUMBER, TRUE, OTHER, NESTED };
struct value {
    enum kind kind;
    struct span span;
    uint64_t number;
};

static const char *read_word(const char *at, const char *end, struct value *value_r)
{
    const char *begin = at;
    while (at < end && *at >= 'a' && *at <= 'z')
        at++;
    value_r->kind = at - begin == 4 && memcmp(begin, "true", 4) == 0 ? TRUE : OTHER;
    return at > begin ? at : NULL;
}

static const char *read_value(const char *at, const char *end, struct value *value_r)
{
    if (at == end)
        return NULL;
    switch (*at) {
    case '"': value_r->kind = STRING; return read_string(at, end, &value_r->span);
    case '[': value_r->kind = NESTED; return skip_messages(at, end, &value_r->span);
    case '{': value_r->kind = NESTED; return skip_nested(at, end, &value_r->span);
    case 'a':
    case 'f':
    case 'n':
    case 't': return read_word(at, end, value_r);
    default: value_r->kind = NUMBER; return read_number(at, end, &value_r->number);
    }
}

/* Chosen by the first letter; the names that begin alike differ in length. */
static struct span *string_field(struct load_wire_object *object, struct span name)
{
#define FIELD(field) (load_wire_is(name, #field) ? &object->field : NULL)
    switch (name.data[0]) {
    case 'c': return FIELD(code);
    case 'e': return load_wire_is(name, "error") ? &object->code : FIELD(epoch); /* `error`: of an answer of HTTP */
    case 'f': return FIELD(from);
    case 'k': return FIELD(key);
    case 'm': return FIELD(mid);
    case 'o': return FIELD(op);
    case 't': return name.bytes == 2 ? FIELD(to) : FIELD(text);
    case 'u': return FIELD(user);
    case 'w': return FIELD(with);
    default: return NULL;
    }
#undef FIELD
}

static void take_string(struct load_wire_object *object, struct span name, struct span value)
{
    struct span *field = string_field(object, name);
    if (field != NULL)
        *field = value;
}

static void take_number(struct load_wire_object *object, struct span name, uint64_t value)
{
    if (load_wire_is(name, "ts")) {
        object->ts = value;
        object->has_ts = true;
    } else if (load_wire_is(name, "prev")) {
        object->prev = value;
        object->has_prev = true;
    } else if (load_wire_is(name, "id")) {
        object->id = value;
        object->has_id = true;
    } else if (load_wire_is(name, "last")) {
        object->last = value;
    } else if (load_wire_is(name, "next")) {
        object->next = value;
        object->has_next = true;
    } else if (load_wire_is(name, "retry_after")) {
        object->retry_after = value;
    } else if (load_wire_is(name, "unseen")) {
        object->unseen = value;
    } else if (load_wire_is(name, "seen")) {
        object->seen = value;
    } else if (load_wire_is(name, "seen_by")) {
        object->seen_by = value;
    }
}

static void take_field(struct load_wire_object *object, struct span name, const struct value *value)
{
    if (name.bytes == 0)
        return;
    if (value->kind == STRING)
        take_string(object, name, value->span);
    else if (value->kind == NUMBER)
        take_number(object, name, value->number);
    else if (value->kind == NESTED && (load_wire_is(name, "messages") || load_wire_is(name, "peers")))
        object->messages = value->span;
    else if (value->kind == NESTED && load_wire_is(name, "last"))
        object->entry = value->span;
    else if (value->kind == TRUE) {
        object->dup |= load_wire_is(name, "dup");
        object->reset |= load_wire_is(name, "reset");
        object->more |= load_wire_is(name, "more");
    }
}

/* Field by field: GCC's way to clear a struct of this size takes longer than the rest of a short object. */
static void clear(struct load_wire_object *object)
{
    static const struct span none = {NULL, 0};
    object->op = object->mid = object->from = object->to = object->text = none;
    object->key = object->code = object->epoch = object->user = object->messages = none;
    object->with = object->entry = none;
    object->unseen = object->seen = object->seen_by = 0;
    object->id = object->ts = object->prev = object->last = object->next = object->retry_after = 0;
    object->has_id = object->has_prev = object->has_ts = object->has_next = false;
    object->dup = object->reset = object->more = object->is_any = false;
}

/* -- the two objects that make up most of the bytes, with their fields in the order in which the server writes them --
 */

#define SKIP(at, end, literal) skip((at), (end), (literal), sizeof(literal) - 1)

static inline bool skip(const char **at, const char *end, const char *literal, size_t bytes)
{
    if ((size_t)(end - *at) < bytes || memcmp(*at, literal, bytes) != 0)
        return false;
    *at += bytes;
    return true;
}

/* The rest of a string behind its opening quote. False: the string has an escape, or no end. */
static inline bool read_plain(const char **at, const char *end, struct span *string_r)
{
    const char *begin = *at, *mark = find_mark(begin, end);
    if (mark == end || *mark != '"')
        return false;
    *string_r = (struct span){begin, (size_t)(mark - begin)};
    *at = mark + 1;
    return true;
}

static inline bool read_digits(const char **at, const char *end, uint64_t *number_r)
{
    *at = read_number(*at, end, number_r);
    return *at != NULL;
}

/* A message of a page, or a pushed one. NULL: the object is another one, or has escapes. */
static const char *read_message(const char *at, const char *end, struct load_wire_object *object)
{
    static const char op[] = "msg";
    bool is_good, is_pushed = !SKIP(&at, end, "{\"ts\":");
    if (!is_pushed)
        is_good = read_digits(&at, end, &object->ts);
    else
        is_good = SKIP(&at, end, "{\"op\":\"msg\",\"ts\":") && read_digits(&at, end, &object->ts)
                  && SKIP(&at, end, ",\"prev\":") && read_digits(&at, end, &object->prev);
    is_good = is_good && SKIP(&at, end, ",\"mid\":\"") && read_plain(&at, end, &object->mid)
              && SKIP(&at, end, ",\"from\":\"") && read_plain(&at, end, &object->from) && SKIP(&at, end, ",\"to\":\"")
              && read_plain(&at, end, &object->to);
    if (is_good && SKIP(&at, end, ",\"key\":\""))
        is_good = read_plain(&at, end, &object->key);
    if (!is_good || !SKIP(&at, end, ",\"text\":\"") || !read_plain(&at, end, &object->text) || !SKIP(&at, end, "}"))
        return NULL;
    object->has_ts = true;
    object->has_prev = is_pushed;
    if (is_pushed)
        object->op = (struct span){op, sizeof op - 1};
    return at;
}

/* -- any object -- */

/* The server writes no space between tokens, so none is accepted. */
static const char *read_any(const char *at, const char *end, struct load_wire_object *object_r)
{
    struct span name;
    struct value value;
    if (at == end || *at != '{')
        return NULL;
    at++;
    while (at < end && *at == '"') {
        at = read_string(at, end, &name);
        if (at == NULL || at == end || *at != ':')
            return NULL;
        at = read_value(at + 1, end, &value);
        if (at == NULL || at == end)
            return NULL;
        take_field(object_r, name, &value);
        if (*at != ',')
            break;
        at++;
    }
    return at < end && *at == '}' ? at + 1 : NULL;
}

/* If the object is no message, the fields that were set before that was known are cleared again. */
static const char *read_either(const char *at, const char *end, struct load_wire_object *object)
{
    const char *next = read_message(at, end, object);
    if (next != NULL)
        return next;
    clear(object);
    object->is_any = true;
    return read_any(at, end, object);
}

const char *load_wire_read_object(const char *at, const char *end, struct load_wire_object *object_r)
{
    clear(object_r);
    return read_either(at, end, object_r);
}

/* Messages in a row set the same fields each time: the others are still clear. */
static const char *read_another(const char *at, const char *end, struct load_wire_object *object)
{
    static const struct span none = {NULL, 0};
    if (object->is_any)
        return load_wire_read_object(at, end, object);
    object->op = object->key = none; /* fields that a message may have and the next one may not */
    object->prev = 0;
    return read_either(at, end, object);
}

bool load_wire_next_message(struct span messages, const char **at, struct load_wire_object *object, bool *is_broken_r)
{
    const char *end = messages.data + messages.bytes;
    bool is_first = *at == NULL;
    *is_broken_r = messages.bytes < 2;
    if (messages.bytes < 2)
        return false;
    if (is_first)
        *at = messages.data + 1;
    else if (*at < end && **at == ',')
        (*at)++;
    if (*at == end - 1)
        return false;
    *at = is_first ? load_wire_read_object(*at, end, object) : read_another(*at, end, object);
    *is_broken_r = *at == NULL;
    return *at != NULL;
}
