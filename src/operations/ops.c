#include "operations/ops.h"

#include "ephemeral/watch.h"
#include "history/history.h"
#include "history/reads.h"
#include "history/replay.h"
#include "http/exchanges.h"
#include "operations/handover.h"
#include "server/core.h"
#include "timeline/fanout.h"

struct op {
    void (*run)(struct core *core, struct conn *conn, const struct request *request);
    bool needs_login;
};

static const struct op ops[] = {
    [REQUEST_LOGIN] = {op_login, false}, [REQUEST_SEND] = {op_send, true},     [REQUEST_HISTORY] = {op_history, true},
    [REQUEST_PING] = {op_ping, true},    [REQUEST_TYPING] = {op_typing, true}, [REQUEST_PEERS] = {op_history, true},
    [REQUEST_SEEN] = {op_seen, true},    [REQUEST_WATCH] = {op_watch, true},
};
_Static_assert(sizeof ops / sizeof ops[0] == METRICS_REQUESTS, "each op has a counter, and a name for /metrics");

/* Refuses a request before its operation is run. */
static void refuse(struct core *core, struct conn *conn, const struct request *request, enum error_code code,
                   const char *message, uint32_t retry_after_ms)
{
    if (request->op == REQUEST_SEND)
        metric_add(&core->metrics.sends[METRICS_SEND_REFUSED], 1);
    if (request->op == REQUEST_SEEN)
        metric_add(&core->metrics.seens[METRICS_SEEN_REFUSED], 1);
    if (request->op == REQUEST_LOGIN)
        metric_add(&core->metrics.logins[METRICS_LOGIN_REFUSED], 1);
    conn_reply_error(core, conn, &request->id, code, message, retry_after_ms);
}

/* Counts a send or a mark of the user, before its fields are read. False: over the rate. */
static bool is_within_send_rate(struct core *core, struct conn *conn, uint32_t *retry_after_ms_r)
{
    return rate_take(&conn->user->send_rate, core->server->config->send_rate, shard_monotonic_us(core->shard),
                     retry_after_ms_r);
}

/* Requests that are counted together, by connection. A login that extends another costs the check of a token. */
static bool has_history_rate(const struct conn *conn, enum request_op op)
{
    return op == REQUEST_HISTORY || op == REQUEST_PEERS || op == REQUEST_TYPING || op == REQUEST_WATCH
           || (op == REQUEST_LOGIN && conn_is_logged_in(conn));
}

/* The same for these. */
static bool is_within_history_rate(struct core *core, struct conn *conn, uint32_t *retry_after_ms_r)
{
    return rate_take(&conn_cold(core, conn)->history_rate, core->server->config->history_rate,
                     shard_monotonic_us(core->shard), retry_after_ms_r);
}

/* Refuses a request that is over its rate, and a first login where too many of the address have failed. True: it is
 * refused. */
static bool is_over_a_rate(struct core *core, struct conn *conn, const struct request *request)
{
    uint32_t retry_after_ms = 0;
    bool is_send = request->op == REQUEST_SEND || request->op == REQUEST_SEEN;
    if (is_send && !is_within_send_rate(core, conn, &retry_after_ms)) {
        refusal_note(core, REFUSAL_SEND_RATE, &conn_cold(core, conn)->address, NULL);
        refuse(core, conn, request, ERROR_RATE_LIMITED, "too many sends and marks of this user: wait", retry_after_ms);
        return true;
    }
    if (has_history_rate(conn, request->op) && !is_within_history_rate(core, conn, &retry_after_ms)) {
        refusal_note(core, REFUSAL_HISTORY_RATE, &conn_cold(core, conn)->address, NULL);
        refuse(core, conn, request, ERROR_RATE_LIMITED, "too many requests on this connection: wait", retry_after_ms);
        return true;
    }
    if (request->op == REQUEST_LOGIN && !conn_is_logged_in(conn)
        && !admission_may_log_in(core, conn, &retry_after_ms)) {
        refuse(core, conn, request, ERROR_RATE_LIMITED,
               "too many logins from your address have failed: wait, then connect again", retry_after_ms);
        conn_close(core, conn, 1013, "too many failed logins");
        return true;
    }
    return false;
}

/* Checks the login state, the rates and the fields, then runs the operation. */
static void on_request(struct core *core, struct conn *conn, struct request *request)
{
    struct request_error error;
    ASSERT((size_t)request->op < sizeof ops / sizeof ops[0]);
    const struct op *op = &ops[request->op];
    metric_add(&core->metrics.requests[request->op], 1);
    if (op->needs_login && !conn_is_logged_in(conn)) {
        refuse(core, conn, request, ERROR_NOT_LOGGED_IN, "log in first", 0);
        return;
    }
    if (!op->needs_login && conn_is_logged_in(conn) && !tokens_are_wanted(core)) {
        refuse(core, conn, request, ERROR_ALREADY_LOGGED_IN,
               "this connection is logged in: open another one for another user", 0);
        return;
    }
    if (is_over_a_rate(core, conn, request))
        return;
    if (!request_read_fields(core->conns.request_reader, request, tokens_are_wanted(core), &error)) {
        if (request->op == REQUEST_LOGIN)
            admission_on_failed_login(core, conn);
        refuse(core, conn, request, error.code, error.message, 0);
        return;
    }
    op->run(core, conn, request);
}

static void on_room(struct core *core, struct conn *conn)
{
    if (conn->state == CONN_API)
        exchanges_on_room(core, conn);
    if (conn->state == CONN_HANDOVER)
        handover_step(core, conn);
    if (conn->state == CONN_REPLAY)
        replay_queue_step(core, conn);
    if (conn_histories(conn) != NULL)
        history_step(core, conn);
    if (conn->work != NULL)
        watch_on_room(core, conn);
}

static void on_leave(struct core *core, struct conn *conn)
{
    if (conn->state == CONN_HANDOVER)
        handover_cancel(core, conn);
    if (conn->work != NULL && conn->work->exchange != NULL)
        exchanges_on_leave(core, conn);
    history_drop_all(core, conn);
    replay_drop(core, conn);
    watch_drop_all(core, conn);
    if (conn->user == NULL)
        return;
    presence_on_leave(core, conn);
    fanout_leave(core, conn);
}

const struct conn_callbacks *ops_conn_callbacks(void)
{
    static const struct conn_callbacks callbacks = {.on_client = admission_take_client,
                                                    .on_request = on_request,
                                                    .on_room = on_room,
                                                    .on_leave = on_leave,
                                                    .on_close = metrics_on_close,
                                                    .on_room_for_reads = reads_continue,
                                                    .on_api = exchanges_begin_public,
                                                    .on_api_input = exchanges_on_input,
                                                    .on_api_timer = exchanges_on_timer};
    return &callbacks;
}
