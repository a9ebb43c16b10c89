/* api_erase.c: a user's timeline is erased, on the user's shard. */
#include <stdlib.h>

#include "api/api.h"
#include "protocol/json_put.h"
#include "server/core.h"

#define RETRY_MS 1000u

struct job {
    struct call call;
    struct exchange_ref ref;
    struct erasure erasure;
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

static void on_erased(struct core *core, struct erasure *erasure)
{
    call_return(core, &container_of(erasure, struct job, erasure)->call);
}

static void run_erase(struct core *core, struct call *call)
{
    struct job *job = container_of(call, struct job, call);
    job->erasure.done = on_erased;
    erasure_begin(core, (struct span){job->user, job->user_bytes}, &job->erasure);
}

static void answer(struct core *core, struct exchange *exchange, const struct job *job)
{
    char body[LIMIT_ESCAPED_BYTES(LIMIT_USER_BYTES) + 64];
    switch ((enum erasure_outcome)job->erasure.outcome) {
    case ERASURE_DONE: break;
    case ERASURE_BUSY:
        exchange_refuse_as(core, exchange, ERROR_BUSY, "there is no room for an erasure now: wait and repeat it",
                           RETRY_MS);
        return;
    case ERASURE_FULL:
        exchange_refuse_as(core, exchange, ERROR_UNAVAILABLE,
                           "this shard has as many erased users as it can keep: nothing was erased", 0);
        return;
    case ERASURE_REFUSED:
    case ERASURE_UNKNOWN:
        exchange_refuse_as(core, exchange, ERROR_UNAVAILABLE,
                           "the store has failed: repeat the erasure after a restart or a failover", 0);
        return;
    }
    char *at = JSON_PUT(body, "{\"user\":\"");
    at = json_put_escaped(at, (struct span){job->user, job->user_bytes});
    at = JSON_PUT(at, "\",\"first\":");
    at = JSON_PUT(json_put_unsigned(at, job->erasure.ts), "}");
    exchange_answer_json(core, exchange, 200, (struct span){body, (size_t)(at - body)});
}

static void done_erase(struct core *core, struct call *call)
{
    struct job *job = container_of(call, struct job, call);
    struct exchange *exchange = exchange_find(core, job->ref);
    if (exchange != NULL)
        answer(core, exchange, job);
    free(job);
}

void api_erase(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    struct job *job = calloc(1, sizeof *job);
    ASSERT(job != NULL);
    job->call.run = run_erase;
    job->call.done = done_erase;
    job->ref = exchange_ref(exchange);
    job->user_bytes = (uint8_t)request->user.bytes;
    memcpy(job->user, request->user.data, request->user.bytes);
    call_post(core, core_shard_of(core, request->user), &job->call);
}
