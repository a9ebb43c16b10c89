#include "cli/client_follow.h"

#include <string.h>

#include "base/assert.h"

#define GOING_AWAY 1001u

static bool is_same(const struct client_url *a, const struct client_url *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0 && strcmp(a->path, b->path) == 0;
}

void client_follow_on_login(struct client_follow *follow)
{
    follow->was_logged_in = true;
}

void client_follow_on_close(struct client_follow *follow, uint16_t code, const char *reason)
{
    struct client_url url;
    if (code != GOING_AWAY)
        return;
    follow->was_logged_in = false;
    if (client_url_parse(reason, "ws", &url) != NULL || url.is_tls != follow->given.is_tls)
        return;
    follow->named = url;
    follow->has_named = true;
}

bool client_follow_next(struct client_follow *follow)
{
    ASSERT(follow->given.host[0] != '\0');
    struct client_url next = follow->has_named ? follow->named : follow->was_logged_in ? follow->url : follow->given;
    bool is_other = !is_same(&next, &follow->url);
    follow->has_named = follow->was_logged_in = false;
    follow->url = next;
    return is_other;
}

bool client_follow_is_given(const struct client_follow *follow)
{
    return is_same(&follow->url, &follow->given);
}
