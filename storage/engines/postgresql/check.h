/*
 * check.h: what a server must be before batches go to it. The thread of the session.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_CHECK_H
#define CHITCHAT_ENGINES_POSTGRESQL_CHECK_H

#include "session.h"

/* Of a connection that was just made: checks the durability, sets what the statements rely on, and, unless the session
 * is creating, checks the schema and that this is the server that the list of URIs means. 0 or an error;
 * -ESTALE: it was the primary before another one, and takes writes all the same. */
int pg_check_server(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                    struct log_engine_error *error_r);
/* The durability alone, of a connection in use. */
int pg_check_durability(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                        struct log_engine_error *error_r);

#endif
