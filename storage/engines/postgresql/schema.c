#include "schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "query.h"
#include "schema_sql.h"

#define ID_BYTES 37u

/* Several statements in one: they are one transaction. */
static int run_script(const struct log_session *session, struct pg_server *server, const char *sql, int64_t deadline_ms,
                      struct log_engine_error *error_r)
{
    ASSERT(server->conn != NULL && !server->has_statement);
    char *expanded = pg_query_expand(session, sql);
    if (expanded == NULL)
        return pg_complain(error_r, -ENOMEM, "no memory for a statement");
    int was_sent = PQsendQuery(server->conn, expanded);
    free(expanded);
    if (was_sent == 0)
        return pg_complain(error_r, -ECONNABORTED, "%s", PQerrorMessage(server->conn));
    server->has_statement = true;
    return pg_query_finish(server, deadline_ms, NULL, error_r);
}

static const char cluster_sql[] = "SELECT version, id, slots, servers, server FROM @.cluster";

/* A cluster that is there must be this one. */
static int existing_check(const struct log_session *session, const struct pg_server *server, const PGresult *result,
                          uint32_t slots, char *id, struct log_engine_error *error_r)
{
    char name[PG_HOST_BYTES + 64];
    (void)pg_server_name(server, name);
    if (pg_cell(result, 0, 0) > PG_SCHEMA_VERSION)
        return pg_complain(error_r, -EPROTO, "%s: the schema %s was made by a later version of chitchat", name,
                           session->schema);
    if (pg_cell(result, 0, 2) != slots || pg_cell(result, 0, 3) != session->server_count)
        return pg_complain(
            error_r, -EEXIST,
            "%s has the cluster %s already, of %s slots on %s log servers, which never change: give these, "
            "or another --name",
            name, session->cluster, PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 3));
    if (pg_cell(result, 0, 4) != server->number)
        return pg_complain(error_r, -EEXIST,
                           "%s is number %u of the log servers of cluster %s: give them in that order", name,
                           (unsigned)pg_cell(result, 0, 4) + 1, session->cluster);
    if (id[0] == '\0')
        (void)snprintf(id, ID_BYTES, "%s", PQgetvalue(result, 0, 1));
    if (strcmp(id, PQgetvalue(result, 0, 1)) != 0)
        return pg_complain(error_r, -EEXIST, "%s has a different cluster of the name %s", name, session->cluster);
    return 0;
}

