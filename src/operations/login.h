/*
 * login.h: a login on the shard of its user. The connection is registered with the user at once; then the user's `last`
 * is read from memory and runs, and the login is answered. Entries that leave the timeline during the read count, too:
 * `last` is the newest of what was read and what left since. Shard's thread.
 */
#ifndef CHITCHAT_OPERATIONS_LOGIN_H
#define CHITCHAT_OPERATIONS_LOGIN_H

#include <stdint.h>

#include "base/list.h"
#include "protocol/request.h"

struct conn;
struct core;

/* A shard's state of this module. In a cluster a login is answered when a batch that was begun after it came is
 * committed: so this node still owned the slot then, and what it answers is not older than the login. */
struct logins {
    struct list waiting; /* oldest first, by barrier_link of struct login */
};

/* All batches up to number `sequence` are committed: answers the logins that waited for them. */
void logins_on_durable(struct core *core, uint64_t sequence);

/* `conn` is in CONN_OPEN and its `login`, which it owns, names a user of this shard. The login is answered now or
 * later; a connection over the user's limit, or without memory, is closed. */
void login_begin(struct core *core, struct conn *conn);

/* A login with a token on a logged-in connection of the same user: answers it as a login without `after`. The
 * connection ends at `expires_s` (monotonic seconds), unless it would have ended later. */
void login_extend(struct core *core, struct conn *conn, const struct request_id *id, uint32_t expires_s);

#endif
