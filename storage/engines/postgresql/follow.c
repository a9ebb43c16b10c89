#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "query.h"
#include "read.h"

#define POLL_MS 200    /* when no notification comes: they are not sent for each batch, and can be lost */
#define ANSWER_MS 1000 /* a server's time for an answer, beyond the time to wait */

static int listen_begin(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                        struct log_engine_error *error_r)
{
    if (server->is_listening)
        return 0;
    int status = pg_query(session, server, "LISTEN @", NULL, false, deadline_ms, NULL, error_r);
    server->is_listening = status == 0;
    return status;
}

static void notifications_drop(struct pg_server *server)
{
    PGnotify *notification;
    while ((notification = PQnotifies(server->conn)) != NULL)
        PQfreemem(notification);
}

static struct log_follow *follow_find(struct log_follow *slots, uint32_t count, uint64_t slot)
{
    for (uint32_t i = 0; i < count; i++)
        if (slots[i].slot == slot)
            return &slots[i];
    return NULL;
}

/* All slots of the server, in one statement: their rows are few and hot. Returns how many have more than `known`. */
static int server_look(struct log_session *session, struct pg_server *server, struct log_follow *slots, uint32_t count,
                       int64_t deadline_ms, struct log_engine_error *error_r)
{
    PGresult *result;
    int news = 0;
    int status = pg_query(session, server, "SELECT slot, last FROM @.slot", NULL, false, deadline_ms, &result, error_r);
    if (status != 0)
        return status;
    for (int row = 0; row < PQntuples(result); row++) {
        struct log_follow *followed = follow_find(slots, count, pg_cell(result, row, 0));
        uint64_t last = pg_cell(result, row, 1);
        if (followed != NULL && last > followed->last) {
            followed->last = last;
            news++;
        }
    }
    PQclear(result);
    return news;
}

static bool server_is_followed(const struct log_session *session, uint32_t number, const struct log_follow *slots,
                               uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if ((slots[i].slot < session->slots ? slots[i].slot % session->server_count : 0) == number)
            return true;
    return false;
}

/* Looks at each server of a slot. A server that does not answer is an error only if no other has news. */
static int servers_look(struct log_session *session, struct log_follow *slots, uint32_t count, int64_t deadline_ms,
                        struct log_engine_error *error_r)
{
    int news = 0, failure = 0;
    for (uint32_t i = 0; i < session->server_count; i++) {
        struct pg_server *server = &session->servers[i];
        if (!server_is_followed(session, i, slots, count))
            continue;
        int64_t share_ms = pg_share(deadline_ms, session->server_count - i);
        int status = pg_server_ready(session, server, share_ms, error_r);
        if (status == 0)
            status = listen_begin(session, server, share_ms, error_r);
        if (status == 0)
            status = server_look(session, server, slots, count, share_ms, error_r);
        if (status < 0)
            failure = status;
        else
            news += status;
    }
    return news > 0 ? news : failure;
}

/* Until something comes from any server, or POLL_MS. */
static void servers_wait(struct log_session *session, int64_t until_ms)
{
    struct pollfd sockets[LOG_ENGINE_SERVERS_MAX];
    nfds_t count = 0;
    int64_t left = until_ms - pg_now_ms();
    for (uint32_t i = 0; i < session->server_count; i++) {
        struct pg_server *server = &session->servers[i];
        if (server->conn == NULL || !server->is_listening)
            continue;
        notifications_drop(server);
        sockets[count++] = (struct pollfd){.fd = PQsocket(server->conn), .events = POLLIN};
    }
    if (left > 0)
        (void)poll(sockets, count, (int)(left < POLL_MS ? left : POLL_MS));
}

int pg_follow(struct log_session *session, struct log_follow *slots, uint32_t count, uint32_t wait_ms,
              struct log_engine_error *error_r)
{
    int64_t until_ms = pg_now_ms() + wait_ms;
    int64_t deadline_ms = until_ms + ANSWER_MS;
    ASSERT(count > 0 && count <= LOG_ENGINE_FOLLOW_MAX);
    int status = pg_session_slots(session, deadline_ms, error_r);
    while (status == 0) {
        status = servers_look(session, slots, count, deadline_ms, error_r);
        if (status != 0 || pg_now_ms() >= until_ms)
            break;
        servers_wait(session, until_ms);
    }
    return status;
}
