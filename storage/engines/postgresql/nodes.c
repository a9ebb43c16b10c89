#include "nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query.h"

#define NUMBER_BYTES 21u /* of one with its comma */

/* "{1,2}", malloc'ed: the numbers of all slots. NULL: no memory. */
static char *array_write(const uint64_t *numbers, uint32_t count)
{
    size_t room = (size_t)count * NUMBER_BYTES + 3;
    char *text = malloc(room);
    size_t used = 0;
    if (text == NULL)
        return NULL;
    text[used++] = '{';
    for (uint32_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%" PRIu64, i > 0 ? "," : "", numbers[i]);
    (void)snprintf(text + used, room - used, "}");
    return text;
}

/* The inverse: what is missing is 0. */
static void array_read(const char *text, uint64_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char *end;
        text += strspn(text, "{,");
        numbers[i] = strtoull(text, &end, 10);
        text = end;
    }
}

static const char report_sql[] =
    "INSERT INTO @.node AS n (name, address, runs, applied) VALUES ($1, $2,"
    " coalesce($3::bigint[], array_fill(0::bigint, ARRAY[$5::integer])),"
    " coalesce($4::bigint[], array_fill(0::bigint, ARRAY[$5::integer])))"
    " ON CONFLICT (name) DO UPDATE SET address = $2, runs = coalesce($3::bigint[], n.runs),"
    " applied = coalesce($4::bigint[], n.applied), seen = now(), is_forgotten = false";

/* Runs a statement on each server, although one of them fails. The result of one: `take`, or NULL. 0, or the first
 * error. */
static int run_on_all(struct log_session *session, const char *sql, const struct pg_arguments *arguments,
                      int64_t deadline_ms, void (*take)(void *context, const PGresult *result), void *context,
                      struct log_engine_error *error_r)
{
    int first = 0;
    struct log_engine_error error;
    for (uint32_t i = 0; i < session->server_count; i++) {
        PGresult *result = NULL;
        struct pg_server *server = &session->servers[i];
        int64_t share_ms = pg_share(deadline_ms, session->server_count - i);
        int status = pg_server_ready(session, server, share_ms, &error);
        if (status == 0)
            status = pg_query(session, server, sql, arguments, false, share_ms, &result, &error);
        if (status == 0 && take != NULL)
            take(context, result);
        PQclear(result);
        if (status != 0 && first == 0) {
            first = status;
            *error_r = error;
        }
    }
    return first;
}

int pg_nodes_report(struct log_session *session, const struct log_node *node, uint32_t timeout_ms,
                    struct log_engine_error *error_r)
{
    char slots[16];
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    int status = pg_session_slots(session, deadline_ms, error_r);
    if (status != 0)
        return status;
    char *runs = node->runs == NULL ? NULL : array_write(node->runs, session->slots);
    char *applied = node->applied == NULL ? NULL : array_write(node->applied, session->slots);
    struct pg_arguments arguments = {.count = 5, .values = {node->name, node->address, runs, applied, slots}};
    (void)snprintf(slots, sizeof slots, "%" PRIu32, session->slots);
    if ((node->runs == NULL || runs != NULL) && (node->applied == NULL || applied != NULL))
        status = run_on_all(session, report_sql, &arguments, deadline_ms, NULL, NULL, error_r);
    else
        status = pg_complain(error_r, -ENOMEM, "no memory for a report");
    free(runs);
    free(applied);
    return status;
}

int pg_nodes_list(struct log_session *session, uint32_t timeout_ms,
                  void (*visit)(void *context, const struct log_node *node), void *context,
                  struct log_engine_error *error_r)
{
    PGresult *result;
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    int status = pg_session_slots(session, deadline_ms, error_r);
    if (status == 0)
        status = pg_server_ready(session, &session->servers[0], deadline_ms, error_r);
    if (status == 0)
        status = pg_query(session, &session->servers[0],
                          "SELECT name, address, extract(epoch FROM now() - seen)::bigint, is_forgotten, runs, applied"
                          " FROM @.node ORDER BY name",
                          NULL, false, deadline_ms, &result, error_r);
    if (status != 0)
        return status;
    uint64_t *numbers = calloc(2 * (size_t)session->slots, sizeof *numbers);
    for (int row = 0; numbers != NULL && row < PQntuples(result); row++) {
        struct log_node node = {.name = PQgetvalue(result, row, 0),
                                .address = PQgetvalue(result, row, 1),
                                .seen_s = (uint32_t)pg_cell(result, row, 2),
                                .is_forgotten = PQgetvalue(result, row, 3)[0] == 't',
                                .runs = numbers,
                                .applied = numbers + session->slots};
        array_read(PQgetvalue(result, row, 4), numbers, session->slots);
        array_read(PQgetvalue(result, row, 5), numbers + session->slots, session->slots);
        visit(context, &node);
    }
    status = numbers == NULL ? pg_complain(error_r, -ENOMEM, "no memory for the nodes") : 0;
    free(numbers);
    PQclear(result);
    return status;
}

struct forgotten {
    void (*visit)(void *context, const char *name);
    void *context;
};

static void forgotten_take(void *context, const PGresult *result)
{
    const struct forgotten *forgotten = context;
    for (int row = 0; row < PQntuples(result); row++)
        forgotten->visit(forgotten->context, PQgetvalue(result, row, 0));
}

int pg_nodes_forget(struct log_session *session, uint32_t away_s, uint32_t timeout_ms,
                    void (*visit)(void *context, const char *name), void *context, struct log_engine_error *error_r)
{
    char away[16];
    struct forgotten forgotten = {visit, context};
    struct pg_arguments arguments = {.count = 1, .values = {away}};
    (void)snprintf(away, sizeof away, "%" PRIu32, away_s);
    return run_on_all(session,
                      "UPDATE @.node SET is_forgotten = true WHERE NOT is_forgotten"
                      " AND seen < now() - make_interval(secs => $1::integer) RETURNING name",
                      &arguments, pg_now_ms() + timeout_ms, forgotten_take, &forgotten, error_r);
}

static void removed_count(void *context, const PGresult *result)
{
    *(int *)context += PQntuples(result);
}

int pg_nodes_leave(struct log_session *session, const char *name, uint32_t timeout_ms, struct log_engine_error *error_r)
{
    int removed = 0;
    struct pg_arguments arguments = {.count = 1, .values = {name}};
    int status = run_on_all(session, "DELETE FROM @.node WHERE name = $1 RETURNING name", &arguments,
                            pg_now_ms() + timeout_ms, removed_count, &removed, error_r);
    if (status == 0 && removed == 0)
        status = pg_complain(error_r, -ENOENT, "cluster %s has no node %s", session->cluster, name);
    return status;
}
