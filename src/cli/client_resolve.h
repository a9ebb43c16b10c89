/*
 * client_resolve.h: the addresses of a host, asked for by a thread of its own, since getaddrinfo may block for long.
 * The caller's thread, but for what this file does inside.
 */
#ifndef CHITCHAT_CLI_CLIENT_RESOLVE_H
#define CHITCHAT_CLI_CLIENT_RESOLVE_H

#include <netdb.h>

struct client_resolve;

/* Begins to ask; copies the texts. 0 or -errno. */
int client_resolve_open(struct client_resolve **resolve_r, const char *host, const char *port);
/* Becomes readable when the answer is there. */
int client_resolve_fd(const struct client_resolve *resolve);
/* When it is: 0, and the caller owns *found_r (freeaddrinfo); or a code for gai_strerror. */
int client_resolve_take(struct client_resolve *resolve, struct addrinfo **found_r);
/* Does not wait for the thread. Nulls *resolve; NULL is fine. */
void client_resolve_close(struct client_resolve **resolve);

#endif
