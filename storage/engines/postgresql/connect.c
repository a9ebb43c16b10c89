#include "connect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "check.h"

#define PARAMETERS_MAX 80

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

static void parameter_default(struct parameters *parameters, const struct pg_server *server, const char *keyword,
                              const char *value)
{
    if (pg_server_option(server, keyword)[0] == '\0')
        parameter_set(parameters, keyword, value);
}

/* What the URI says, for one host. A server that was promoted or demoted, and a network that went silent, must be
 * noticed within seconds. */
static void parameters_make(struct parameters *parameters, const struct pg_server *server, const struct pg_host *host)
{
    memset(parameters, 0, sizeof *parameters);
    for (const PQconninfoOption *option = server->options; option->keyword != NULL; option++)
        if (option->val != NULL)
            parameter_set(parameters, option->keyword, option->val);
    parameter_set(parameters, "host", host->name);
    parameter_set(parameters, "hostaddr", host->address);
    parameter_set(parameters, "port", host->port);
    parameter_set(parameters, "target_session_attrs", "read-write");
    parameter_set(parameters, "client_encoding", "UTF8");
    parameter_default(parameters, server, "fallback_application_name", "chitchat");
    parameter_default(parameters, server, "keepalives_idle", "5");
    parameter_default(parameters, server, "keepalives_interval", "2");
    parameter_default(parameters, server, "keepalives_count", "3");
    parameter_default(parameters, server, "tcp_user_timeout", "10000");
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

/* A connection to each host. */
struct attempts {
    PGconn *conns[PG_HOSTS_MAX]; /* NULL: has failed */
    PostgresPollingStatusType polled[PG_HOSTS_MAX];
    uint32_t count;
};

/* `excluded`: a bit for each host that is left out. */
static void attempts_begin(struct attempts *attempts, struct pg_server *server, uint32_t excluded)
{
    struct parameters parameters;
    memset(attempts, 0, sizeof *attempts);
    attempts->count = server->host_count;
    for (uint32_t i = 0; i < server->host_count; i++) {
        if ((excluded >> i & 1) != 0)
            continue;
        parameters_make(&parameters, server, &server->hosts[i]);
        attempts->conns[i] = PQconnectStartParams(parameters.keywords, parameters.values, 0);
        attempts->polled[i] = PGRES_POLLING_WRITING;
    }
}

static void attempts_end(struct attempts *attempts)
{
    for (uint32_t i = 0; i < attempts->count; i++) {
        PQfinish(attempts->conns[i]);
        attempts->conns[i] = NULL;
    }
}

/* The attempt has failed. What the host says that took writes last is the most telling; then the first. */
static void attempt_fail(struct attempts *attempts, struct pg_server *server, uint32_t index,
                         struct log_engine_error *error_r)
{
    ASSERT(index < attempts->count && attempts->conns[index] != NULL);
    if (error_r->text[0] == '\0' || index == server->host) {
        char name[PG_HOST_BYTES + 64];
        uint32_t host = server->host;
        server->host = index;
        (void)pg_complain(error_r, 0, "%s: %s", pg_server_name(server, name), PQerrorMessage(attempts->conns[index]));
        server->host = host;
    }
    PQfinish(attempts->conns[index]);
    attempts->conns[index] = NULL;
}

/* Waits until one can go on. Returns how many there still are; 0 also at the deadline. One that is connected waits. */
static uint32_t attempts_wait(const struct attempts *attempts, struct pollfd waited[PG_HOSTS_MAX], int64_t deadline_ms)
{
    uint32_t left = 0;
    int64_t left_ms = deadline_ms - pg_now_ms();
    for (uint32_t i = 0; i < attempts->count; i++) {
        bool lives = attempts->conns[i] != NULL && attempts->polled[i] != PGRES_POLLING_OK;
        waited[i] = (struct pollfd){.fd = lives ? PQsocket(attempts->conns[i]) : -1,
                                    .events = attempts->polled[i] == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        left += lives;
    }
    if (left == 0 || left_ms <= 0)
        return 0;
    (void)poll(waited, attempts->count, (int)(left_ms < 60000 ? left_ms : 60000));
    return left;
}

/* The number of the first that takes writes; or the count of all: none does. The host that did not answer in time
 * before is taken only if no other takes writes: it may be a primary that was cut off, and has a successor. */
static uint32_t attempts_run(struct attempts *attempts, struct pg_server *server, int64_t deadline_ms,
                             struct log_engine_error *error_r)
{
    struct pollfd waited[PG_HOSTS_MAX];
    uint32_t found = attempts->count;
    int64_t patience_ms = pg_share(deadline_ms, 3);
    for (;;) {
        for (uint32_t i = 0; i < attempts->count; i++)
            if (attempts->conns[i] != NULL && PQstatus(attempts->conns[i]) == CONNECTION_BAD)
                attempt_fail(attempts, server, i, error_r);
        if (attempts_wait(attempts, waited, found < attempts->count ? patience_ms : deadline_ms) == 0)
            return found;
        for (uint32_t i = 0; i < attempts->count; i++) {
            if (waited[i].fd < 0 || waited[i].revents == 0)
                continue;
            attempts->polled[i] = PQconnectPoll(attempts->conns[i]);
            if (attempts->polled[i] == PGRES_POLLING_OK)
                found = i;
            if (attempts->polled[i] == PGRES_POLLING_OK && i != server->avoided)
                return i;
        }
    }
}

/* Connects to the first host that takes writes, but for those that are excluded. */
static int connect_first(struct pg_server *server, uint32_t excluded, int64_t deadline_ms,
                         struct log_engine_error *error_r)
{
    struct attempts attempts;
    ASSERT(server->conn == NULL);
    error_r->text[0] = '\0';
    attempts_begin(&attempts, server, excluded);
    uint32_t found = attempts_run(&attempts, server, deadline_ms, error_r);
    bool has_answer = error_r->text[0] != '\0';
    if (found < attempts.count) {
        server->host = found;
        server->conn = attempts.conns[found];
        attempts.conns[found] = NULL;
    }
    attempts_end(&attempts);
    if (server->conn == NULL && has_answer)
        return -ECONNABORTED;
    if (server->conn == NULL)
        return pg_complain(error_r, -ETIMEDOUT, "log server %u: no host of its URI answers", server->number + 1);
    error_r->text[0] = '\0';
    PQsetNoticeReceiver(server->conn, on_notice, server);
    return PQsetnonblocking(server->conn, 1) == 0 ? 0 : pg_complain(error_r, -ENOMEM, "no memory for a connection");
}

int pg_connect(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
               struct log_engine_error *error_r)
{
    int status;
    uint32_t excluded = 0, all = (1u << server->host_count) - 1;
    ASSERT(server->host_count > 0 && server->host_count <= PG_HOSTS_MAX);
    do {
        status = connect_first(server, excluded, deadline_ms, error_r);
        if (status == 0)
            status = pg_check_server(session, server, deadline_ms, error_r);
        if (status != 0)
            pg_server_close(server);
        excluded |= 1u << server->host;
    } while (status == -ESTALE && excluded != all);
    if (status == 0)
        server->avoided = PG_HOSTS_MAX;
    return status == -ESTALE ? -ECONNABORTED : status;
}
