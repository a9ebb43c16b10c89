#include "http/routes.h"

#include "base/assert.h"

/* The bytes up to the next slash, and the slash before them: takes them from the front of `path`. */
static struct span take_segment(struct span *path)
{
    ASSERT(path->bytes > 0 && path->data[0] == '/');
    const char *slash = memchr(path->data + 1, '/', path->bytes - 1);
    size_t bytes = slash == NULL ? path->bytes : (size_t)(slash - path->data);
    struct span segment = {path->data, bytes};
    path->data += bytes;
    path->bytes -= bytes;
    return segment;
}

static bool matches(const char *pattern_text, struct span path, struct span *user_r)
{
    struct span pattern = span_of(pattern_text);
    *user_r = (struct span){0};
    while (pattern.bytes > 0 && path.bytes > 0 && path.data[0] == '/') {
        struct span wanted = take_segment(&pattern);
        struct span given = take_segment(&path);
        if (span_equal(wanted, SPAN_LITERAL("/{user}")))
            *user_r = (struct span){given.data + 1, given.bytes - 1};
        else if (!span_equal(wanted, given))
            return false;
    }
    return pattern.bytes == 0 && path.bytes == 0;
}

/* Appends a method, with a comma before all but the first. */
static void add_method(char allow[ROUTE_ALLOW_BYTES], const char *name)
{
    size_t used = strlen(allow);
    size_t bytes = strlen(name);
    ASSERT(used + 2 + bytes < ROUTE_ALLOW_BYTES);
    if (used > 0) {
        memcpy(allow + used, ", ", 2);
        used += 2;
    }
    memcpy(allow + used, name, bytes + 1);
}

enum route_verdict http_route_find(const struct http_route *all, uint32_t count, enum http_method method,
                                   struct span path, const struct http_route **route_r, struct span *user_r,
                                   char allow[ROUTE_ALLOW_BYTES])
{
    enum route_verdict verdict = ROUTE_UNKNOWN_PATH;
    struct span user;
    allow[0] = '\0';
    *user_r = (struct span){0};
    for (uint32_t i = 0; i < count; i++) {
        if (!matches(all[i].path, path, &user))
            continue;
        verdict = ROUTE_UNKNOWN_METHOD;
        *user_r = user;
        if (all[i].method == method) {
            *route_r = &all[i];
            return ROUTE_FOUND;
        }
        add_method(allow, http_method_name(all[i].method).data);
        if (all[i].method == METHOD_GET)
            add_method(allow, "HEAD");
    }
    if (verdict == ROUTE_UNKNOWN_METHOD)
        add_method(allow, "OPTIONS");
    return verdict;
}
