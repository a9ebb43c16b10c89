/* exchange_read.c: from the bytes of a request to its handler: parsed, checked, routed. */
#include <stdlib.h>

#include "http/exchange_private.h"
#include "server/core.h"

#define BODY_FIRST_BYTES 4096u

/* -- the body -- */

void exchange_drop_body(struct core *core, struct exchange *exchange)
{
    ASSERT(core->exchanges.body_bytes >= exchange->body_room);
    core->exchanges.body_bytes -= exchange->body_room;
    free(exchange->body);
    exchange->body = NULL;
    exchange->body_bytes = exchange->body_room = 0;
}

/* Whether so many bytes may be taken beside those of the others. Small bodies have memory of their own. */
static bool may_take(uint32_t others, uint32_t bytes)
{
    uint32_t most = bytes <= EXCHANGES_SMALL_BODY ? EXCHANGES_BODY_BYTES + EXCHANGES_SMALL_BYTES : EXCHANGES_BODY_BYTES;
    return others + bytes <= most;
}

/* Makes room for `bytes` in all. False: they exceed the memory for bodies. */
static bool grow_body(struct core *core, struct exchange *exchange, uint32_t bytes)
{
    uint32_t others = core->exchanges.body_bytes - exchange->body_room;
    uint32_t wanted = bytes < BODY_FIRST_BYTES ? BODY_FIRST_BYTES : bytes;
    if (wanted < 2 * exchange->body_room)
        wanted = 2 * exchange->body_room;
    if (!may_take(others, wanted))
        wanted = bytes;
    if (!may_take(others, wanted))
        return false;
    char *grown = realloc(exchange->body, wanted);
    if (grown == NULL)
        return false;
    exchange->body = grown;
    exchange->body_room = wanted;
    core->exchanges.body_bytes = others + wanted;
    return true;
}

void exchange_on_body(void *context, const char *data, size_t bytes)
{
    struct exchange *exchange = context;
    struct core *core = exchange->core;
    if (exchange->is_body_too_large || exchange->is_body_refused)
        return;
    if (exchange->body_bytes + bytes > exchange->route->body_bytes_max) {
        exchange->is_body_too_large = true;
        return;
    }
    uint32_t needed = exchange->body_bytes + (uint32_t)bytes;
    if (needed > exchange->body_room && !grow_body(core, exchange, needed)) {
        exchange->is_body_refused = true;
        return;
    }
    memcpy(exchange->body + exchange->body_bytes, data, bytes);
    exchange->body_bytes = needed;
}

/* -- checks of a head -- */

static const struct http_refusal body_too_large = {
    .status = 413, .code = "too_large", .message = "the body is too large: send fewer messages at once"};
static const struct http_refusal body_no_memory = {
    .status = 503, .code = "busy", .message = "the memory for bodies is used up: retry later", .retry_after_ms = 1000};

static const struct http_refusal no_place = {.status = 503,
                                             .code = "busy",
                                             .message = "programs keep too many connections: retry later",
                                             .retry_after_ms = 1000};

static const struct http_refusal too_many_calls = {.status = 503,
                                                   .code = "busy",
                                                   .message = "too many requests wait for another shard: retry later",
                                                   .retry_after_ms = 1000};

/* Whether `list`, words between blanks, has `word`. */
static bool has_word(const char *list, struct span word)
{
    for (const char *at = list; *at != '\0';) {
        size_t bytes = strcspn(at, " ");
        if (span_equal((struct span){at, bytes}, word))
            return true;
        at += bytes;
        at += strspn(at, " ");
    }
    return false;
}

static bool check_queries(const struct exchange *exchange, struct http_refusal *refusal_r)
{
    const struct http_target *target = &exchange->target;
    for (uint32_t i = 0; i < target->query_count; i++) {
        if (!has_word(exchange->route->queries, target->queries[i].name))
            return http_refuse(refusal_r, 400, "bad_request", "the query has a parameter that this path does not know");
        for (uint32_t k = 0; k < i; k++)
            if (span_equal(target->queries[i].name, target->queries[k].name))
                return http_refuse(refusal_r, 400, "bad_request", "the query has a parameter more than once");
    }
    return true;
}

static bool check_user(struct exchange *exchange, struct span segment, struct http_refusal *refusal_r)
{
    char user[3 * LIMIT_USER_BYTES];
    size_t bytes = 0;
    exchange->user_bytes = 0;
    if (segment.data == NULL)
        return true;
    if (segment.bytes > sizeof user || !http_percent_decode(segment, false, user, &bytes)
        || !request_is_user_name((struct span){user, bytes}))
        return http_refuse(refusal_r, 400, "bad_request",
                           "the path has no user name: 1 to 128 printable ASCII characters, no blanks, quotes or "
                           "backslashes; encode those with a meaning in a URL as %XX");
    memcpy(exchange->user, user, bytes);
    exchange->user_bytes = (uint8_t)bytes;
    return true;
}

