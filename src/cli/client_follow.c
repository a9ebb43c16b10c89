#include "cli/client_follow.h"

#include <string.h>

#define GOING_AWAY 1001u

void client_follow_on_open(struct client_follow *follow)
{
    follow->was_open = true;
}

void client_follow_on_close(struct client_follow *follow, uint16_t code, const char *reason)
{
    struct client_url url;
    if (code != GOING_AWAY || client_url_parse(reason, "ws", &url) != NULL || url.is_tls != follow->given.is_tls)
        return;
    follow->named = url;
    follow->has_named = true;
}

bool client_follow_next(struct client_follow *follow)
{
    struct client_url next = follow->has_named ? follow->named : follow->was_open ? follow->url : follow->given;
    bool is_same = strcmp(next.host, follow->url.host) == 0 && strcmp(next.port, follow->url.port) == 0
                   && strcmp(next.path, follow->url.path) == 0;
    follow->has_named = follow->was_open = false;
    follow->url = next;
    return !is_same;
}
