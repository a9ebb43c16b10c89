#include "append.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "durability.h"
#include "query.h"
#include "read.h"
#include "schema.h"

#define NOTIFY_MS 20 /* followers look by themselves after a while: they need not hear of each batch */

static const char no_partition[] = "23514"; /* there is no partition for the row */

/* Wakes those who follow. A transaction of its own, which waits for no disk: a NOTIFY within the append would hold a
 * lock of the whole database until the standbys have answered, so that all slots had to wait for each other. The result
 * is taken by the next call. */
static void followers_wake(const struct log_session *session, struct pg_server *server)
{
    char sql[160];
    int64_t now = pg_now_ms();
    ASSERT(!server->has_statement);
    if (now - server->notified_ms < NOTIFY_MS)
        return;
    server->notified_ms = now;
    (void)snprintf(sql, sizeof sql, "BEGIN; SET LOCAL synchronous_commit = off; NOTIFY %s; COMMIT", session->schema);
    if (PQsendQuery(server->conn, sql) == 0)
        return; /* the next call finds out what is wrong with the connection */
    server->has_statement = true;
    (void)PQflush(server->conn);
}

static int statement_run(struct log_session *session, struct pg_server *server, const struct log_append *append,
                         int64_t deadline_ms, PGresult **result_r, struct log_engine_error *error_r)
{
    char slot[16], generation[24], last[24];
    struct pg_arguments arguments = {
        .count = PG_ARGUMENTS_MAX,
        .values = {slot, generation, last, append->data, (const char *)append->previous, (const char *)append->hash},
        .bytes = {0, 0, 0, (int)append->bytes, LOG_ENGINE_HASH_BYTES, LOG_ENGINE_HASH_BYTES},
        .formats = {0, 0, 0, 1, 1, 1}};
    (void)snprintf(slot, sizeof slot, "%" PRIu32, append->slot);
    (void)snprintf(generation, sizeof generation, "%" PRIu64, append->generation);
    (void)snprintf(last, sizeof last, "%" PRIu64, append->last);
    int status = pg_query_prepared(server, "append", &arguments, deadline_ms, result_r, error_r);
    if (status == 0 || strcmp(server->sqlstate, no_partition) != 0)
        return status;
    status = pg_schema_make_partitions(session, server, deadline_ms, error_r);
    if (status == -ETIMEDOUT || status == -ECONNABORTED)
        return pg_complain(error_r, -EIO, "log server %u: no partition could be made in time", server->number + 1);
    return status != 0 ? status : pg_query_prepared(server, "append", &arguments, deadline_ms, result_r, error_r);
}

/* The row was inserted and committed: whether it is as durable as was asked for. */
static enum log_append_result inserted_check(struct log_session *session, struct pg_server *server,
                                             const PGresult *result, int *status_r, struct log_engine_error *error_r)
{
    char name[PG_HOST_BYTES + 64];
    const char *wrong;
    struct pg_settings settings = {PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2),
                                   PQgetvalue(result, 0, 3)};
    *status_r = 0;
    if (server->was_warned) {
        *status_r = pg_complain(error_r, -EPERM, "%s: %s", pg_server_name(server, name), server->warning);
    } else if (pg_durability_is_wrong(session->durability, &settings, &wrong)) {
        *status_r = pg_complain(error_r, -EPERM, "%s: %s", pg_server_name(server, name), wrong);
        pg_server_close(server); /* the next call connects, and so checks the settings before it appends */
    }
    if (*status_r != 0)
        return LOG_APPEND_UNKNOWN;
    followers_wake(session, server);
    return LOG_APPEND_ACKED;
}

enum log_append_result pg_append(struct log_session *session, const struct log_append *append, uint32_t timeout_ms,
                                 struct log_extent *extent_r, int *status_r, struct log_engine_error *error_r)
{
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    struct pg_server *server;
    PGresult *result;
    ASSERT(append->bytes > 0 && append->bytes <= LOG_ENGINE_BATCH_BYTES_MAX);
    ASSERT(append->generation > 0 && append->generation <= INT64_MAX && append->last < INT64_MAX);
    *status_r = pg_session_server(session, append->slot, deadline_ms, &server, error_r);
    if (*status_r != 0)
        return LOG_APPEND_FAILED;
    *status_r = statement_run(session, server, append, deadline_ms, &result, error_r);
    if (*status_r == -ETIMEDOUT || *status_r == -ECONNABORTED)
        return LOG_APPEND_UNKNOWN;
    if (*status_r != 0)
        return LOG_APPEND_FAILED;
    enum log_append_result outcome = LOG_APPEND_REFUSED;
    if (PQntuples(result) == 1)
        outcome = inserted_check(session, server, result, status_r, error_r);
    PQclear(result);
    if (outcome != LOG_APPEND_REFUSED)
        return outcome;
    *status_r = pg_extent(session, server, append->slot, deadline_ms, extent_r, error_r);
    return *status_r == 0 ? LOG_APPEND_REFUSED : LOG_APPEND_FAILED;
}
