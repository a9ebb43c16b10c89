#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "durability.h"
#include "query.h"
#include "schema.h"

#define VERSION_MIN 130000

static const char settings_sql[] =
    "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),"
    " current_setting('synchronous_standby_names'), current_setting('server_version_num'),"
    " current_setting('server_version'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"
    " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer";

static int settings_check(const struct log_session *session, struct pg_server *server, const PGresult *result,
                          struct log_engine_error *error_r)
{
    char name[PG_HOST_BYTES + 64];
    const char *wrong;
    struct pg_settings settings = {PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2),
                                   PQgetvalue(result, 0, 3)};
    server->clock_us = pg_cell(result, 0, 6);
    (void)pg_server_name(server, name);
    if (pg_cell(result, 0, 4) < VERSION_MIN)
        return pg_complain(error_r, -EPROTO, "%s is PostgreSQL %s: 13 or later is needed", name,
                           PQgetvalue(result, 0, 5));
    uint32_t timeline = (uint32_t)pg_cell(result, 0, 7);
    if (timeline < server->timeline)
        return pg_complain(error_r, -ESTALE,
                           "%s takes writes on timeline %u, but there was a later primary, of timeline %u: make it a "
                           "standby of that one",
                           name, timeline, server->timeline);
    server->timeline = timeline;
    if (pg_durability_is_wrong(session->durability, &settings, &wrong))
        return pg_complain(error_r, -EPERM, "%s: %s", name, wrong);
    (void)snprintf(server->about, sizeof server->about, "%.60s: PostgreSQL %.*s, standbys '%.60s'", name,
                   (int)strcspn(PQgetvalue(result, 0, 5), " "), PQgetvalue(result, 0, 5),
                   settings.synchronous_standby_names);
    return 0;
}

int pg_check_durability(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                        struct log_engine_error *error_r)
{
    PGresult *result;
    int status = pg_query(session, server, settings_sql, NULL, false, deadline_ms, &result, error_r);
    if (status != 0)
        return status;
    status = settings_check(session, server, result, error_r);
    PQclear(result);
    return status;
}

/* What the role or the database may have set otherwise. synchronous_commit keeps the value that was checked, although
 * the server may read its configuration again. A statement that waits for a lock which an append of a lost connection
 * holds must end: else each try would leave another process of the server behind. A cancelled wait for a standby is
 * reported as a warning, so warnings must come, and nothing may cancel a wait for its length. */
static const char setting_sql[] =
    "SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    " set_config('client_min_messages', 'warning', false), set_config('statement_timeout', '0', false),"
    " set_config('lock_timeout', '2000', false), set_config('jit', 'off', false)";

static int set_up(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                  struct log_engine_error *error_r)
{
    return pg_query(session, server, setting_sql, NULL, false, deadline_ms, NULL, error_r);
}

int pg_check_server(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                    struct log_engine_error *error_r)
{
    int status = pg_check_durability(session, server, deadline_ms, error_r);
    if (status == 0)
        status = set_up(session, server, deadline_ms, error_r);
    if (status == 0 && !session->is_creating)
        status = pg_schema_check(session, server, deadline_ms, error_r);
    return status;
}
