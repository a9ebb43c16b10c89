/* api_routes.c: which handler serves which path and method: a new route is a line here. */
#include "api/api.h"

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

const struct http_route *api_routes(uint32_t *count_r)
{
    *count_r = sizeof routes / sizeof routes[0];
    return routes;
}
