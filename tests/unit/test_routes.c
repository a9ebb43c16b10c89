/* The router: paths and methods to routes. */
#include "http/routes.h"

#include <criterion/criterion.h>

#include "api/api.h"

static void first(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    (void)core, (void)exchange, (void)request;
}

static const struct http_route table[] = {
    {METHOD_GET, "/a", "", 0, 0, first},
    {METHOD_GET, "/users/{user}/b", "", 0, 0, first},
    {METHOD_DELETE, "/users/{user}/b", "", 0, 0, first},
    {METHOD_POST, "/users:batch", "", 0, 0, first},
    {METHOD_DELETE, "/users/{user}", "", 0, 0, first},
};

static const struct http_route *found;
static struct span user;
static char allow[ROUTE_ALLOW_BYTES];

static enum route_verdict find(enum http_method method, const char *path)
{
    found = NULL;
    return http_route_find(table, sizeof table / sizeof table[0], method, span_of(path), &found, &user, allow);
}

Test(routes, a_path_and_a_method_name_a_route)
{
    cr_expect_eq(find(METHOD_GET, "/a"), ROUTE_FOUND);
    cr_expect_eq(found, &table[0]);
    cr_expect_null(user.data);
    cr_expect_eq(find(METHOD_POST, "/users:batch"), ROUTE_FOUND);
    cr_expect_eq(found, &table[3]);
}

Test(routes, a_segment_stands_for_a_user)
{
    cr_expect_eq(find(METHOD_DELETE, "/users/al%2Fice/b"), ROUTE_FOUND);
    cr_expect_eq(found, &table[2]);
    cr_expect(span_equal(user, SPAN_LITERAL("al%2Fice")));
    cr_expect_eq(find(METHOD_DELETE, "/users/b"), ROUTE_FOUND);
    cr_expect_eq(found, &table[4]);
    cr_expect_eq(find(METHOD_DELETE, "/users/"), ROUTE_FOUND);
    cr_expect(user.data != NULL && user.bytes == 0, "an empty name is for the check of names");
}

Test(routes, other_paths_are_unknown)
{
    const char *paths[] = {"",   "/",      "a",         "*",           "/a/", "/a/b",
                           "/A", "/users", "/users//x", "/users/x/b/", "//a", "/users/x/c"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        cr_expect_eq(find(METHOD_GET, paths[i]), ROUTE_UNKNOWN_PATH, "%s", paths[i]);
}

Test(routes, a_path_says_which_methods_it_has)
{
    cr_expect_eq(find(METHOD_POST, "/a"), ROUTE_UNKNOWN_METHOD);
    cr_expect_str_eq(allow, "GET, HEAD, OPTIONS");
    cr_expect_eq(find(METHOD_OPTIONS, "/users/x/b"), ROUTE_UNKNOWN_METHOD);
    cr_expect_str_eq(allow, "GET, HEAD, DELETE, OPTIONS");
    cr_expect_eq(find(METHOD_OTHER, "/users:batch"), ROUTE_UNKNOWN_METHOD);
    cr_expect_str_eq(allow, "POST, OPTIONS");
}

Test(routes, each_route_of_the_server_can_be_found)
{
    uint32_t count;
    const struct http_route *routes = api_routes(&count);
    cr_assert(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        const struct http_route *route = &routes[i];
        cr_expect_eq(http_route_find(routes, count, route->method, span_of(route->path), &found, &user, allow),
                     ROUTE_FOUND);
        cr_expect_eq(found, route, "%s", route->path);
        cr_expect((route->flags & ROUTE_BODY) != 0 ? route->body_bytes_max > 0 : route->body_bytes_max == 0);
        cr_expect(route->body_bytes_max <= HTTP_BODY_BYTES_MAX);
        cr_expect((route->flags & ROUTE_OPEN) == 0 || (route->flags & ROUTE_PUBLIC) == 0);
    }
}