static bool is_json(struct span content_type)
{
    const char *end = content_type.data == NULL ? NULL : memchr(content_type.data, ';', content_type.bytes);
    if (end != NULL)
        content_type.bytes = (size_t)(end - content_type.data);
    return span_equal_any_case(span_trim(content_type), SPAN_LITERAL("application/json"));
}

static bool check_body(const struct exchange *exchange, const struct http_request_head *head,
                       struct http_refusal *refusal_r)
{
    if ((exchange->route->flags & ROUTE_BODY) == 0)
        return !head->has_body
               || http_refuse(refusal_r, 400, "bad_request", "this request may not have a body: send it without one");
    if (!head->has_body)
        return http_refuse(refusal_r, 400, "bad_request", "this request needs a body of JSON");
    if (!is_json(head->content_type))
        return http_refuse(refusal_r, 415, "unsupported_media_type",
                           "send the body with Content-Type: application/json");
    if (head->has_length && head->content_length > exchange->route->body_bytes_max) {
        *refusal_r = body_too_large;
        return false;
    }
    if (head->expect.data != NULL && !span_equal_any_case(head->expect, SPAN_LITERAL("100-continue")))
        return http_refuse(refusal_r, 417, "expectation_failed", "only Expect: 100-continue is known");
    return true;
}

/* -- one request -- */

void exchange_begin_handling(struct core *core, struct exchange *exchange)
{
    ASSERT(exchange->state == EXCHANGE_READING || exchange->state == EXCHANGE_IDLE);
    ASSERT(exchange->conn->unanswered == 0);
    list_remove(&exchange->link);
    exchange->state = EXCHANGE_HANDLING;
    exchange->conn->unanswered = 1;
    timers_clear(shard_timers(core->shard), &exchange->conn->timer);
}

/* On a public listener anybody can ask: who may not keeps no place. */
static bool is_stranger(const struct exchange *exchange, const struct http_refusal *refusal)
{
    return !exchange->has_place
           || (exchange->kind == EXCHANGE_PUBLIC && (refusal->status == 401 || refusal->status == 403));
}

/* Who has no place was noted for that. */
static void note_refusal(struct core *core, const struct exchange *exchange, const struct http_refusal *refusal)
{
    const struct address *address = &conn_cold(core, exchange->conn)->address;
    if (refusal->status == 503 && exchange->has_place)
        refusal_note(core, REFUSAL_BUSY, address, refusal->message);
    else
        refusal_note_status(core, refusal->status, address, refusal->message);
}

/* The request is refused with an error. If its body is still to come, or a stranger sent it, the connection ends with
 * that. */
static void refuse_request(struct core *core, struct exchange *exchange, const struct http_refusal *refusal,
                           bool has_rest)
{
    exchange_begin_handling(core, exchange);
    note_refusal(core, exchange, refusal);
    if (has_rest || is_stranger(exchange, refusal))
        exchange_refuse_and_close(core, exchange, refusal);
    else
        exchange_refuse(core, exchange, refusal);
}

static bool is_on_this_listener(const struct exchange *exchange, const struct http_route *route)
{
    return exchange->kind == EXCHANGE_ADMIN || (route->flags & ROUTE_PUBLIC) != 0;
}

/* Whether the sender may, and has a place: a public connection gets its place with the first good credential. */
static bool check_sender(struct core *core, struct exchange *exchange, const struct http_request_head *head,
                         struct http_refusal *refusal_r)
{
    bool is_public = exchange->kind == EXCHANGE_PUBLIC;
    if (!credential_check(core, exchange->conn, is_public, head, &exchange->credential, refusal_r))
        return false;
    if (exchange->has_place || exchange_take_place(core, exchange))
        return true;
    refusal_note(core, REFUSAL_EXCHANGES, &conn_cold(core, exchange->conn)->address, NULL);
    *refusal_r = no_place;
    return false;
}

