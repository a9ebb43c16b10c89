/* api_connections.c: the connections of one user: listed, and closed. Both happen on the user's shard. */
#include <stdlib.h>

#include "api/api.h"
#include "protocol/json_put.h"
#include "server/core.h"

/* So many connections are listed. */
#define LISTED_MAX 1000u
/* What one takes in the list. */
#define LISTED_BYTES 320u
/* Closed in one pass; a user with more connections waits for further passes. */
#define CLOSED_MAX 256u

#define CODE_DEFAULT 4003u

struct job {
    struct call call;
    struct exchange_ref ref;
    struct barrier barrier;
    enum barrier_end barrier_end;
    void (*run)(struct core *core, struct call *call); /* behind the barrier */
    uint16_t code;                                     /* to close with */
    uint32_t closed;
    bool has_more;
    char *list; /* owned; NULL: none */
    size_t list_bytes;
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

static struct job *job_of(struct call *call)
{
    return container_of(call, struct job, call);
}

static void on_barrier(struct core *core, struct barrier *barrier, enum barrier_end end)
{
    struct job *job = container_of(barrier, struct job, barrier);
    job->barrier_end = end;
    if (end == BARRIER_PASSED)
        job->run(core, &job->call);
    else
        call_return(core, &job->call);
}

/* On the shard of the user: the node that owns the slot has all connections of the user. */
static void run_behind_barrier(struct core *core, struct call *call)
{
    struct job *job = job_of(call);
    job->barrier.on_end = on_barrier;
    barrier_begin(core, &job->barrier);
}

/* True: the job did not pass its barrier, and `exchange` is refused. */
static bool was_refused(struct core *core, struct exchange *exchange, const struct job *job)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    if (job->barrier_end == BARRIER_PASSED)
        return false;
    api_refuse_barrier(job->barrier_end, &code, &message, &retry_after_ms);
    exchange_refuse_as(core, exchange, code, message, retry_after_ms);
    return true;
}

/* Posts a job for the user of the request to their shard. */
static void post_job(struct core *core, struct exchange *exchange, const struct http_request *request, uint16_t code,
                     void (*run)(struct core *, struct call *), void (*done)(struct core *, struct call *))
{
    struct job *job = calloc(1, sizeof *job);
    ASSERT(job != NULL);
    job->call.run = run_behind_barrier;
    job->run = run;
    job->call.done = done;
    job->ref = exchange_ref(exchange);
    job->code = code;
    job->user_bytes = (uint8_t)request->user.bytes;
    memcpy(job->user, request->user.data, request->user.bytes);
    call_post(core, core_shard_of(core, request->user), &job->call);
}

static struct span user_of(const struct job *job)
{
    return (struct span){job->user, job->user_bytes};
}

/* -- the list -- */

static char *put_connection(struct core *core, char *at, const struct conn *conn)
{
    const struct conn_cold *cold = conn_cold(core, conn);
    char address[ADDRESS_TEXT_BYTES];
    uint64_t age_us = seconds_us((uint64_t)(core_now_s(core) - cold->since_s));
    address_write(&cold->address, address);
    at = JSON_PUT(at, "{\"id\":\"");
    at = json_put_unsigned(at, core->index);
    at = JSON_PUT(at, ".");
    at = json_put_unsigned(at, conn->slot);
    at = JSON_PUT(at, ".");
    at = json_put_unsigned(at, conn->generation);
    at = JSON_PUT(at, "\",\"address\":\"");
    at = json_put_escaped(at, span_of(address));
    at = JSON_PUT(at, "\",\"since\":");
    at = json_put_unsigned(at, shard_wall_us(core->shard) - age_us);
    at = JSON_PUT(at, ",\"shard\":");
    at = json_put_unsigned(at, core->index);
    at = cold->has_subprotocol ? JSON_PUT(at, ",\"subprotocol\":\"chitchat.v1\"")
                               : JSON_PUT(at, ",\"subprotocol\":null");
    at = conn->is_tls ? JSON_PUT(at, ",\"tls\":true") : JSON_PUT(at, ",\"tls\":false");
    at = conn->state == CONN_LIVE ? JSON_PUT(at, ",\"state\":\"live\"") : JSON_PUT(at, ",\"state\":\"catching_up\"");
    at = JSON_PUT(at, ",\"output_bytes\":");
    at = json_put_unsigned(at, conn->out_bytes);
    return JSON_PUT(at, "}");
}

