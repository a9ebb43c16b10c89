/*
 * client_follow.h: which server a client connects to next. Of a cluster one node serves; another one closes the
 * connection with 1001, and the URL of that node is the reason (PROTOCOL.md, section 9). A client goes there, and stays
 * as long as its logins are taken. A node that is cut off from the log opens connections, too, but takes no login: so
 * after a connection without one, and after a 1001 that names no URL, the next server is the one that the user gave.
 * Pure; any thread.
 */
#ifndef CHITCHAT_CLI_CLIENT_FOLLOW_H
#define CHITCHAT_CLI_CLIENT_FOLLOW_H

#include <stdint.h>

#include "cli/client_url.h"

struct client_follow {
    struct client_url given; /* by the user */
    struct client_url url;   /* of the newest connection, or the next */

    /* Of this module. Zeroed at first. */
    struct client_url named;
    bool has_named;
    bool was_logged_in; /* on the newest connection */
};

/* The server has taken a login. */
void client_follow_on_login(struct client_follow *follow);
/* The server has closed it. A URL is followed only if it has TLS just as the given one has. Borrows `reason`. */
void client_follow_on_close(struct client_follow *follow, uint16_t code, const char *reason);
/* Sets follow->url to the server of the next connection. Returns whether it is another one. */
bool client_follow_next(struct client_follow *follow);
/* Whether follow->url is the URL that the user gave. */
bool client_follow_is_given(const struct client_follow *follow);

#endif
