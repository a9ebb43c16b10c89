#include <criterion/criterion.h>

#include "cli/client_follow.h"

static struct client_follow given(const char *url)
{
    struct client_follow follow = {.has_named = false};
    cr_assert_null(client_url_parse(url, "ws", &follow.given));
    follow.url = follow.given;
    return follow;
}

/* Connected to "two", which "one" has named. */
static struct client_follow followed(const char *given_url, const char *named_url)
{
    struct client_follow follow = given(given_url);
    client_follow_on_close(&follow, 1001, named_url);
    cr_assert(client_follow_next(&follow));
    cr_assert_not(client_follow_is_given(&follow));
    cr_assert_str_eq(follow.url.host, "two");
    return follow;
}

Test(client_follow, a_node_that_is_named_is_next_and_stays_while_it_takes_logins)
{
    struct client_follow follow = followed("ws://one:81/ws", "ws://two:82/ws");
    cr_assert_str_eq(follow.url.port, "82");
    for (uint32_t i = 0; i < 2; i++) {
        client_follow_on_login(&follow);
        client_follow_on_close(&follow, 1013, "too slow");
        cr_assert_not(client_follow_next(&follow));
        cr_assert_str_eq(follow.url.host, "two");
    }
}

Test(client_follow, a_node_that_takes_no_login_is_left_for_the_given_url)
{
    struct client_follow follow = followed("wss://one", "wss://two");
    cr_assert(client_follow_next(&follow));
    cr_assert_str_eq(follow.url.host, "one");
    cr_assert(client_follow_is_given(&follow));
    cr_assert_not(client_follow_next(&follow));
}

Test(client_follow, a_node_that_goes_away_and_names_none_is_left_for_the_given_url)
{
    struct client_follow follow = followed("wss://one", "wss://two");
    client_follow_on_login(&follow);
    client_follow_on_close(&follow, 1001, "the log does not answer");
    cr_assert(client_follow_next(&follow));
    cr_assert(client_follow_is_given(&follow));
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