/* Checks all of a head. False: the request is answered, and `exchange` may be gone. */
static bool take_head(struct core *core, struct exchange *exchange, bool has_rest)
{
    char allow[ROUTE_ALLOW_BYTES];
    struct span segment;
    struct http_refusal refusal;
    const struct http_request_head *head = http_parser_head(exchange->parser);
    exchange->is_head = head->method == METHOD_HEAD;
    exchange->keeps_alive = head->keeps_alive;
    exchange->is_chunked = head->minor >= 1;
    exchange->is_body_too_large = exchange->is_body_refused = false;
    const char *wrong = http_target_read(head->target, head->target_bytes, &exchange->target);
    enum http_method method = exchange->is_head ? METHOD_GET : head->method;
    enum route_verdict verdict = http_route_find(core->exchanges.routes, core->exchanges.route_count, method,
                                                 exchange->target.path, &exchange->route, &segment, allow);
    bool is_open = verdict == ROUTE_FOUND && (exchange->route->flags & ROUTE_OPEN) != 0;
    exchange->credential = (struct credential){.kind = HTTP_NOBODY};
    bool is_good = is_open || check_sender(core, exchange, head, &refusal);
    if (is_good && wrong != NULL)
        is_good = http_refuse(&refusal, 400, "bad_request", wrong);
    if (is_good && verdict == ROUTE_UNKNOWN_METHOD) {
        exchange_begin_handling(core, exchange);
        exchange->keeps_alive &= !has_rest;
        exchange_answer_allow(core, exchange, method == METHOD_OPTIONS ? 204 : 405, allow);
        return false;
    }
    if (is_good && (verdict == ROUTE_UNKNOWN_PATH || !is_on_this_listener(exchange, exchange->route)))
        is_good =
            http_refuse(&refusal, 404, "not_found", "there is nothing at this path: docs/openapi.yaml has all paths");
    is_good = is_good && check_user(exchange, segment, &refusal) && check_queries(exchange, &refusal)
              && check_body(exchange, head, &refusal);
    if (!is_good)
        refuse_request(core, exchange, &refusal, has_rest);
    return is_good;
}

static void handle(struct core *core, struct exchange *exchange)
{
    struct http_request request = {.method = exchange->route->method,
                                   .user = {exchange->user, exchange->user_bytes},
                                   .body = exchange->body,
                                   .body_bytes = exchange->body_bytes,
                                   .target = &exchange->target,
                                   .credential = exchange->credential.kind,
                                   .actor = {exchange->credential.actor, exchange->credential.actor_bytes}};
    turn_spend(&core->turn, TURN_INPUT, TURN_HEAD_FRAMES);
    exchange_begin_handling(core, exchange);
    exchange->route->handler(core, exchange, &request);
}

/* The head of a request with a body: asks for it, unless it is refused. */
static void on_head(struct core *core, struct exchange *exchange)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct span expect = http_parser_head(exchange->parser)->expect;
    if (take_head(core, exchange, true) && expect.data != NULL)
        conn_write(core, exchange->conn, go_on, sizeof go_on - 1);
}

static void on_end(struct core *core, struct exchange *exchange)
{
    bool has_body = http_parser_head(exchange->parser)->has_body;
    if (!has_body && !take_head(core, exchange, false))
        return;
    if (!calls_have_room(&core->calls))
        refuse_request(core, exchange, &too_many_calls, false);
    else if (exchange->is_body_too_large)
        refuse_request(core, exchange, &body_too_large, false);
    else if (exchange->is_body_refused)
        refuse_request(core, exchange, &body_no_memory, false);
    else
        handle(core, exchange);
}

static void on_error(struct core *core, struct exchange *exchange, const struct http_fed *fed)
{
    const char *code = fed->status == 431   ? "too_large"
                       : fed->status == 501 ? "not_implemented"
                       : fed->status == 505 ? "http_version"
                                            : "bad_request";
    exchange->is_head = false;
    refuse_request(core, exchange, &(struct http_refusal){.status = fed->status, .code = code, .message = fed->message},
                   true);
}

void exchanges_on_input(struct core *core, struct conn *conn, char **data, size_t *bytes)
{
    struct exchange *exchange = conn->work->exchange;
    ASSERT(exchange->state == EXCHANGE_IDLE || exchange->state == EXCHANGE_READING);
    struct http_fed fed = http_parser_feed(exchange->parser, *data, *bytes);
    size_t used = fed.event == HTTP_EVENT_ERROR ? *bytes : fed.used;
    *data += used;
    *bytes -= used;
    if (exchange->state == EXCHANGE_IDLE && http_parser_is_inside(exchange->parser)) {
        exchange->state = EXCHANGE_READING;
        exchange_set_deadline(core, exchange, EXCHANGE_REQUEST_FACTOR);
    }
    switch (fed.event) {
    case HTTP_EVENT_MORE:
        if (exchange->is_body_too_large || exchange->is_body_refused)
            refuse_request(core, exchange, exchange->is_body_too_large ? &body_too_large : &body_no_memory, true);
        return;
    case HTTP_EVENT_HEAD: on_head(core, exchange); return;
    case HTTP_EVENT_END: on_end(core, exchange); return;
    case HTTP_EVENT_ERROR: on_error(core, exchange, &fed); return;
    }
}
