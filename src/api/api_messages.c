/* api_messages.c: POST /api/v1/messages: one message, sent as any user. The shard of the connection reads it, the shard
 * of the user sends it (timeline/posts.h). */
#include <stdlib.h>

#include "api/api.h"
#include "protocol/json_put.h"
#include "protocol/reply.h"
#include "server/core.h"

/* A message that a program sends. The job is freed when the message has its outcome, not when the connection ends. */
struct message_job {
    struct call call; /* not used if the user is of the shard of the connection */
    struct exchange_ref ref;
    struct core *conn_core; /* of the connection */
    struct post_group group;
    struct post post;
    char bytes[]; /* of the spans of `post` */
};

static struct span copy_span(char **at, struct span span)
{
    char *to = *at;
    if (span.bytes > 0)
        memcpy(to, span.data, span.bytes);
    *at += span.bytes;
    return (struct span){to, span.bytes};
}

static void answer_stored(struct core *core, struct exchange *exchange, const struct post *post)
{
    char body[API_RESULT_BYTES];
    char *at = api_put_stored(JSON_PUT(body, "{"), post);
    at = JSON_PUT(at, "}");
    exchange_answer_json(core, exchange, 200, (struct span){body, (size_t)(at - body)});
}

static void finish(struct core *core, struct message_job *job)
{
    const struct post *post = &job->post;
    struct exchange *exchange = exchange_find(core, job->ref);
    ASSERT(core == job->conn_core);
    if (exchange != NULL && post->code == ERROR_NONE)
        answer_stored(core, exchange, post);
    else if (exchange != NULL)
        exchange_refuse_as(core, exchange, post->code, post->message, post->retry_after_ms);
    free(job);
}

/* On the shard of the user. */
static void on_sent(struct core *core, struct post_group *group)
{
    struct message_job *job = container_of(group, struct message_job, group);
    if (core == job->conn_core)
        finish(core, job);
    else
        call_return(core, &job->call);
}

static void run(struct core *core, struct call *call)
{
    posts_take(core, &container_of(call, struct message_job, call)->group);
}

static void done(struct core *core, struct call *call)
{
    finish(core, container_of(call, struct message_job, call));
}

static struct message_job *make_job(struct core *core, struct exchange *exchange, const struct request_post *asked)
{
    const struct request_send *send = &asked->send;
    size_t bytes = asked->from.bytes + send->to.bytes + send->text.bytes + send->key.bytes;
    struct message_job *job = malloc(sizeof *job + bytes);
    if (job == NULL)
        return NULL;
    char *at = job->bytes;
    job->call = (struct call){.run = run, .done = done};
    job->ref = exchange_ref(exchange);
    job->conn_core = core;
    job->post = (struct post){.from = copy_span(&at, asked->from)};
    job->post.send.to = copy_span(&at, send->to);
    job->post.send.text = copy_span(&at, send->text);
    job->post.send.key = copy_span(&at, send->key);
    job->group = (struct post_group){
        .first = &job->post, .count = 1, .address = exchange_address(core, exchange), .on_done = on_sent};
    return job;
}

void api_send_message(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    struct request_post asked;
    struct request_error error;
    turn_spend(&core->turn, TURN_INPUT, (uint32_t)(request->body_bytes / TURN_FRAME_BYTES));
    if (!request_read_post(core->conns.request_reader, request->body, request->body_bytes, &asked, &error)) {
        exchange_refuse_as(core, exchange, error.code, error.message, 0);
        return;
    }
    struct message_job *job = make_job(core, exchange, &asked);
    if (job == NULL) {
        exchange_refuse_as(core, exchange, ERROR_BUSY, "no memory for the message: wait and send again", 1000);
        return;
    }
    uint32_t to = core_shard_of(core, job->post.from);
    if (to == core->index)
        posts_take(core, &job->group);
    else
        call_post(core, to, &job->call);
}

char *api_put_stored(char *at, const struct post *post)
{
    at = JSON_PUT(at, "\"ts\":");
    at = json_put_unsigned(at, post->ts);
    at = JSON_PUT(at, ",\"mid\":\"");
    reply_write_mid(at, post->mid);
    at = JSON_PUT(at + LIMIT_MID_CHARS, "\"");
    return post->is_dup ? JSON_PUT(at, ",\"dup\":true") : at;
}
