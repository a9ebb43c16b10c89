#include "protocol/origin.h"

#include "base/assert.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 3986, 3.1. */
static bool is_scheme(struct span text)
{
    if (text.bytes == 0 || !is_letter(text.data[0]))
        return false;
    for (size_t i = 1; i < text.bytes; i++) {
        char c = text.data[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.')
            return false;
    }
    return true;
}

static uint16_t default_port(struct span scheme)
{
    if (span_equal_any_case(scheme, SPAN_LITERAL("http")))
        return 80;
    return span_equal_any_case(scheme, SPAN_LITERAL("https")) ? 443 : 0;
}

/* Divides `text` at :// into scheme and rest. */
static bool divide(struct span text, struct span *scheme_r, struct span *rest_r)
{
    const char *colon = text.bytes == 0 ? NULL : memchr(text.data, ':', text.bytes);
    if (colon == NULL)
        return false;
    *scheme_r = (struct span){text.data, (size_t)(colon - text.data)};
    *rest_r = (struct span){colon, text.bytes - scheme_r->bytes};
    if (!is_scheme(*scheme_r) || rest_r->bytes < 3 || memcmp(rest_r->data, "://", 3) != 0)
        return false;
    rest_r->data += 3;
    rest_r->bytes -= 3;
    return true;
}

static bool take_host(struct span text, struct origin *origin)
{
    if (!host_parse(text, &origin->host) || text.data[text.bytes - 1] == ':')
        return false;
    if (origin->host.has_port && origin->host.port == 0)
        return false;
    origin->port = origin->host.has_port ? origin->host.port : default_port(origin->scheme);
    return true;
}

static bool take_parts(struct span text, bool may_be_pattern, struct origin *origin)
{
    struct span rest;
    if (!divide(text, &origin->scheme, &rest))
        return false;
    if (rest.bytes == 0) {
        origin->kind = ORIGIN_HOSTLESS;
        return default_port(origin->scheme) == 0;
    }
    origin->kind = ORIGIN_HOST;
    if (may_be_pattern && rest.bytes > 2 && memcmp(rest.data, "*.", 2) == 0) {
        origin->kind = ORIGIN_BELOW;
        rest.data += 2;
        rest.bytes -= 2;
    }
    return take_host(rest, origin) && (origin->kind == ORIGIN_HOST || origin->host.kind == HOST_NAME);
}

static bool parse(struct span text, bool may_be_pattern, struct origin *origin_r)
{
    struct origin origin = {.kind = ORIGIN_NONE};
    *origin_r = origin;
    if (span_equal(text, SPAN_LITERAL("null")))
        origin.kind = ORIGIN_NULL;
    else if (may_be_pattern && span_equal(text, SPAN_LITERAL("*")))
        origin.kind = ORIGIN_ANY;
    else if (!take_parts(text, may_be_pattern, &origin))
        return false;
    *origin_r = origin;
    return true;
}

bool origin_parse(struct span text, struct origin *origin_r)
{
    return parse(text, false, origin_r);
}

bool origin_pattern_parse(struct span text, struct origin *pattern_r)
{
    if (!parse(text, true, pattern_r))
        return false;
    if (!span_equal_any_case(pattern_r->scheme, SPAN_LITERAL("ws"))
        && !span_equal_any_case(pattern_r->scheme, SPAN_LITERAL("wss")))
        return true;
    pattern_r->kind = ORIGIN_NONE;
    return false;
}

static bool is_same_scheme(const struct origin *a, const struct origin *b)
{
    return span_equal_any_case(a->scheme, b->scheme);
}

/* Whether `name` is a label or more, a dot, and `base`. */
static bool is_below(const struct host *name, const struct host *base)
{
    if (name->kind != HOST_NAME || name->name.bytes < base->name.bytes + 2)
        return false;
    size_t more = name->name.bytes - base->name.bytes;
    struct span end = {name->name.data + more, base->name.bytes};
    return name->name.data[more - 1] == '.' && span_equal_any_case(end, base->name);
}

bool origin_matches(const struct origin *pattern, const struct origin *origin)
{
    ASSERT(origin->kind != ORIGIN_ANY && origin->kind != ORIGIN_BELOW);
    switch (pattern->kind) {
    case ORIGIN_ANY: return true;
    case ORIGIN_NULL: return origin->kind == ORIGIN_NULL;
    case ORIGIN_HOSTLESS: return origin->kind == ORIGIN_HOSTLESS && is_same_scheme(pattern, origin);
    case ORIGIN_HOST:
        return origin->kind == ORIGIN_HOST && is_same_scheme(pattern, origin) && pattern->port == origin->port
               && host_equal(&pattern->host, &origin->host);
    case ORIGIN_BELOW:
        return origin->kind == ORIGIN_HOST && is_same_scheme(pattern, origin) && pattern->port == origin->port
               && is_below(&origin->host, &pattern->host);
    case ORIGIN_NONE: break;
    }
    return false;
}

bool origin_is_http(const struct origin *origin)
{
    return origin->kind == ORIGIN_HOST && default_port(origin->scheme) != 0;
}

uint16_t origin_default_port(const struct origin *origin)
{
    return default_port(origin->scheme);
}
