#include "protocol/http_target.h"

#include <strings.h>

#include "base/assert.h"

struct span http_target_path(struct span target)
{
    static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t bytes = strlen(schemes[i]);
        if (target.bytes <= bytes || strncasecmp(target.data, schemes[i], bytes) != 0)
            continue;
        const char *slash = memchr(target.data + bytes, '/', target.bytes - bytes);
        if (slash == NULL)
            return SPAN_LITERAL("/");
        target.bytes -= (size_t)(slash - target.data);
        target.data = slash;
    }
    const char *query = memchr(target.data, '?', target.bytes);
    if (query != NULL)
        target.bytes = (size_t)(query - target.data);
    return target;
}

/* -1: no hexadecimal digit. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool http_percent_decode(struct span text, bool is_form, char *out, size_t *bytes_r)
{
    size_t used = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.bytes ? digit_of(text.data[i + 1]) : -1;
            int low = i + 2 < text.bytes ? digit_of(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (is_form && c == '+') {
            c = ' ';
        }
        out[used++] = c;
    }
    *bytes_r = used;
    return true;
}

static bool decode_in_place(char *data, struct span *span)
{
    ASSERT(span->data == data);
    return http_percent_decode(*span, true, data, &span->bytes);
}

/* One NAME=VALUE, or a NAME alone, whose value is empty. */
static bool take_pair(char *data, size_t bytes, struct http_query_pair *pair_r)
{
    char *equal = memchr(data, '=', bytes);
    size_t name_bytes = equal == NULL ? bytes : (size_t)(equal - data);
    char *value = equal == NULL ? data + bytes : equal + 1;
    pair_r->name = (struct span){data, name_bytes};
    pair_r->value = (struct span){value, (size_t)(data + bytes - value)};
    return decode_in_place(data, &pair_r->name) && decode_in_place(value, &pair_r->value);
}

const char *http_target_read(char *target, size_t bytes, struct http_target *target_r)
{
    const char *fragment = memchr(target, '#', bytes);
    if (fragment != NULL)
        return "a target has no fragment: leave # and what follows it out";
    *target_r = (struct http_target){.path = http_target_path((struct span){target, bytes})};
    char *query = memchr(target, '?', bytes);
    char *end = target + bytes;
    for (char *at = query == NULL ? end : query + 1; at < end;) {
        char *separator = memchr(at, '&', (size_t)(end - at));
        char *pair_end = separator == NULL ? end : separator;
        if (pair_end > at) {
            if (target_r->query_count == HTTP_QUERIES_MAX)
                return "there are too many query parameters: 16 at most";
            if (!take_pair(at, (size_t)(pair_end - at), &target_r->queries[target_r->query_count++]))
                return "the query has a % without two hexadecimal digits: encode it as %25";
        }
        at = pair_end + 1;
    }
    return NULL;
}
