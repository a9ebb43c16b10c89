/* exchange.c: answers: written whole, later or in pieces. */
#include "http/exchange.h"

#include <stdio.h>

#include "http/exchange_private.h"
#include "protocol/json_put.h"
#include "server/core.h"

#define HEAD_BYTES_MAX 768u
#define TYPE_JSON "application/json"
#define MESSAGE_BYTES_MAX 512u
/* A stream is asked for more while less than this waits for the client. */
#define STREAM_PAUSE_BYTES (256u << 10)

/* -- requests -- */

struct span http_query(const struct http_request *request, const char *name)
{
    const struct http_target *target = request->target;
    for (uint32_t i = 0; i < target->query_count; i++)
        if (span_equal(target->queries[i].name, span_of(name)))
            return target->queries[i].value;
    return (struct span){0};
}

bool http_query_number(const struct http_request *request, const char *name, uint64_t *value_r)
{
    struct span text = http_query(request, name);
    uint64_t value = 0;
    if (text.data == NULL)
        return true;
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.data[i];
        if (c < '0' || c > '9' || i == 16) /* LIMIT_TS_MAX has 16 digits */
            return false;
        value = 10 * value + (uint64_t)(c - '0');
    }
    if (text.bytes == 0 || value > LIMIT_TS_MAX)
        return false;
    *value_r = value;
    return true;
}

/* -- heads -- */

/* What the head of an answer says; texts without bytes are left out. */
struct answer {
    uint16_t status;
    const char *content_type; /* NULL: there is no body */
    const char *more;         /* further headers, each with its line end */
    size_t body_bytes;
    bool is_stream;
};

static enum metrics_answer class_of(uint16_t status)
{
    return status < 400 ? METRICS_ANSWER_2XX : status < 500 ? METRICS_ANSWER_4XX : METRICS_ANSWER_5XX;
}

static void write_head(struct core *core, const struct exchange *exchange, const struct answer *answer)
{
    char head[HEAD_BYTES_MAX];
    char length[64] = "";
    const char *type = answer->content_type;
    if (answer->is_stream && exchange->is_chunked)
        (void)snprintf(length, sizeof length, "Transfer-Encoding: chunked\r\n");
    else if (!answer->is_stream && answer->status != 204)
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", answer->body_bytes);
    bool keeps_alive = exchange->keeps_alive && core->stop.step == STOP_NOT;
    int bytes =
        snprintf(head, sizeof head, "HTTP/1.1 %u %s\r\n%s%s%s%s%sCache-Control: no-store\r\n%s%s\r\n", answer->status,
                 http_status_name(answer->status), type == NULL ? "" : "Content-Type: ", type == NULL ? "" : type,
                 type == NULL ? "" : "\r\nX-Content-Type-Options: nosniff\r\n", length, answer->more,
                 keeps_alive ? "" : "Connection: close\r\n",
                 /* HTTP/1.0 keeps a connection only when both sides say so. */
                 keeps_alive && !exchange->is_chunked ? "Connection: keep-alive\r\n" : "");
    ASSERT(bytes > 0 && (size_t)bytes < sizeof head);
    metric_add(&core->metrics.answers[class_of(answer->status)], 1);
    conn_write(core, exchange->conn, head, (size_t)bytes);
}

/* `exchange` may be gone after it. */
static void answer_whole(struct core *core, struct exchange *exchange, struct answer answer, struct span body)
{
    ASSERT(exchange->state == EXCHANGE_HANDLING);
    answer.body_bytes = body.bytes;
    write_head(core, exchange, &answer);
    if (!exchange->is_head && body.bytes > 0)
        conn_write(core, exchange->conn, body.data, body.bytes);
    exchange_end(core, exchange);
}

void exchange_answer(struct core *core, struct exchange *exchange, uint16_t status, const char *content_type,
                     struct span body)
{
    answer_whole(core, exchange, (struct answer){.status = status, .content_type = content_type, .more = ""}, body);
}