static int write_rows(struct log_session *session, struct pg_server *server, uint32_t slots, char *id,
                      int64_t deadline_ms, struct log_engine_error *error_r)
{
    char sql[1024];
    PGresult *result;
    int status;
    if (id[0] == '\0') {
        status = pg_query(session, server, "SELECT gen_random_uuid()", NULL, false, deadline_ms, &result, error_r);
        if (status != 0)
            return status;
        (void)snprintf(id, ID_BYTES, "%s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    /* The slots of this server; the meta log, whose number is `slots`, lies on the first. */
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO @.slot (slot) SELECT s FROM generate_series(0, %u) s"
                   " WHERE CASE WHEN s = %u THEN %u = 0 ELSE s %% %u = %u END;"
                   "INSERT INTO @.cluster (version, id, slots, servers, server) VALUES (%u, '%s', %u, %u, %u);",
                   slots, slots, server->number, session->server_count, server->number, PG_SCHEMA_VERSION, id, slots,
                   session->server_count, server->number);
    return run_script(session, server, sql, deadline_ms, error_r);
}

static int migrate(struct log_session *session, struct pg_server *server, uint64_t version, int64_t deadline_ms,
                   struct log_engine_error *error_r)
{
    int status = 0;
    for (; status == 0 && version < PG_SCHEMA_VERSION; version++)
        status = run_script(session, server, pg_schema_steps[version], deadline_ms, error_r);
    return status;
}

static int create_locked(struct log_session *session, struct pg_server *server, uint32_t slots, char *id,
                         int64_t deadline_ms, struct log_engine_error *error_r)
{
    PGresult *found;
    int status = run_script(session, server,
                            "SELECT pg_advisory_xact_lock(hashtext('chitchat'), hashtext('@'));"
                            "SELECT to_regclass('@.cluster') IS NOT NULL",
                            deadline_ms, error_r);
    if (status != 0)
        return status;
    status = pg_query(session, server, "SELECT to_regclass('@.cluster')", NULL, false, deadline_ms, &found, error_r);
    if (status != 0)
        return status;
    bool exists = !PQgetisnull(found, 0, 0);
    PQclear(found);
    if (!exists) {
        status = run_script(session, server, "CREATE SCHEMA IF NOT EXISTS @", deadline_ms, error_r);
        if (status == 0)
            status = migrate(session, server, 0, deadline_ms, error_r);
        return status != 0 ? status : write_rows(session, server, slots, id, deadline_ms, error_r);
    }
    status = pg_query(session, server, cluster_sql, NULL, false, deadline_ms, &found, error_r);
    if (status != 0)
        return status;
    uint64_t version = PQntuples(found) == 1 ? pg_cell(found, 0, 0) : 0;
    status = existing_check(session, server, found, slots, id, error_r);
    PQclear(found);
    return status != 0 || version == PG_SCHEMA_VERSION ? status
                                                       : migrate(session, server, version, deadline_ms, error_r);
}

int pg_schema_create(struct log_session *session, struct pg_server *server, uint32_t slots, char *id,
                     int64_t deadline_ms, struct log_engine_error *error_r)
{
    ASSERT(session->is_creating);
    ASSERT(strlen(id) < ID_BYTES);
    int status = run_script(session, server, "BEGIN", deadline_ms, error_r);
    if (status != 0)
        return status;
    status = create_locked(session, server, slots, id, deadline_ms, error_r);
    if (status != 0) {
        pg_server_close(server); /* which rolls back */
        return status;
    }
    server->was_warned = false;
    status = run_script(session, server, "COMMIT", deadline_ms, error_r);
    if (status == 0 && server->was_warned)
        status = pg_complain(error_r, -ECONNABORTED, "%s", server->warning);
    return status != 0 ? status : pg_schema_make_partitions(session, server, deadline_ms, error_r);
}

int pg_schema_make_partitions(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                              struct log_engine_error *error_r)
{
    return pg_query(session, server, "SELECT @.make_partitions()", NULL, false, deadline_ms, NULL, error_r);
}

/* The one statement that appends. An UPDATE that had to wait for another one looks at the row again, as it is then. The
 * settings are returned since a server can read others at any time: Patroni, unless its mode is strict, empties the
 * names of standbys when none is left. */
static const char append_sql[] =
    "WITH owned AS (UPDATE @.slot SET last = last + 1, generation = $2::bigint, hash = $6::bytea"
    " WHERE slot = $1::integer AND last = $3::bigint AND generation <= $2::bigint AND hash = $5::bytea"
    " RETURNING slot, last, generation)"
    " INSERT INTO @.batch (slot, number, generation, body) SELECT slot, last, generation, $4::bytea FROM owned"
    " RETURNING current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),"
    " current_setting('synchronous_standby_names')";

static int prepare(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                   struct log_engine_error *error_r)
{
    ASSERT(server->conn != NULL && !server->has_statement);
    char *expanded = pg_query_expand(session, append_sql);
    if (expanded == NULL)
        return pg_complain(error_r, -ENOMEM, "no memory for a statement");
    int was_sent = PQsendPrepare(server->conn, "append", expanded, PG_ARGUMENTS_MAX, NULL);
    free(expanded);
    if (was_sent == 0)
        return pg_complain(error_r, -ECONNABORTED, "%s", PQerrorMessage(server->conn));
    server->has_statement = true;
    return pg_query_finish(server, deadline_ms, NULL, error_r);
}

int pg_schema_check(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                    struct log_engine_error *error_r)
{
    char name[PG_HOST_BYTES + 64];
    PGresult *result;
    ASSERT(!session->is_creating);
    int status = pg_query(session, server, cluster_sql, NULL, false, deadline_ms, &result, error_r);
    (void)pg_server_name(server, name);
    if (status == -ENOENT)
        return pg_complain(error_r, status, "%s has no cluster %s: make it with chitchat cluster init", name,
                           session->cluster);
    if (status != 0)
        return status;
    uint64_t version = PQntuples(result) == 1 ? pg_cell(result, 0, 0) : 0;
    if (version < PG_SCHEMA_VERSION)
        status = pg_complain(error_r, -EPROTO,
                             "%s: the schema %s is older: run chitchat cluster init once more, with the same options",
                             name, session->schema);
    else if (version > PG_SCHEMA_VERSION)
        status = pg_complain(error_r, -EPROTO, "%s: the schema %s was made by a later version of chitchat", name,
                             session->schema);
    else if (pg_cell(result, 0, 3) != session->server_count || pg_cell(result, 0, 4) != server->number)
        status = pg_complain(error_r, -EPROTO,
                             "%s is number %u of the %s log servers of cluster %s: give all, in that order", name,
                             (unsigned)pg_cell(result, 0, 4) + 1, PQgetvalue(result, 0, 3), session->cluster);
    server->slots = (uint32_t)pg_cell(result, 0, 2);
    (void)snprintf(server->id, sizeof server->id, "%s", PQntuples(result) == 1 ? PQgetvalue(result, 0, 1) : "");
    PQclear(result);
    return status != 0 ? status : prepare(session, server, deadline_ms, error_r);
}
