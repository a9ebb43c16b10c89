#include <criterion/criterion.h>

#include "cli/client_follow.h"

static struct client_follow given(const char *url)
{
    struct client_follow follow = {.has_named = false};
    cr_assert_null(client_url_parse(url, "ws", &follow.given));
    follow.url = follow.given;
    return follow;
}

Test(client_follow, a_node_that_is_named_is_next_and_stays_while_it_answers)
{
    struct client_follow follow = given("ws://one:81/ws");
    client_follow_on_open(&follow);
    client_follow_on_close(&follow, 1001, "ws://two:82/ws");
    cr_assert(client_follow_next(&follow));
    cr_assert_str_eq(follow.url.host, "two");
    cr_assert_str_eq(follow.url.port, "82");
    client_follow_on_open(&follow);
    client_follow_on_close(&follow, 1001, "the server goes down");
    cr_assert_not(client_follow_next(&follow));
    cr_assert_str_eq(follow.url.host, "two");
}

Test(client_follow, a_node_that_does_not_answer_is_left_for_the_given_url)
{
    struct client_follow follow = given("wss://one");
    client_follow_on_close(&follow, 1001, "wss://two");
    cr_assert(client_follow_next(&follow));
    cr_assert(client_follow_next(&follow));
    cr_assert_str_eq(follow.url.host, "one");
    cr_assert_not(client_follow_next(&follow));
}

Test(client_follow, only_a_url_with_1001_and_the_same_tls_is_followed)
{
    struct client_follow follow = given("wss://one");
    client_follow_on_close(&follow, 1001, "ws://two");
    client_follow_on_close(&follow, 1001, "https://two");
    client_follow_on_close(&follow, 1001, "");
    client_follow_on_close(&follow, 1013, "wss://two");
    cr_assert_not(client_follow_next(&follow));
    cr_assert_str_eq(follow.url.host, "one");
}
