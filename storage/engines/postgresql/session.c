#include "session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "query.h"

#define CONNECT_MS_MIN 250 /* of one host */
#define PARAMETERS_MAX 80

int64_t pg_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int pg_complain(struct log_engine_error *error_r, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error_r->text, sizeof error_r->text, format, arguments);
    va_end(arguments);
    for (char *c = error_r->text; *c != '\0'; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    size_t bytes = strlen(error_r->text);
    while (bytes > 0 && error_r->text[bytes - 1] == ' ')
        error_r->text[--bytes] = '\0';
    return status;
}

/* -- the hosts of a URI -- */

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val != NULL ? options->val : "";
    return "";
}

/* The part `index` of a list that commas divide; the only part counts for all if `repeats`. False: too long. */
static bool list_part(const char *list, uint32_t index, bool repeats, char *part, size_t part_bytes)
{
    if (repeats && strchr(list, ',') == NULL)
        index = 0;
    for (; index > 0 && *list != '\0'; index--) {
        list += strcspn(list, ",");
        list += *list == ',';
    }
    size_t bytes = strcspn(list, ",");
    if (bytes >= part_bytes)
        return false;
    memcpy(part, list, bytes);
    part[bytes] = '\0';
    return true;
}

static uint32_t list_count(const char *list)
{
    uint32_t count = 1;
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

static int hosts_read(struct pg_server *server, struct log_engine_error *error_r)
{
    const char *names = option_value(server->options, "host");
    const char *addresses = option_value(server->options, "hostaddr");
    const char *ports = option_value(server->options, "port");
    uint32_t count = list_count(addresses[0] != '\0' ? addresses : names);
    if (count > PG_HOSTS_MAX)
        return pg_complain(error_r, -EINVAL, "the URI of log server %u names more than %u hosts", server->number + 1,
                           PG_HOSTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct pg_host *host = &server->hosts[i];
        if (!list_part(names, i, false, host->name, sizeof host->name)
            || !list_part(addresses, i, false, host->address, sizeof host->address)
            || !list_part(ports, i, true, host->port, sizeof host->port))
            return pg_complain(error_r, -EINVAL,
                               "the URI of log server %u has a host, address or port that is too long",
                               server->number + 1);
    }
    server->host_count = count;
    return 0;
}

int pg_server_init(struct pg_server *server, uint32_t number, const char *uri, struct log_engine_error *error_r)
{
    memset(server, 0, sizeof *server);
    server->number = number;
    /* The message of libpq is left out: it can repeat a part of the URI, and so of the password. */
    server->options = PQconninfoParse(uri, NULL);
    if (server->options == NULL)
        return pg_complain(error_r, -EINVAL,
                           "the URI of log server %u is not one of PostgreSQL: "
                           "postgresql://USER@HOST:PORT,HOST:PORT/DATABASE?NAME=VALUE",
                           number + 1);
    return hosts_read(server, error_r);
}

void pg_server_fini(struct pg_server *server)
{
    pg_server_close(server);
    PQconninfoFree(server->options);
    server->options = NULL;
}

const char *pg_server_name(const struct pg_server *server, char name[PG_HOST_BYTES + 64])
{
    const struct pg_host *host = &server->hosts[server->host];
    const char *where = host->name[0] != '\0' ? host->name : host->address;
    (void)snprintf(name, PG_HOST_BYTES + 64, "log server %u (%s:%s)", server->number + 1,
                   where[0] != '\0' ? where : "local", host->port[0] != '\0' ? host->port : "5432");
    return name;
}

void pg_server_close(struct pg_server *server)
{
    PQfinish(server->conn);
    server->conn = NULL;
    server->is_listening = false;
    server->has_statement = false;
}

/* -- connecting -- */

bool pg_server_wait(struct pg_server *server, short events, int64_t deadline_ms)
{
    struct pollfd waited = {.fd = PQsocket(server->conn), .events = events};
    int ready;
    do {
        int64_t left = deadline_ms - pg_now_ms();
        if (left <= 0)
            return false;
        ready = poll(&waited, 1, (int)(left < 60000 ? left : 60000));
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return true; /* or poll has failed: then the read or write that follows fails too */
}

struct parameters {
    const char *keywords[PARAMETERS_MAX];
    const char *values[PARAMETERS_MAX];
    uint32_t count;
};

static void parameter_set(struct parameters *parameters, const char *keyword, const char *value)
{
    for (uint32_t i = 0; i < parameters->count; i++)
        if (strcmp(parameters->keywords[i], keyword) == 0) {
            parameters->values[i] = value;
            return;
        }
    if (parameters->count + 1 == PARAMETERS_MAX)
        return;
    parameters->keywords[parameters->count] = keyword;
    parameters->values[parameters->count++] = value;
}

static void parameter_default(struct parameters *parameters, const PQconninfoOption *options, const char *keyword,
                              const char *value)
{
    if (option_value(options, keyword)[0] == '\0')
        parameter_set(parameters, keyword, value);
}

/* What the URI says, for one host. A server that was promoted or demoted, and a network that went silent, must be
 * noticed within seconds. */
static void parameters_make(struct parameters *parameters, const struct pg_server *server)
{
    const struct pg_host *host = &server->hosts[server->host];
    memset(parameters, 0, sizeof *parameters);
    for (const PQconninfoOption *option = server->options; option->keyword != NULL; option++)
        if (option->val != NULL)
            parameter_set(parameters, option->keyword, option->val);
    parameter_set(parameters, "host", host->name);
    parameter_set(parameters, "hostaddr", host->address);
    parameter_set(parameters, "port", host->port);
    parameter_set(parameters, "target_session_attrs", "read-write");
    parameter_set(parameters, "client_encoding", "UTF8");
    parameter_default(parameters, server->options, "fallback_application_name", "chitchat");
    parameter_default(parameters, server->options, "keepalives_idle", "5");
    parameter_default(parameters, server->options, "keepalives_interval", "2");
    parameter_default(parameters, server->options, "keepalives_count", "3");
    parameter_default(parameters, server->options, "tcp_user_timeout", "10000");
}

/* A warning tells, among others, that the wait for a standby was cancelled: the commit is not replicated. */
static void on_notice(void *context, const PGresult *result)
{
    struct pg_server *server = context;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (severity == NULL || strcmp(severity, "WARNING") != 0)
        return;
    server->was_warned = true;
    (void)snprintf(server->warning, sizeof server->warning, "%s", message != NULL ? message : "a warning");
}

static int connect_host(struct pg_server *server, int64_t deadline_ms, struct log_engine_error *error_r)
{
    char name[PG_HOST_BYTES + 64];
    struct parameters parameters;
    parameters_make(&parameters, server);
    server->conn = PQconnectStartParams(parameters.keywords, parameters.values, 0);
    if (server->conn == NULL)
        return pg_complain(error_r, -ENOMEM, "no memory for a connection to %s", pg_server_name(server, name));
    PQsetNoticeReceiver(server->conn, on_notice, server);
    PostgresPollingStatusType polled = PGRES_POLLING_WRITING;
    while (PQstatus(server->conn) != CONNECTION_BAD && polled != PGRES_POLLING_OK && polled != PGRES_POLLING_FAILED) {
        if (!pg_server_wait(server, polled == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) {
            pg_server_close(server);
            return pg_complain(error_r, -ETIMEDOUT, "%s does not answer", pg_server_name(server, name));
        }
        polled = PQconnectPoll(server->conn);
    }
    if (PQstatus(server->conn) == CONNECTION_OK && PQsetnonblocking(server->conn, 1) == 0)
        return 0;
    (void)pg_complain(error_r, 0, "%s: %s", pg_server_name(server, name), PQerrorMessage(server->conn));
    pg_server_close(server);
    return -ECONNABORTED;
}

/* Tries each host, beginning with the one that was connected to last. The first error of a server that answered is the
 * most telling one: the others are often standbys. */
static int connect_any(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                       struct log_engine_error *error_r)
{
    uint32_t first = server->host;
    int status = -ETIMEDOUT;
    struct log_engine_error error = {""};
    for (uint32_t i = 0; i < server->host_count; i++) {
        int64_t now = pg_now_ms();
        int64_t slice = (deadline_ms - now) / (int64_t)(server->host_count - i);
        int64_t host_deadline = now + (slice > CONNECT_MS_MIN ? slice : CONNECT_MS_MIN);
        server->host = (first + i) % server->host_count;
        int tried = connect_host(server, host_deadline < deadline_ms ? host_deadline : deadline_ms, &error);
        if (tried == 0)
            tried = pg_check_server(session, server, deadline_ms, &error);
        if (tried == 0)
            return 0;
        pg_server_close(server);
        if (i == 0 || (tried != -ETIMEDOUT && tried != -ECONNABORTED)) {
            status = tried;
            *error_r = error;
        }
        if (tried != -ETIMEDOUT && tried != -ECONNABORTED)
            break; /* this host takes writes, and is not what it should be */
    }
    server->host = (server->host + 1) % server->host_count;
    return status;
}

/* Takes what came since the last call: the end of a connection, too. */
static bool is_alive(struct pg_server *server, int64_t deadline_ms)
{
    struct log_engine_error ignored;
    if (server->conn == NULL)
        return false;
    if (server->has_statement && pg_query_finish(server, deadline_ms, NULL, &ignored) != 0)
        return false;
    struct pollfd socket = {.fd = PQsocket(server->conn), .events = POLLIN};
    if (poll(&socket, 1, 0) > 0 && PQconsumeInput(server->conn) == 0)
        return false;
    return PQstatus(server->conn) == CONNECTION_OK && PQtransactionStatus(server->conn) == PQTRANS_IDLE;
}

int pg_server_ready(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                    struct log_engine_error *error_r)
{
    if (is_alive(server, deadline_ms))
        return 0;
    pg_server_close(server);
    return connect_any(session, server, deadline_ms, error_r);
}

/* How many slots there are, which any server knows. */
static int slots_learn(struct log_session *session, int64_t deadline_ms, struct log_engine_error *error_r)
{
    int status = 0;
    for (uint32_t i = 0; i < session->server_count && session->slots == 0; i++) {
        status = pg_server_ready(session, &session->servers[i], deadline_ms, error_r);
        if (status == 0)
            session->slots = session->servers[i].slots;
    }
    return session->slots != 0 ? 0 : status;
}

int pg_session_server(struct log_session *session, uint32_t slot, int64_t deadline_ms, struct pg_server **server_r,
                      struct log_engine_error *error_r)
{
    int status = slots_learn(session, deadline_ms, error_r);
    if (status != 0)
        return status;
    if (slot > session->slots)
        return pg_complain(error_r, -ENOENT, "cluster %s has %u slots: there is no slot %u", session->cluster,
                           session->slots, slot);
    *server_r = &session->servers[slot < session->slots ? slot % session->server_count : 0];
    return pg_server_ready(session, *server_r, deadline_ms, error_r);
}
