/* api_batch.c: POST /api/v1/messages:batch (batches.h). */
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "api/batch_scan.h"
#include "api/batches.h"
#include "protocol/json_put.h"
#include "server/core.h"

/* A result with an error, but for the text of its message; the longest message. */
#define ERROR_BYTES 128u
#define ERROR_MESSAGE_BYTES 300u

struct batch;

/* The messages of a batch for the users of one shard. */
struct part {
    struct batch *batch;
    struct call call;
    struct post_group group;
    struct post **end; /* where the next post of the group goes */
};

struct batch {
    struct list link; /* in core->batches.reading */
    struct core *conn_core;
    struct exchange_ref ref;
    struct address address;
    struct batch_scan scan; /* of the body, which is borrowed as long as the exchange can be found */
    struct post *posts;     /* in the order of the body; owned, capacity post_room */
    uint32_t post_room;
    char *copies; /* of the spans of posts; owned, capacity copy_room */
    size_t copied;
    size_t copy_room;
    uint32_t parts_begun;
    uint32_t parts_out;
    struct part parts[]; /* one for each shard */
};

void batches_init(struct batches *batches)
{
    *batches = (struct batches){.count = 0};
    list_init(&batches->reading);
}

static void batch_free(struct core *core, struct batch *batch)
{
    ASSERT(batch->parts_out == 0 && core->batches.count > 0);
    ASSERT(core->batches.bytes >= batch->copy_room);
    list_remove(&batch->link);
    core->batches.count--;
    core->batches.bytes -= batch->copy_room;
    free(batch->posts);
    free(batch->copies);
    free(batch);
}

static struct batch *batch_make(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    uint32_t shards = core->server->core_count;
    if (core->batches.bytes + request->body_bytes > BATCHES_BYTES_MAX)
        return NULL;
    struct batch *batch = calloc(1, sizeof *batch + shards * sizeof batch->parts[0]);
    if (batch == NULL)
        return NULL;
    batch->copies = malloc(request->body_bytes + 1);
    if (batch->copies == NULL) {
        free(batch);
        return NULL;
    }
    list_init(&batch->link);
    batch->conn_core = core;
    batch->ref = exchange_ref(exchange);
    batch->address = exchange_address(core, exchange);
    batch->scan = (struct batch_scan){.data = request->body, .bytes = request->body_bytes};
    batch->copy_room = request->body_bytes;
    core->batches.count++;
    core->batches.bytes += batch->copy_room;
    return batch;
}

/* -- results -- */

static char *put_error(char *at, const struct post *post)
{
    at = JSON_PUT(at, ",\"error\":\"");
    at = json_put_span(at, error_code_name(post->code));
    at = JSON_PUT(at, "\",\"message\":\"");
    at = json_put_escaped(at, json_cut(span_of(post->message), ERROR_MESSAGE_BYTES));
    at = JSON_PUT(at, "\"");
    uint32_t retry_after_ms = exchange_retry_after_ms(post->code, post->retry_after_ms);
    if (retry_after_ms == 0)
        return at;
    at = JSON_PUT(at, ",\"retry_after\":");
    return json_put_unsigned(at, retry_after_ms);
}

static char *put_result(char *at, const struct post *post)
{
    at = JSON_PUT(at, "{\"status\":");
    at = json_put_unsigned(at, post->code == ERROR_NONE ? 200 : exchange_status_of(post->code));
    at = post->code == ERROR_NONE ? api_put_stored(JSON_PUT(at, ","), post) : put_error(at, post);
    return JSON_PUT(at, "}");
}

