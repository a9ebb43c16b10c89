#include "http/routes.h"

#include "api/api.h"
#include "base/assert.h"

static const struct http_route routes[] = {
    {METHOD_GET, "/livez", "", ROUTE_OPEN, 0, api_livez},
    {METHOD_GET, "/readyz", "", ROUTE_OPEN, 0, api_readyz},
    {METHOD_GET, "/healthz", "", ROUTE_OPEN, 0, api_readyz},
    {METHOD_GET, "/metrics", "", 0, 0, api_metrics},
    {METHOD_POST, "/api/v1/messages", "", ROUTE_PUBLIC | ROUTE_BODY, LIMIT_FRAME_BYTES, api_send_message},
    {METHOD_POST, "/api/v1/messages:batch", "", ROUTE_PUBLIC | ROUTE_BODY, HTTP_BODY_BYTES_MAX, api_send_batch},
    {METHOD_GET, "/api/v1/users/{user}/messages", "after before with limit", ROUTE_PUBLIC, 0, api_messages},
    {METHOD_GET, "/api/v1/users/{user}/export", "", ROUTE_PUBLIC, 0, api_export},
    {METHOD_GET, "/api/v1/users/{user}/connections", "", ROUTE_PUBLIC, 0, api_connections},
    {METHOD_DELETE, "/api/v1/users/{user}/connections", "code", ROUTE_PUBLIC, 0, api_disconnect},
    {METHOD_DELETE, "/api/v1/users/{user}", "", ROUTE_PUBLIC, 0, api_erase},
};

const struct http_route *http_routes(uint32_t *count_r)
{
    *count_r = sizeof routes / sizeof routes[0];
    return routes;
}

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
