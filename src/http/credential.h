/*
 * credential.h: who sends an HTTP request of a program, and whether they may (docs/HTTP_API.md). Shard's
 * thread.
 *
 * On an admin listener, with --admin-token-file, a request needs one of its tokens. Without it the listener is on a
 * loopback address, and everybody on this machine is trusted, but for web pages in a browser there: a request with an
 * Origin, or under a Host that is not known (DNS rebinding, protocol/http.h), is refused.
 *
 * On a public listener a request needs a token of --auth token whose admin claim is true. Wrong ones count as failed
 * logins of the address.
 */
#ifndef CHITCHAT_HTTP_CREDENTIAL_H
#define CHITCHAT_HTTP_CREDENTIAL_H

#include "http/exchange.h"

struct credential {
    enum http_credential kind;
    uint8_t actor_bytes;
    char actor[LIMIT_USER_BYTES];
};

/* Checks the head of a request of `conn`. True, and *credential_r. False: *refusal_r says why; its texts are static. */
bool credential_check(struct core *core, struct conn *conn, bool is_public, const struct http_request_head *head,
                      struct credential *credential_r, struct http_refusal *refusal_r);

#endif
