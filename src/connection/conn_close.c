/* conn_close.c: closing a connection, in steps: queue a close frame, drain the output, shut down, close the socket. */
#include <stdlib.h>

#include "connection/tls.h"
#include "server/core.h"

/* How long the peer may take to end its side, and a slow consumer to read the output that waits for it. */
#define CLOSE_LINGER_US 2000000u
#define CLOSE_SLOW_LINGER_US 10000000u

/* Takes the connection out of its user, its replay and its pages: no push and no answer reaches it any more. */
static void conn_leave(struct core *core, struct conn *conn)
{
    if (conn->work != NULL)
        list_remove(&conn->work->resume_link);
    if (conn->is_tls)
        tls_end_handshake(core, conn);
    core->conns.callbacks->on_leave(core, conn);
    ASSERT(conn->user == NULL);
    ASSERT(conn_replay(conn) == NULL && conn_histories(conn) == NULL);
}

static void begin_close(struct core *core, struct conn *conn)
{
    conn_leave(core, conn);
    conn_set_state(conn, CONN_CLOSING);
    timers_set(shard_timers(core->shard), &conn->timer, shard_monotonic_us(core->shard) + CLOSE_LINGER_US);
    conn_receive(core, conn);
    conn_queue_resume(core, conn);
    conn_queue_output(core, conn);
}

void conn_close(struct core *core, struct conn *conn, uint16_t code, const char *reason)
{
    if (conn->state == CONN_CLOSING || conn->state == CONN_CLOSED)
        return;
    if (conn->state == CONN_API) {
        conn_close_http(core, conn);
        return;
    }
    uint8_t frame[128];
    uint32_t bytes = ws_close_write(frame, code, reason);
    ASSERT(bytes <= sizeof frame);
    conn_write(core, conn, (const char *)frame, bytes);
    core->conns.callbacks->on_close(core, code);
    begin_close(core, conn);
    if (code == 4001)
        timers_set(shard_timers(core->shard), &conn->timer, shard_monotonic_us(core->shard) + CLOSE_SLOW_LINGER_US);
}

void conn_close_http(struct core *core, struct conn *conn)
{
    if (conn->state == CONN_CLOSING || conn->state == CONN_CLOSED)
        return;
    metric_add(&core->metrics.closes[METRICS_CLOSE_HTTP], 1);
    begin_close(core, conn);
}

static void refuse(struct core *core, struct conn *conn, struct span answer)
{
    ASSERT(conn->state == CONN_HTTP);
    conn_write(core, conn, answer.data, answer.bytes);
    conn_close_http(core, conn);
}

void conn_refuse_full(struct core *core, struct conn *conn)
{
    refuse(core, conn, core_is_draining(core) ? http_answer_stopping() : http_answer_full());
}

void conn_refuse_address(struct core *core, struct conn *conn)
{
    refuse(core, conn, http_answer_address());
}

void conn_drop(struct core *core, struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->state != CONN_CLOSING)
        metric_add(&core->metrics.closes[METRICS_CLOSE_NONE], 1);
    conn_leave(core, conn);
    conn_set_state(conn, CONN_CLOSED);
    timers_clear(shard_timers(core->shard), &conn->timer);
    list_remove(&conn->output_link);
    io_close(shard_io(core->shard), &conn->socket);
}

void conn_closing_step(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_CLOSING);
    if (conn->out_bytes > 0 || io_is_sending(&conn->socket))
        return;
    if (conn->is_tls && tls_owes_close(core, conn)) {
        conn_queue_output(core, conn);
        return;
    }
    /* The peer's close frame is not enough: bytes behind it would reset the connection, and the peer would lose what it
     * has not read. */
    if (conn->has_peer_closed) {
        conn_drop(core, conn);
        return;
    }
    if (!conn->has_shut_down) {
        conn->has_shut_down = true;
        io_shutdown_send(shard_io(core->shard), &conn->socket);
    }
}

void conn_ended_step(struct core *core, struct conn *conn)
{
    ASSERT(conn->has_peer_closed);
    if (conn_has_stash(conn) || conn->unanswered > 0)
        return;
    if (conn->state == CONN_HTTP) {
        conn_drop(core, conn); /* its head is not complete */
        return;
    }
    if (conn->state == CONN_API) {
        conn_close_http(core, conn);
        return;
    }
    if (conn->state != CONN_OPEN && conn->state != CONN_LIVE)
        return;
    conn_close(core, conn, 1000, "");
    timers_set(shard_timers(core->shard), &conn->timer, shard_monotonic_us(core->shard) + conn_silence_us(core));
}

/* A connection that closes already may have longer to read what waits for it. */
static void limit_linger(struct core *core, struct conn *conn)
{
    uint64_t at_us = shard_monotonic_us(core->shard) + CLOSE_LINGER_US;
    if (conn->timer.at_us > at_us)
        timers_set(shard_timers(core->shard), &conn->timer, at_us);
}

void conns_close_all(struct core *core, const char *reason)
{
    for (uint32_t slot = 0; slot < core->conns.table.slot_count; slot++) {
        struct conn *conn = conn_at(&core->conns.table, slot);
        if (conn == NULL || conn->state == CONN_HANDOVER)
            continue;
        if (conn->state == CONN_HTTP)
            conn_drop(core, conn);
        else if (conn->state == CONN_CLOSING)
            limit_linger(core, conn);
        else if (conn->state != CONN_CLOSED)
            conn_close(core, conn, 1001, reason);
    }
}