static void answer(struct core *core, struct exchange *exchange, const struct batch *batch)
{
    size_t bytes = 64;
    for (uint32_t i = 0; i < batch->scan.found; i++)
        bytes += batch->posts[i].code == ERROR_NONE ? API_RESULT_BYTES : ERROR_BYTES + ERROR_MESSAGE_BYTES;
    char *body = malloc(bytes);
    if (body == NULL) {
        exchange_refuse_as(core, exchange, ERROR_UNAVAILABLE,
                           "no memory for the results: the messages may be stored: send again with the same keys", 0);
        return;
    }
    char *at = JSON_PUT(body, "{\"results\":[");
    for (uint32_t i = 0; i < batch->scan.found; i++) {
        at = i > 0 ? JSON_PUT(at, ",") : at;
        at = put_result(at, &batch->posts[i]);
        refusal_note_error(core, batch->posts[i].code, &batch->address, batch->posts[i].message);
    }
    at = JSON_PUT(at, "]}");
    ASSERT((size_t)(at - body) <= bytes);
    exchange_answer_json(core, exchange, 200, (struct span){body, (size_t)(at - body)});
    free(body);
}

/* -- sending -- */

static void batch_go(struct core *core, struct batch *batch);

static void on_sent(struct core *core, struct post_group *group)
{
    call_return(core, &container_of(group, struct part, group)->call);
}

static void run(struct core *core, struct call *call)
{
    posts_take(core, &container_of(call, struct part, call)->group);
}

static void done(struct core *core, struct call *call)
{
    struct batch *batch = container_of(call, struct part, call)->batch;
    ASSERT(core == batch->conn_core && batch->parts_out > 0);
    batch->parts_out--;
    batch_go(core, batch);
}

/* Posts further parts; answers when all are back. */
static void batch_go(struct core *core, struct batch *batch)
{
    uint32_t shards = core->server->core_count;
    struct exchange *exchange = exchange_find(core, batch->ref);
    if (exchange == NULL)
        batch->parts_begun = shards;
    while (batch->parts_begun < shards && (batch->parts_out == 0 || calls_have_room(&core->calls))) {
        uint32_t to = batch->parts_begun++;
        struct part *part = &batch->parts[to];
        if (part->group.count == 0)
            continue;
        batch->parts_out++;
        call_post(core, to, &part->call);
    }
    if (batch->parts_out > 0)
        return;
    if (exchange != NULL)
        answer(core, exchange, batch);
    batch_free(core, batch);
}

/* All is read: divides the messages among the shards of their users. Those that are refused already go nowhere. */
static void batch_send(struct core *core, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->scan.found; i++) {
        struct post *post = &batch->posts[i];
        if (post->code != ERROR_NONE)
            continue;
        struct part *part = &batch->parts[core_shard_of(core, post->from)];
        if (part->group.count++ == 0) {
            part->batch = batch;
            part->call = (struct call){.run = run, .done = done};
            part->group.on_done = on_sent;
            part->group.address = batch->address;
            part->end = &part->group.first;
        }
        *part->end = post;
        part->end = &post->next;
    }
    batch_go(core, batch);
}

/* -- reading -- */

static struct span copy_span(struct batch *batch, struct span span)
{
    char *to = batch->copies + batch->copied;
    ASSERT(batch->copied + span.bytes <= batch->copy_room);
    if (span.bytes > 0)
        memcpy(to, span.data, span.bytes);
    batch->copied += span.bytes;
    return (struct span){to, span.bytes};
}

static bool reserve_post(struct batch *batch)
{
    if (batch->scan.found <= batch->post_room)
        return true;
    uint32_t room = batch->post_room == 0 ? 64 : 2 * batch->post_room;
    struct post *posts = realloc(batch->posts, room * sizeof *posts);
    if (posts == NULL)
        return false;
    batch->posts = posts;
    batch->post_room = room;
    return true;
}

/* Refuses the request: nothing was sent. */
static void batch_refuse(struct core *core, struct batch *batch, struct exchange *exchange, enum error_code code,
                         const char *message)
{
    char text[ERROR_MESSAGE_BYTES + 64];
    (void)snprintf(text, sizeof text, "message %u: %s; nothing was sent", batch->scan.found, message);
    exchange_refuse_as(core, exchange, code, text, code == ERROR_BUSY ? 1000 : 0);
    batch_free(core, batch);
}

