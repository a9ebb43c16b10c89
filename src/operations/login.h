/*
 * login.h: a login on the shard of its user. The connection is registered with the user at once; then the user's `last`
 * is read from memory and runs, and the login is answered. Entries that leave the timeline during the read count, too:
 * `last` is the newest of what was read and what left since. In a cluster each answer waits for a barrier
 * (server/barrier.h): no node answers with a `last` that is older than the login. Shard's thread.
 */
#ifndef CHITCHAT_OPERATIONS_LOGIN_H
#define CHITCHAT_OPERATIONS_LOGIN_H

#include <stdint.h>

#include "protocol/request.h"

struct conn;
struct core;

/* `conn` is in CONN_OPEN and its `login`, which it owns, names a user of this shard. The login is answered now or
 * later; a connection over the user's limit, or without memory, is closed. */
void login_begin(struct core *core, struct conn *conn);

/* A login with a token on a logged-in connection of the same user: answers it, now or later, as a login without
 * `after`. From then on the connection ends at `expires_s` (monotonic seconds), unless it would have ended later. */
void login_extend(struct core *core, struct conn *conn, const struct request_id *id, uint32_t expires_s);

#endif