void exchange_answer_json(struct core *core, struct exchange *exchange, uint16_t status, struct span body)
{
    exchange_answer(core, exchange, status, TYPE_JSON, body);
}

void exchange_answer_allow(struct core *core, struct exchange *exchange, uint16_t status, const char *allow)
{
    char more[ROUTE_ALLOW_BYTES + 16];
    struct span body = {0};
    (void)snprintf(more, sizeof more, "Allow: %s\r\n", allow);
    if (status == 405)
        body =
            SPAN_LITERAL("{\"error\":\"method_not_allowed\",\"message\":\"the path does not have this method: use one "
                         "of the Allow header\"}");
    answer_whole(core, exchange,
                 (struct answer){.status = status, .content_type = status == 405 ? TYPE_JSON : NULL, .more = more},
                 body);
}

/* -- errors -- */

void exchange_refuse(struct core *core, struct exchange *exchange, const struct http_refusal *refusal)
{
    char body[MESSAGE_BYTES_MAX + 128];
    char more[64] = "";
    char *at = JSON_PUT(body, "{\"error\":\"");
    at = json_put_span(at, span_of(refusal->code));
    at = JSON_PUT(at, "\",\"message\":\"");
    at = json_put_escaped(at, json_cut(span_of(refusal->message), MESSAGE_BYTES_MAX));
    at = JSON_PUT(at, "\"");
    if (refusal->retry_after_ms > 0) {
        at = JSON_PUT(at, ",\"retry_after\":");
        at = json_put_unsigned(at, refusal->retry_after_ms);
        (void)snprintf(more, sizeof more, "Retry-After: %u\r\n", (refusal->retry_after_ms + 999) / 1000);
    } else if (refusal->status == 401) {
        (void)snprintf(more, sizeof more, "WWW-Authenticate: Bearer\r\n");
    }
    at = JSON_PUT(at, "}");
    answer_whole(core, exchange, (struct answer){.status = refusal->status, .content_type = TYPE_JSON, .more = more},
                 (struct span){body, (size_t)(at - body)});
}

void exchange_refuse_and_close(struct core *core, struct exchange *exchange, const struct http_refusal *refusal)
{
    exchange->keeps_alive = false;
    exchange_refuse(core, exchange, refusal);
}

/* The WebSocket protocol names no time after `unavailable`: its clients wait for a random one that grows. */
#define UNAVAILABLE_RETRY_MS 5000u

uint16_t exchange_status_of(enum error_code code)
{
    switch (code) {
    case ERROR_BAD_TOKEN:
    case ERROR_NOT_LOGGED_IN: return 401;
    case ERROR_UNKNOWN_OP: return 404;
    case ERROR_KEY_CONFLICT:
    case ERROR_ALREADY_LOGGED_IN: return 409;
    case ERROR_TOO_LARGE: return 413;
    case ERROR_RATE_LIMITED: return 429;
    case ERROR_BUSY:
    case ERROR_UNAVAILABLE: return 503;
    default: return 400;
    }
}

uint32_t exchange_retry_after_ms(enum error_code code, uint32_t retry_after_ms)
{
    return code == ERROR_UNAVAILABLE && retry_after_ms == 0 ? UNAVAILABLE_RETRY_MS : retry_after_ms;
}

void exchange_refuse_as(struct core *core, struct exchange *exchange, enum error_code code, const char *message,
                        uint32_t retry_after_ms)
{
    char name[32];
    struct span span = error_code_name(code);
    refusal_note_error(core, code, &conn_cold(core, exchange->conn)->address, message);
    (void)snprintf(name, sizeof name, "%.*s", (int)span.bytes, span.data);
    exchange_refuse(core, exchange,
                    &(struct http_refusal){.status = exchange_status_of(code),
                                           .code = name,
                                           .message = message,
                                           .retry_after_ms = exchange_retry_after_ms(code, retry_after_ms)});
}