/* Takes one message of the body. False: the batch is refused. */
static bool take_message(struct core *core, struct batch *batch, struct exchange *exchange, char *data, size_t bytes)
{
    struct request_post asked;
    struct request_error error;
    if (batch->scan.found > BATCH_MESSAGES_MAX) {
        batch_refuse(core, batch, exchange, ERROR_TOO_LARGE, "a batch has 1000 messages at most: send more batches");
        return false;
    }
    if (!reserve_post(batch)) {
        batch_refuse(core, batch, exchange, ERROR_BUSY, "no memory for the batch: wait and send again");
        return false;
    }
    struct post *post = &batch->posts[batch->scan.found - 1];
    *post = (struct post){.code = ERROR_NONE};
    if (request_read_post(core->conns.request_reader, data, bytes, &asked, &error)) {
        post->from = copy_span(batch, asked.from);
        post->send.to = copy_span(batch, asked.send.to);
        post->send.text = copy_span(batch, asked.send.text);
        post->send.key = copy_span(batch, asked.send.key);
        return true;
    }
    if (error.code == ERROR_BAD_JSON) {
        batch_refuse(core, batch, exchange, ERROR_BAD_JSON, error.message);
        return false;
    }
    post->code = error.code;
    post->message = error.message;
    return true;
}

/* The scan has found no object. */
static void end_reading(struct core *core, struct batch *batch, struct exchange *exchange, enum batch_found found)
{
    if (found == BATCH_LONG)
        batch_refuse(core, batch, exchange, ERROR_TOO_LARGE, "the next message is longer than 128 KiB");
    else if (found == BATCH_BAD)
        batch_refuse(core, batch, exchange, ERROR_BAD_JSON,
                     "after it the body is not of the form {\"messages\":[{\"from\":...,\"to\":...},...]}");
    else if (batch->scan.found == 0)
        batch_refuse(core, batch, exchange, ERROR_BAD_REQUEST, "messages must hold at least one");
    else
        batch_send(core, batch);
}

/* Reads a share, as far as `may` allows. False: more is left. Else the batch is read, or gone. */
static bool batch_read(struct core *core, struct batch *batch,
                       bool (*may)(const struct turn *turn, enum turn_kind kind))
{
    uint32_t used = 0;
    char *data;
    size_t bytes;
    struct exchange *exchange = exchange_find(core, batch->ref);
    if (exchange == NULL) {
        batch_free(core, batch);
        return true;
    }
    for (;;) {
        if (used >= TURN_INPUT_SHARE || !may(&core->turn, TURN_INPUT))
            return false;
        size_t before = batch->scan.at;
        enum batch_found found = batch_scan_next(&batch->scan, &data, &bytes);
        uint32_t units = 1 + 2 * (uint32_t)((batch->scan.at - before) / TURN_FRAME_BYTES); /* scanned, then read */
        used += units;
        turn_spend(&core->turn, TURN_INPUT, units);
        if (found != BATCH_OBJECT) {
            end_reading(core, batch, exchange, found);
            return true;
        }
        if (!take_message(core, batch, exchange, data, bytes))
            return true;
    }
}

void batches_continue(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (!list_is_empty(&core->batches.reading) && turn_may_carry(&core->turn, TURN_INPUT)) {
        struct batch *batch = container_of(list_shift(&core->batches.reading), struct batch, link);
        if (!batch_read(core, batch, turn_may_carry))
            list_append(&core->batches.reading, &batch->link);
    }
}

void api_send_batch(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    struct batch *batch = batch_make(core, exchange, request);
    if (batch == NULL)
        exchange_refuse_as(core, exchange, ERROR_BUSY, "no memory for the batch: wait and send again", 1000);
    else if (!batch_read(core, batch, turn_may))
        list_append(&core->batches.reading, &batch->link);
}
