#include "query.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* SQLSTATEs that have a number of their own; the others are -EIO. */
static int status_of(const char *sqlstate)
{
    static const struct {
        const char *sqlstate;
        int status;
    } known[] = {
        {"42P01", -ENOENT}, /* undefined table */
        {"3F000", -ENOENT}, /* invalid schema name */
        {"42883", -ENOENT}, /* undefined function */
        {"53100", -ENOSPC}, /* disk full */
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].sqlstate, sqlstate) == 0)
            return known[i].status;
    return -EIO;
}

/* An ERROR of the server means that the statement was rolled back. FATAL means that the connection ends, perhaps after
 * a commit whose wait for a standby was cut short; and an error without a code comes from libpq: connection lost. */
static int error_take(struct pg_server *server, const PGresult *result, struct log_engine_error *error_r)
{
    char name[PG_HOST_BYTES + 64];
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    bool is_error = severity != NULL && sqlstate != NULL && strcmp(severity, "ERROR") == 0;
    if (!is_error)
        return pg_complain(error_r, -ECONNABORTED, "%s: %s", pg_server_name(server, name),
                           message != NULL ? message : PQerrorMessage(server->conn));
    (void)strncpy(server->sqlstate, sqlstate, sizeof server->sqlstate - 1);
    return pg_complain(error_r, status_of(sqlstate), "%s: %s (SQLSTATE %s)", pg_server_name(server, name),
                       message != NULL ? message : "error", sqlstate);
}

static int lose(struct pg_server *server, int status, struct log_engine_error *error_r)
{
    char name[PG_HOST_BYTES + 64];
    if (status == -ETIMEDOUT)
        (void)pg_complain(error_r, 0, "%s does not answer", pg_server_name(server, name));
    else
        (void)pg_complain(error_r, 0, "%s: %s", pg_server_name(server, name), PQerrorMessage(server->conn));
    pg_server_close(server);
    if (status == -ETIMEDOUT)
        server->avoided = server->host;
    return status;
}

static int flush(struct pg_server *server, int64_t deadline_ms, struct log_engine_error *error_r)
{
    int left;
    while ((left = PQflush(server->conn)) > 0) {
        if (!pg_server_wait(server, POLLIN | POLLOUT, deadline_ms))
            return lose(server, -ETIMEDOUT, error_r);
        if (PQconsumeInput(server->conn) == 0)
            return lose(server, -ECONNABORTED, error_r);
    }
    return left == 0 ? 0 : lose(server, -ECONNABORTED, error_r);
}

/* The next result of the statement, NULL behind the last one. */
static int result_take(struct pg_server *server, int64_t deadline_ms, PGresult **result_r,
                       struct log_engine_error *error_r)
{
    while (PQisBusy(server->conn)) {
        if (!pg_server_wait(server, POLLIN, deadline_ms))
            return lose(server, -ETIMEDOUT, error_r);
        if (PQconsumeInput(server->conn) == 0)
            return lose(server, -ECONNABORTED, error_r);
    }
    *result_r = PQgetResult(server->conn);
    return 0;
}

/* The command's end is sent before the transaction commits. So all results are awaited, and that the server is ready
 * for the next statement: only that says that the commit was made. */
static int results_take(struct pg_server *server, int64_t deadline_ms, PGresult **first_r,
                        struct log_engine_error *error_r)
{
    int status = 0;
    PGresult *result = NULL;
    for (;;) {
        int taken = result_take(server, deadline_ms, &result, error_r);
        if (taken != 0)
            return taken;
        if (result == NULL)
            break;
        ExecStatusType kind = PQresultStatus(result);
        bool is_good = kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK;
        if (!is_good && status == 0)
            status = error_take(server, result, error_r);
        if (is_good && *first_r == NULL)
            *first_r = result;
        else
            PQclear(result);
    }
    server->has_statement = false;
    if (status == -ECONNABORTED || PQstatus(server->conn) != CONNECTION_OK) {
        if (status == 0)
            return lose(server, -ECONNABORTED, error_r);
        pg_server_close(server);
    }
    return status;
}

int pg_query_finish(struct pg_server *server, int64_t deadline_ms, PGresult **result_r,
                    struct log_engine_error *error_r)
{
    PGresult *first = NULL;
    ASSERT(server->has_statement);
    int status = flush(server, deadline_ms, error_r);
    if (status == 0)
        status = results_take(server, deadline_ms, &first, error_r);
    if (status == 0 && result_r != NULL) {
        *result_r = first;
        return 0;
    }
    PQclear(first);
    return status;
}

static int sent(struct pg_server *server, int was_sent, int64_t deadline_ms, PGresult **result_r,
                struct log_engine_error *error_r)
{
    if (was_sent == 0)
        return lose(server, -ECONNABORTED, error_r);
    server->has_statement = true;
    return pg_query_finish(server, deadline_ms, result_r, error_r);
}

static const struct pg_arguments no_arguments;

int pg_query(const struct log_session *session, struct pg_server *server, const char *sql,
             const struct pg_arguments *arguments, bool is_binary, int64_t deadline_ms, PGresult **result_r,
             struct log_engine_error *error_r)
{
    ASSERT(server->conn != NULL && !server->has_statement);
    ASSERT(arguments == NULL || arguments->count <= PG_ARGUMENTS_MAX);
    char *expanded = pg_query_expand(session, sql);
    if (expanded == NULL)
        return pg_complain(error_r, -ENOMEM, "no memory for a statement");
    if (arguments == NULL)
        arguments = &no_arguments;
    server->was_warned = false;
    server->sqlstate[0] = '\0';
    int was_sent = PQsendQueryParams(server->conn, expanded, arguments->count, NULL, arguments->values,
                                     arguments->bytes, arguments->formats, is_binary);
    free(expanded);
    return sent(server, was_sent, deadline_ms, result_r, error_r);
}

int pg_query_prepared(struct pg_server *server, const char *prepared, const struct pg_arguments *arguments,
                      int64_t deadline_ms, PGresult **result_r, struct log_engine_error *error_r)
{
    ASSERT(server->conn != NULL && !server->has_statement);
    ASSERT(arguments->count <= PG_ARGUMENTS_MAX);
    server->was_warned = false;
    server->sqlstate[0] = '\0';
    int was_sent = PQsendQueryPrepared(server->conn, prepared, arguments->count, arguments->values, arguments->bytes,
                                       arguments->formats, 0);
    return sent(server, was_sent, deadline_ms, result_r, error_r);
}

char *pg_query_expand(const struct log_session *session, const char *sql)
{
    size_t schema_bytes = strlen(session->schema);
    size_t bytes = 1;
    ASSERT(schema_bytes > 0);
    for (const char *c = sql; *c != '\0'; c++)
        bytes += *c == '@' ? schema_bytes : 1;
    char *expanded = malloc(bytes);
    char *at = expanded;
    for (const char *c = sql; expanded != NULL && *c != '\0'; c++) {
        if (*c == '@') {
            memcpy(at, session->schema, schema_bytes);
            at += schema_bytes;
        } else {
            *at++ = *c;
        }
    }
    if (expanded != NULL)
        *at = '\0';
    return expanded;
}

uint64_t pg_cell(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? 0 : strtoull(PQgetvalue(result, row, column), NULL, 10);
}
