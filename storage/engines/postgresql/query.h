/*
 * query.h: one statement on a connection, within a deadline. The thread of the session.
 *
 * -ETIMEDOUT and -ECONNABORTED: the outcome is not known, and the connection is closed. Any other error: the server
 * reported it, so the statement has changed nothing, and the connection stands; server->sqlstate names it.
 *
 * A statement is begun only on a connection where none is under way (asserted).
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_QUERY_H
#define CHITCHAT_ENGINES_POSTGRESQL_QUERY_H

#include "session.h"

#define PG_ARGUMENTS_MAX 6

/* Arguments of a statement: text, or bytes as they are. */
struct pg_arguments {
    int count;
    const char *values[PG_ARGUMENTS_MAX];
    int bytes[PG_ARGUMENTS_MAX];
    int formats[PG_ARGUMENTS_MAX]; /* 0: text; 1: bytes */
};

/* Runs `sql`, or the prepared statement `prepared`; the other is NULL. @ in `sql` stands for the schema. On 0 the
 * caller clears *result_r; result_r may be NULL. `is_binary` counts for all columns. */
int pg_query(const struct log_session *session, struct pg_server *server, const char *sql,
             const struct pg_arguments *arguments, bool is_binary, int64_t deadline_ms, PGresult **result_r,
             struct log_engine_error *error_r);
int pg_query_prepared(struct pg_server *server, const char *prepared, const struct pg_arguments *arguments,
                      int64_t deadline_ms, PGresult **result_r, struct log_engine_error *error_r);
/* Waits for the statement that was sent (asserted) until the server is ready for the next one. */
int pg_query_finish(struct pg_server *server, int64_t deadline_ms, PGresult **result_r,
                    struct log_engine_error *error_r);

/* Replaces each @ of `sql` by the schema; the caller frees the result. NULL: no memory. */
char *pg_query_expand(const struct log_session *session, const char *sql);
/* The number in a cell of text; 0 if it is NULL. */
uint64_t pg_cell(const PGresult *result, int row, int column);

#endif
