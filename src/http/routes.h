/*
 * routes.h: which handler serves which path and method, by a table of routes. That of the server is in
 * api/api_routes.c.
 *
 * What needs no handler is answered by who finds the route (exchange_read.c): 404 for an unknown path; 405 with Allow
 * for a method that the path does not have, and 204 with Allow for OPTIONS; 401 and 403 for a missing or wrong
 * credential; 400 for a wrong user name, or an unknown or repeated query parameter; 411, 413 and 415 for bodies.
 *
 * Pure; any thread. Handlers run on the shard's thread.
 */
#ifndef CHITCHAT_HTTP_ROUTES_H
#define CHITCHAT_HTTP_ROUTES_H

#include "http/exchange.h"

typedef void (*http_handler)(struct core *core, struct exchange *exchange, const struct http_request *request);

/* For `struct http_route.flags`. */
#define ROUTE_OPEN 1u   /* for everybody, under every Host: health checks */
#define ROUTE_PUBLIC 2u /* with an admin claim also on the public listeners */
#define ROUTE_BODY 4u   /* has a body, application/json; others must not have one */

struct http_route {
    enum http_method method;
    const char *path;    /* "/api/v1/users/{user}/messages": {user} is a segment, percent-decoded */
    const char *queries; /* the query parameters that it takes: "after before limit"; "" for none */
    uint32_t flags;
    uint32_t body_bytes_max; /* HTTP_BODY_BYTES_MAX at most; 0 without ROUTE_BODY */
    http_handler handler;
};

enum route_verdict {
    ROUTE_FOUND,
    ROUTE_UNKNOWN_PATH,
    ROUTE_UNKNOWN_METHOD, /* the path has other methods */
};

/* Finds the route of a method and a path (not decoded). ROUTE_FOUND: *route_r, and *user_r, the segment that stands for
 * {user}, not decoded (no bytes: none). ROUTE_UNKNOWN_METHOD: `allow` is filled, as "GET, HEAD, DELETE, OPTIONS". */
#define ROUTE_ALLOW_BYTES 64u
enum route_verdict http_route_find(const struct http_route *routes, uint32_t count, enum http_method method,
                                   struct span path, const struct http_route **route_r, struct span *user_r,
                                   char allow[ROUTE_ALLOW_BYTES]);

#endif
