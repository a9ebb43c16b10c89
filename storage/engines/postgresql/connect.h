/*
 * connect.h: a connection to the one of a server's hosts that takes writes. The thread of the session.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_CONNECT_H
#define CHITCHAT_ENGINES_POSTGRESQL_CONNECT_H

#include "session.h"

/* Connects to all hosts at once, keeps the first that takes writes, and checks it (check.h): so a host that does not
 * answer delays nothing. There is no connection yet (asserted). A primary that has a successor is left out. 0 and
 * server->conn; -ETIMEDOUT, -ECONNABORTED: there is none; or what the check found. */
int pg_connect(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
               struct log_engine_error *error_r);

#endif
