#include "read.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "query.h"

#define READ_BATCHES_MAX 256 /* of one statement */

static const char extent_sql[] =
    "SELECT last, generation, (SELECT min(number) FROM @.batch WHERE slot = $1::integer) FROM @.slot"
    " WHERE slot = $1::integer";

static void argument_number(struct pg_arguments *arguments, char text[24], uint64_t number)
{
    ASSERT(arguments->count < PG_ARGUMENTS_MAX);
    (void)snprintf(text, 24, "%" PRIu64, number);
    arguments->values[arguments->count++] = text;
}

int pg_extent(struct log_session *session, struct pg_server *server, uint32_t slot, int64_t deadline_ms,
              struct log_extent *extent_r, struct log_engine_error *error_r)
{
    char text[24];
    PGresult *result;
    struct pg_arguments arguments = {0};
    argument_number(&arguments, text, slot);
    int status = pg_query(session, server, extent_sql, &arguments, false, deadline_ms, &result, error_r);
    if (status != 0)
        return status;
    if (PQntuples(result) == 1) {
        extent_r->last = pg_cell(result, 0, 0);
        extent_r->generation = pg_cell(result, 0, 1);
        extent_r->first = PQgetisnull(result, 0, 2) ? extent_r->last + 1 : pg_cell(result, 0, 2);
    } else {
        status = pg_complain(error_r, -ENOENT, "log server %u has no slot %u of cluster %s", server->number + 1, slot,
                             session->cluster);
    }
    PQclear(result);
    return status;
}

int pg_tail(struct log_session *session, uint32_t slot, uint32_t timeout_ms, struct log_extent *extent_r,
            struct log_engine_error *error_r)
{
    struct pg_server *server;
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    int status = pg_session_server(session, slot, deadline_ms, &server, error_r);
    return status != 0 ? status : pg_extent(session, server, slot, deadline_ms, extent_r, error_r);
}

/* The lengths are read without the bodies, which lie out of line. */
static const char read_sql[] =
    "SELECT number, generation, body FROM"
    " (SELECT number, generation, body, sum(octet_length(body)) OVER (ORDER BY number) AS bytes FROM"
    " (SELECT number, generation, body FROM @.batch WHERE slot = $1::integer AND number >= $2::bigint"
    " ORDER BY number LIMIT $4::integer) b) s WHERE bytes <= $3::bigint OR number = $2::bigint ORDER BY number";

static uint64_t binary_cell(const PGresult *result, int row, int column)
{
    uint64_t big;
    memcpy(&big, PQgetvalue(result, row, column), sizeof big);
    return be64toh(big);
}

/* There was no batch `from`. 0: the log ends before it; 1: it has it by now; or an error. */
static int missing_explain(struct log_session *session, struct pg_server *server, uint32_t slot, uint64_t from,
                           bool is_second_look, int64_t deadline_ms, struct log_engine_error *error_r)
{
    char text[24];
    PGresult *result;
    struct pg_arguments arguments = {0};
    argument_number(&arguments, text, slot);
    int status = pg_query(session, server, "SELECT last, below FROM @.slot WHERE slot = $1::integer", &arguments, false,
                          deadline_ms, &result, error_r);
    if (status != 0)
        return status;
    bool exists = PQntuples(result) == 1;
    uint64_t last = exists ? pg_cell(result, 0, 0) : 0;
    uint64_t below = exists ? pg_cell(result, 0, 1) : 0;
    PQclear(result);
    if (!exists)
        return pg_complain(error_r, -ENOENT, "log server %u has no slot %u of cluster %s", server->number + 1, slot,
                           session->cluster);
    if (from > last)
        return 0;
    if (from < below)
        return pg_complain(error_r, -ERANGE, "batch %" PRIu64 " of slot %u was purged: begin with a copy of the slot",
                           from, slot);
    if (!is_second_look)
        return 1; /* it may have been appended between the two statements */
    return pg_complain(error_r, -EBADMSG,
                       "batch %" PRIu64 " of slot %u is missing in the log, which ends at %" PRIu64
                       " and was purged below %" PRIu64 ": the log server has lost it",
                       from, slot, last, below);
}

/* How many were visited, or what visit returned, or the first hole. */
static int batches_visit(const PGresult *result, uint32_t slot, uint64_t from,
                         int (*visit)(void *context, const struct log_batch *batch), void *context,
                         struct log_engine_error *error_r)
{
    for (int row = 0; row < PQntuples(result); row++) {
        struct log_batch batch = {.number = binary_cell(result, row, 0),
                                  .generation = binary_cell(result, row, 1),
                                  .data = PQgetvalue(result, row, 2),
                                  .bytes = (uint32_t)PQgetlength(result, row, 2)};
        if (batch.number != from + (uint64_t)row)
            return pg_complain(error_r, -EBADMSG,
                               "slot %u: batch %" PRIu64 " follows %" PRIu64
                               ": the log server has lost what was between",
                               slot, batch.number, from + (uint64_t)row - 1);
        int status = visit(context, &batch);
        if (status != 0)
            return status;
    }
    return PQntuples(result);
}

int pg_read(struct log_session *session, uint32_t slot, uint64_t from, uint32_t bytes_max, uint32_t timeout_ms,
            int (*visit)(void *context, const struct log_batch *batch), void *context, struct log_engine_error *error_r)
{
    char texts[3][24];
    PGresult *result;
    struct pg_server *server;
    struct pg_arguments arguments = {0};
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    if (from == 0)
        return pg_complain(error_r, -ERANGE, "batches are numbered from 1");
    int status = pg_session_server(session, slot, deadline_ms, &server, error_r);
    if (status != 0)
        return status;
    argument_number(&arguments, texts[0], slot);
    argument_number(&arguments, texts[1], from);
    argument_number(&arguments, texts[2], bytes_max);
    char limit[24];
    argument_number(&arguments, limit, READ_BATCHES_MAX);
    for (bool is_second_look = false;; is_second_look = true) {
        status = pg_query(session, server, read_sql, &arguments, true, deadline_ms, &result, error_r);
        if (status != 0)
            return status;
        bool is_there = PQntuples(result) > 0 && binary_cell(result, 0, 0) == from;
        status = is_there ? batches_visit(result, slot, from, visit, context, error_r)
                          : missing_explain(session, server, slot, from, is_second_look, deadline_ms, error_r);
        PQclear(result);
        if (is_there || status <= 0)
            return status;
    }
}

int pg_purge(struct log_session *session, uint32_t slot, uint64_t below, uint32_t timeout_ms,
             struct log_engine_error *error_r)
{
    char texts[2][24];
    struct pg_server *server;
    struct pg_arguments arguments = {0};
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    int status = pg_session_server(session, slot, deadline_ms, &server, error_r);
    if (status != 0)
        return status;
    argument_number(&arguments, texts[0], slot);
    argument_number(&arguments, texts[1], below);
    arguments.values[arguments.count++] = session->node;
    status = pg_query(
        session, server,
        "UPDATE @.slot s SET below = needed.below FROM (SELECT least($2::bigint,"
        " min(coalesce(runs[$1::integer + 1], 0))) AS below FROM @.node WHERE NOT is_forgotten AND name <> $3) needed"
        " WHERE s.slot = $1::integer AND s.below < needed.below",
        &arguments, false, deadline_ms, NULL, error_r);
    if (status != 0)
        return status;
    arguments.count = 0;
    argument_number(&arguments, texts[0], session->keep_s);
    return pg_query(session, server, "SELECT @.drop_partitions(make_interval(secs => $1::integer))", &arguments, false,
                    deadline_ms, NULL, error_r);
}
