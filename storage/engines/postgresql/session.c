#include "session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "connect.h"
#include "query.h"

int64_t pg_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int pg_complain(struct log_engine_error *error_r, int status, const char *format, ...)
{
    va_list arguments;
    ASSERT(status <= 0);
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

const char *pg_server_option(const struct pg_server *server, const char *keyword)
{
    ASSERT(server->options != NULL);
    for (const PQconninfoOption *options = server->options; options->keyword != NULL; options++)
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
    const char *names = pg_server_option(server, "host");
    const char *addresses = pg_server_option(server, "hostaddr");
    const char *ports = pg_server_option(server, "port");
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
    ASSERT(number < LOG_ENGINE_SERVERS_MAX);
    memset(server, 0, sizeof *server);
    server->number = number;
    server->avoided = PG_HOSTS_MAX;
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
    ASSERT(server->host < PG_HOSTS_MAX);
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
    ASSERT(server->conn != NULL);
    do {
        int64_t left = deadline_ms - pg_now_ms();
        if (left <= 0)
            return false;
        ready = poll(&waited, 1, (int)(left < 60000 ? left : 60000));
    } while (ready == 0 || (ready < 0 && errno == EINTR));
    return true; /* or poll has failed: then the read or write that follows fails too */
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
    return pg_connect(session, server, deadline_ms, error_r);
}

int64_t pg_share(int64_t deadline_ms, uint32_t parts)
{
    ASSERT(parts > 0);
    int64_t now = pg_now_ms();
    return deadline_ms > now ? now + (deadline_ms - now) / parts : deadline_ms;
}

int pg_session_slots(struct log_session *session, int64_t deadline_ms, struct log_engine_error *error_r)
{
    int status = 0;
    ASSERT(session->server_count > 0);
    for (uint32_t i = 0; i < session->server_count && session->slots == 0; i++) {
        int64_t share_ms = pg_share(deadline_ms, session->server_count - i);
        status = pg_server_ready(session, &session->servers[i], share_ms, error_r);
        if (status == 0)
            session->slots = session->servers[i].slots;
    }
    return session->slots != 0 ? 0 : status;
}

int pg_session_server(struct log_session *session, uint32_t slot, int64_t deadline_ms, struct pg_server **server_r,
                      struct log_engine_error *error_r)
{
    int status = pg_session_slots(session, deadline_ms, error_r);
    if (status != 0)
        return status;
    if (slot > session->slots)
        return pg_complain(error_r, -ENOENT, "cluster %s has %u slots: there is no slot %u", session->cluster,
                           session->slots, slot);
    *server_r = &session->servers[slot < session->slots ? slot % session->server_count : 0];
    return pg_server_ready(session, *server_r, deadline_ms, error_r);
}
