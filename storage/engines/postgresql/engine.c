/* engine.c: the table of the PostgreSQL engine, which chitchat-log-pg.so exports, and its sessions. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append.h"
#include "base/assert.h"
#include "check.h"
#include "nodes.h"
#include "query.h"
#include "read.h"
#include "schema.h"

extern const struct log_engine chitchat_log_engine;

static const char separators[] = " \t\n";

static bool name_is_good(const char *name)
{
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes > LOG_ENGINE_CLUSTER_BYTES || name[0] < 'a' || name[0] > 'z')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == bytes;
}

static uint32_t count_uris(const char *uris)
{
    uint32_t count = 0;
    for (uris += strspn(uris, separators); *uris != '\0'; uris += strspn(uris, separators)) {
        uris += strcspn(uris, separators);
        count++;
    }
    return count;
}

static int servers_open(struct log_session *session, const char *uris, struct log_engine_error *error_r)
{
    for (uint32_t i = 0; i < session->server_count; i++) {
        uris += strspn(uris, separators);
        char *uri = strndup(uris, strcspn(uris, separators));
        if (uri == NULL)
            return pg_complain(error_r, -ENOMEM, "no memory for a session");
        int status = pg_server_init(&session->servers[i], i, uri, error_r);
        free(uri);
        if (status != 0)
            return status;
        uris += strcspn(uris, separators);
    }
    return 0;
}

static void session_close(struct log_session **session)
{
    if (*session == NULL)
        return;
    for (uint32_t i = 0; i < (*session)->server_count; i++)
        pg_server_fini(&(*session)->servers[i]);
    free((*session)->servers);
    free(*session);
    *session = NULL;
}

static int session_open(struct log_session **session_r, const struct log_engine_options *options,
                        struct log_engine_error *error_r)
{
    uint32_t count = count_uris(options->uris);
    *session_r = NULL;
    if (!name_is_good(options->cluster))
        return pg_complain(error_r, -EINVAL,
                           "a cluster's name has at most %u characters of a to z, 0 to 9 and _, first a letter",
                           LOG_ENGINE_CLUSTER_BYTES);
    if (count == 0 || count > LOG_ENGINE_SERVERS_MAX)
        return pg_complain(error_r, -EINVAL, "give the URIs of 1 to %u log servers", LOG_ENGINE_SERVERS_MAX);
    struct log_session *session = calloc(1, sizeof *session);
    struct pg_server *servers = calloc(count, sizeof *servers);
    if (session == NULL || servers == NULL) {
        free(session);
        free(servers);
        return pg_complain(error_r, -ENOMEM, "no memory for a session");
    }
    session->servers = servers;
    session->server_count = count;
    session->durability = options->durability;
    session->keep_s = options->keep_s;
    (void)snprintf(session->node, sizeof session->node, "%s", options->node != NULL ? options->node : "");
    (void)snprintf(session->cluster, sizeof session->cluster, "%s", options->cluster);
    (void)snprintf(session->schema, sizeof session->schema, "chitchat_%s", options->cluster);
    int status = servers_open(session, options->uris, error_r);
    if (status != 0)
        session_close(&session);
    *session_r = session;
    return status;
}

static int cluster_create(const struct log_engine_options *options, uint32_t slots, uint32_t timeout_ms,
                          struct log_engine_error *error_r)
{
    char id[37] = "";
    struct log_session *session;
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    int status = session_open(&session, options, error_r);
    if (status != 0)
        return status;
    session->is_creating = true;
    for (uint32_t i = 0; status == 0 && i < session->server_count; i++)
        status = pg_server_ready(session, &session->servers[i], deadline_ms, error_r);
    for (uint32_t i = 0; status == 0 && i < session->server_count; i++)
        status = pg_schema_create(session, &session->servers[i], slots, id, deadline_ms, error_r);
    session_close(&session);
    return status;
}

static int server_check(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                        struct log_engine_error *error_r)
{
    int status = pg_server_ready(session, server, deadline_ms, error_r);
    if (status == 0)
        status = pg_check_durability(session, server, deadline_ms, error_r);
    if (status == 0)
        status = pg_schema_make_partitions(session, server, deadline_ms, error_r);
    if (status == 0 && strcmp(server->id, session->servers[0].id) != 0)
        status = pg_complain(error_r, -EPROTO, "log servers 1 and %u have different clusters of the name %s",
                             server->number + 1, session->cluster);
    return status;
}

static int session_check(struct log_session *session, uint32_t timeout_ms, struct log_engine_report *report_r,
                         struct log_engine_error *error_r)
{
    size_t used = 0;
    int64_t deadline_ms = pg_now_ms() + timeout_ms;
    ASSERT(session->server_count > 0 && !session->is_creating);
    memset(report_r, 0, sizeof *report_r);
    for (uint32_t i = 0; i < session->server_count; i++) {
        struct pg_server *server = &session->servers[i];
        int status = server_check(session, server, deadline_ms, error_r);
        if (status != 0)
            return status;
        int written =
            snprintf(report_r->text + used, sizeof report_r->text - used, "%s%s", i > 0 ? "; " : "", server->about);
        used += (size_t)written < sizeof report_r->text - used ? (size_t)written : sizeof report_r->text - used - 1;
    }
    session->slots = report_r->slots = session->servers[0].slots;
    report_r->clock_us = session->servers[0].clock_us;
    (void)snprintf(report_r->id, sizeof report_r->id, "%s", session->servers[0].id);
    return 0;
}

const struct log_engine chitchat_log_engine = {
    .version = LOG_ENGINE_VERSION,
    .name = "postgresql",
    .create = cluster_create,
    .open = session_open,
    .close = session_close,
    .check = session_check,
    .append = pg_append,
    .read = pg_read,
    .tail = pg_tail,
    .follow = pg_follow,
    .purge = pg_purge,
    .report = pg_nodes_report,
    .nodes = pg_nodes_list,
    .forget = pg_nodes_forget,
    .leave = pg_nodes_leave,
};