static char *put_user(char *at, const struct job *job)
{
    at = JSON_PUT(at, "{\"user\":\"");
    at = json_put_escaped(at, user_of(job));
    return JSON_PUT(at, "\"");
}

static void run_list(struct core *core, struct call *call)
{
    struct job *job = job_of(call);
    struct user *user = user_take(&core->users, user_of(job));
    ASSERT(user != NULL);
    uint32_t listed = user->conn_count < LISTED_MAX ? user->conn_count : LISTED_MAX;
    char *at = job->list = malloc(512 + (size_t)listed * LISTED_BYTES);
    ASSERT(at != NULL);
    at = JSON_PUT(put_user(at, job), ",\"count\":");
    at = json_put_unsigned(at, user->conn_count);
    at = JSON_PUT(at, ",\"connections\":[");
    struct list *link = user->conns.next;
    for (uint32_t i = 0; i < listed; i++, link = link->next) {
        char *begin = at;
        if (i > 0)
            at = JSON_PUT(at, ",");
        at = put_connection(core, at, container_of(link, struct conn, user_link));
        ASSERT((size_t)(at - begin) <= LISTED_BYTES);
    }
    at = JSON_PUT(at, "]}");
    job->list_bytes = (size_t)(at - job->list);
    user_unref(&core->users, user);
    call_return(core, call);
}

static void done_list(struct core *core, struct call *call)
{
    struct job *job = job_of(call);
    struct exchange *exchange = exchange_find(core, job->ref);
    if (exchange != NULL && !was_refused(core, exchange, job))
        exchange_answer_json(core, exchange, 200, (struct span){job->list, job->list_bytes});
    free(job->list);
    free(job);
}

void api_connections(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    post_job(core, exchange, request, 0, run_list, done_list);
}

/* -- closing -- */

static void run_close(struct core *core, struct call *call)
{
    struct job *job = job_of(call);
    struct user *user = user_take(&core->users, user_of(job));
    ASSERT(user != NULL);
    for (uint32_t i = 0; i < CLOSED_MAX && !list_is_empty(&user->conns); i++) {
        struct conn *conn = container_of(user->conns.next, struct conn, user_link);
        conn_close(core, conn, job->code, "disconnected by an operator");
        job->closed++;
    }
    job->has_more = !list_is_empty(&user->conns);
    user_unref(&core->users, user);
    call_return(core, call);
}

static void done_close(struct core *core, struct call *call)
{
    char body[LIMIT_ESCAPED_BYTES(LIMIT_USER_BYTES) + 64];
    struct job *job = job_of(call);
    struct exchange *exchange = exchange_find(core, job->ref);
    if (exchange != NULL && job->has_more && core->stop.step == STOP_NOT) {
        call_post(core, core_shard_of(core, user_of(job)), call);
        return;
    }
    if (exchange != NULL && !was_refused(core, exchange, job)) {
        char *at = JSON_PUT(put_user(body, job), ",\"closed\":");
        at = JSON_PUT(json_put_unsigned(at, job->closed), "}");
        exchange_answer_json(core, exchange, 200, (struct span){body, (size_t)(at - body)});
    }
    free(job);
}

/* Codes that an endpoint may send, but for those that mean a fault of the client's frames (PROTOCOL.md, close codes).
 */
static bool is_close_code(uint64_t code)
{
    return code == 1000 || code == 1001 || code == 1008 || code == 1011 || code == 1012 || code == 1013
           || (code >= 3000 && code <= 4999);
}

void api_disconnect(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    uint64_t code = CODE_DEFAULT;
    if (!http_query_number(request, "code", &code) || !is_close_code(code)) {
        exchange_refuse_as(core, exchange, ERROR_BAD_REQUEST,
                           "code must be 1000, 1001, 1008, 1011, 1012, 1013, or 3000 to 4999", 0);
        return;
    }
    post_job(core, exchange, request, (uint16_t)code, run_close, done_close);
}