/* -- later -- */

struct address exchange_address(struct core *core, const struct exchange *exchange)
{
    return conn_cold(core, exchange->conn)->address;
}

struct exchange_ref exchange_ref(const struct exchange *exchange)
{
    ASSERT(exchange->state == EXCHANGE_HANDLING || exchange->state == EXCHANGE_STREAMING);
    return (struct exchange_ref){conn_ref(exchange->conn), exchange->number};
}

struct exchange *exchange_find(struct core *core, struct exchange_ref ref)
{
    struct conn *conn = conn_of_ref(core, ref.conn);
    if (conn == NULL || conn->state != CONN_API)
        return NULL;
    struct exchange *exchange = conn->work->exchange;
    bool is_open = exchange->state == EXCHANGE_HANDLING || exchange->state == EXCHANGE_STREAMING;
    return is_open && exchange->number == ref.number ? exchange : NULL;
}

/* -- in pieces -- */

void exchange_queue_more(struct core *core, struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_STREAMING && !exchange->is_asked && !list_is_linked(&exchange->link)
        && exchange_has_room(core, exchange))
        list_append(&core->exchanges.asking, &exchange->link);
}

static void write_stream_head(struct core *core, struct exchange *exchange, uint16_t status, const char *content_type)
{
    ASSERT(exchange->state == EXCHANGE_HANDLING);
    exchange->keeps_alive &= exchange->is_chunked;
    write_head(core, exchange,
               &(struct answer){.status = status, .content_type = content_type, .more = "", .is_stream = true});
}

bool exchange_answer_head(struct core *core, struct exchange *exchange, uint16_t status, const char *content_type)
{
    if (!exchange->is_head)
        return false;
    write_stream_head(core, exchange, status, content_type);
    exchange_end(core, exchange);
    return true;
}

void exchange_stream(struct core *core, struct exchange *exchange, uint16_t status, const char *content_type,
                     const struct exchange_stream *stream)
{
    ASSERT(stream->on_more != NULL && stream->on_gone != NULL);
    write_stream_head(core, exchange, status, content_type);
    exchange->state = EXCHANGE_STREAMING;
    exchange->stream = *stream;
    exchange->is_asked = false;
    exchange_set_timer(core, exchange);
    exchange_queue_more(core, exchange);
}

void exchange_write(struct core *core, struct exchange *exchange, struct span piece)
{
    char size[16];
    ASSERT(exchange->state == EXCHANGE_STREAMING);
    ASSERT(piece.bytes > 0 && piece.bytes <= HTTP_PIECE_BYTES_MAX);
    exchange->is_asked = false;
    if (!exchange->is_head) {
        bool is_first = exchange->conn->out_bytes == 0;
        int bytes = snprintf(size, sizeof size, "%zx\r\n", piece.bytes);
        if (exchange->is_chunked)
            conn_write(core, exchange->conn, size, (size_t)bytes);
        conn_write(core, exchange->conn, piece.data, piece.bytes);
        if (exchange->is_chunked)
            conn_write(core, exchange->conn, "\r\n", 2);
        if (is_first)
            exchange_set_timer(core, exchange);
    }
    exchange_queue_more(core, exchange);
}

bool exchange_has_room(struct core *core, const struct exchange *exchange)
{
    return exchange->conn->out_bytes < backpressure_pause_bytes(core, STREAM_PAUSE_BYTES);
}

void exchange_finish(struct core *core, struct exchange *exchange)
{
    ASSERT(exchange->state == EXCHANGE_STREAMING);
    if (!exchange->is_head && exchange->is_chunked)
        conn_write(core, exchange->conn, "0\r\n\r\n", 5);
    exchange_end(core, exchange);
}

void exchange_cut(struct core *core, struct exchange *exchange)
{
    conn_drop(core, exchange->conn);
}
