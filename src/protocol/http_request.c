#include "protocol/http_request.h"

#include <llhttp.h>

#include "base/assert.h"

enum field {
    FIELD_HOST,
    FIELD_AUTHORIZATION,
    FIELD_TYPE,
    FIELD_SINGLE,
    FIELD_ORIGIN = FIELD_SINGLE,
    FIELD_EXPECT,
    FIELD_CODING,
    FIELD_COUNT
};

/* Fields before FIELD_SINGLE may come once. */
static const char *const field_names[FIELD_COUNT] = {
    [FIELD_HOST] = "host",         [FIELD_AUTHORIZATION] = "authorization",
    [FIELD_TYPE] = "content-type", [FIELD_ORIGIN] = "origin",
    [FIELD_EXPECT] = "expect",     [FIELD_CODING] = "transfer-encoding",
};

struct http_parser {
    llhttp_t parser;
    http_on_body on_body;
    void *context;
    uint32_t bytes; /* of `text` so far */
    bool is_head_complete;
    bool is_complete;
    bool is_over; /* an error was given */
    bool has_repeated;
    bool has_odd_name;
    struct span target;
    struct span name;
    struct span value;
    struct span fields[FIELD_COUNT];
    struct http_request_head head;
    char text[HTTP_REQUEST_HEAD_BYTES_MAX];
};

struct span http_method_name(enum http_method method)
{
    static const char *const names[] = {
        [METHOD_GET] = "GET",     [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",      [METHOD_PUT] = "PUT",
        [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS"};
    ASSERT(method < METHOD_OTHER);
    return span_of(names[method]);
}

static enum http_method method_of(uint8_t number)
{
    switch (number) {
    case HTTP_GET: return METHOD_GET;
    case HTTP_HEAD: return METHOD_HEAD;
    case HTTP_POST: return METHOD_POST;
    case HTTP_PUT: return METHOD_PUT;
    case HTTP_PATCH: return METHOD_PATCH;
    case HTTP_DELETE: return METHOD_DELETE;
    case HTTP_OPTIONS: return METHOD_OPTIONS;
    default: return METHOD_OTHER;
    }
}

/* The head lies in one piece, so the parts that llhttp reports are one span that grows. */
static int on_url(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = llhttp->data;
    span_grow(&parser->target, at, bytes);
    return 0;
}

/* Trailers, behind a chunked body, are not kept. */
static int on_header_field(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = llhttp->data;
    if (!parser->is_head_complete)
        span_grow(&parser->name, at, bytes);
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = llhttp->data;
    if (!parser->is_head_complete)
        span_grow(&parser->value, at, bytes);
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct http_parser *parser = llhttp->data;
    if (parser->is_head_complete)
        return 0;
    /* Blanks in or behind a name (RFC 9112, 5.1): llhttp takes them. */
    parser->has_odd_name |= memchr(parser->name.data, ' ', parser->name.bytes) != NULL;
    if (parser->value.data == NULL)
        parser->value = SPAN_LITERAL("");
    for (int field = 0; field < FIELD_COUNT; field++) {
        if (!span_equal_any_case(parser->name, span_of(field_names[field])))
            continue;
        parser->has_repeated |= parser->fields[field].data != NULL && (field < FIELD_SINGLE || field == FIELD_CODING);
        parser->fields[field] = span_trim(parser->value);
    }
    parser->name = parser->value = (struct span){0};
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct http_parser *parser = llhttp->data;
    const struct span *fields = parser->fields;
    bool has_length = (llhttp->flags & F_CONTENT_LENGTH) != 0;
    parser->is_head_complete = true;
    parser->head = (struct http_request_head){
        .method = method_of(llhttp->method),
        .target = parser->text + (parser->target.data - parser->text),
        .target_bytes = parser->target.bytes,
        .host = fields[FIELD_HOST],
        .origin = fields[FIELD_ORIGIN],
        .authorization = fields[FIELD_AUTHORIZATION],
        .content_type = fields[FIELD_TYPE],
        .expect = llhttp->http_minor == 0 ? (struct span){0} : fields[FIELD_EXPECT], /* RFC 9110, 10.1.1 */
        .has_length = has_length,
        .content_length = has_length ? llhttp->content_length : 0,
        .has_body = (has_length && llhttp->content_length > 0) || (llhttp->flags & F_CHUNKED) != 0,
        .keeps_alive = llhttp_should_keep_alive(llhttp) != 0,
        .minor = llhttp->http_minor,
    };
    return parser->head.has_body ? HPE_PAUSED : 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = llhttp->data;
    parser->on_body(parser->context, at, bytes);
    return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct http_parser *parser = llhttp->data;
    parser->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

size_t http_parser_bytes(void)
{
    return sizeof(struct http_parser);
}

static void begin_request(struct http_parser *parser)
{
    llhttp_init(&parser->parser, HTTP_REQUEST, &settings);
    parser->parser.data = parser;
    parser->bytes = 0;
    parser->is_head_complete = parser->is_complete = parser->has_repeated = parser->has_odd_name = false;
    parser->target = parser->name = parser->value = (struct span){0};
    memset(parser->fields, 0, sizeof parser->fields);
}

struct http_parser *http_parser_begin(void *memory, http_on_body on_body_piece, void *context)
{
    struct http_parser *parser = memory;
    ASSERT(memory != NULL && on_body_piece != NULL);
    memset(parser, 0, offsetof(struct http_parser, text));
    parser->on_body = on_body_piece;
    parser->context = context;
    begin_request(parser);
    return parser;
}

bool http_parser_is_inside(const struct http_parser *parser)
{
    return parser->bytes > 0 && !parser->is_complete;
}

const struct http_request_head *http_parser_head(const struct http_parser *parser)
{
    ASSERT(parser->is_head_complete);
    return &parser->head;
}

static struct http_fed fail(struct http_parser *parser, uint16_t status, const char *message)
{
    parser->is_over = true;
    return (struct http_fed){.event = HTTP_EVENT_ERROR, .status = status, .message = message};
}

/* A bare CR or LF, or a line that continues the one before (obs-fold). llhttp would take them. Looks at
 * text[begin..end) and the byte before. */
static bool has_odd_line(const struct http_parser *parser, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        char before = i == 0 ? '\n' : parser->text[i - 1];
        char c = parser->text[i];
        if ((c == '\n') != (before == '\r') || (i > 0 && before == '\n' && (c == ' ' || c == '\t')))
            return true;
    }
    return false;
}

/* What llhttp does not refuse in a complete head. */
static struct http_fed check_head(struct http_parser *parser, size_t used)
{
    const struct span coding = parser->fields[FIELD_CODING];
    if (parser->parser.http_major != 1)
        return fail(parser, 505, "the HTTP version is not supported: use HTTP/1.1");
    if (parser->has_repeated)
        return fail(parser, 400, "a header that may appear only once was repeated");
    if (parser->fields[FIELD_HOST].data == NULL && parser->head.minor >= 1)
        return fail(parser, 400, "the Host header is missing");
    if (coding.data != NULL && (parser->head.minor == 0 || parser->head.has_length))
        return fail(parser, 400, "Transfer-Encoding needs HTTP/1.1, and no Content-Length beside it");
    if (coding.data != NULL && !span_equal_any_case(coding, SPAN_LITERAL("chunked")))
        return fail(parser, 501,
                    "the Transfer-Encoding is not supported: send the body with Content-Length, or chunked");
    if (parser->parser.upgrade)
        return fail(parser, 400, "there is nothing to upgrade to here: the WebSocket is at /ws of the public address");
    return (struct http_fed){.event = parser->is_complete ? HTTP_EVENT_END : HTTP_EVENT_HEAD, .used = used};
}

static struct http_fed feed_head(struct http_parser *parser, const char *data, size_t bytes)
{
    uint32_t begin = parser->bytes;
    size_t room = HTTP_REQUEST_HEAD_BYTES_MAX - begin;
    uint32_t taken = (uint32_t)(bytes < room ? bytes : room);
    memcpy(parser->text + begin, data, taken);
    parser->bytes += taken;
    llhttp_errno_t error = llhttp_execute(&parser->parser, parser->text + begin, taken);
    uint32_t end = parser->bytes;
    if (parser->is_head_complete)
        end = (uint32_t)(llhttp_get_error_pos(&parser->parser) - parser->text);
    bool is_odd = has_odd_line(parser, begin, end) || parser->has_odd_name;
    if (is_odd || (error != HPE_OK && !parser->is_head_complete))
        return fail(parser, 400, "this is not an HTTP/1.1 request");
    if (parser->is_head_complete)
        return check_head(parser, end - begin);
    if (parser->bytes == HTTP_REQUEST_HEAD_BYTES_MAX)
        return fail(parser, 431, "the request head is over 16,384 bytes: send fewer or shorter headers");
    return (struct http_fed){.event = HTTP_EVENT_MORE, .used = bytes};
}

/* Line ends before a request are left out (RFC 9112, 2.2). */
static size_t skip_line_ends(const char *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && (data[at] == '\r' || data[at] == '\n'))
        at++;
    return at;
}

static struct http_fed feed_body(struct http_parser *parser, const char *data, size_t bytes)
{
    if (llhttp_get_errno(&parser->parser) == HPE_PAUSED)
        llhttp_resume(&parser->parser);
    llhttp_errno_t error = llhttp_execute(&parser->parser, data, bytes);
    if (parser->is_complete)
        return (struct http_fed){.event = HTTP_EVENT_END,
                                 .used = (size_t)(llhttp_get_error_pos(&parser->parser) - data)};
    if (error != HPE_OK)
        return fail(parser, 400, "the chunks of the body are malformed");
    return (struct http_fed){.event = HTTP_EVENT_MORE, .used = bytes};
}

struct http_fed http_parser_feed(struct http_parser *parser, const char *data, size_t bytes)
{
    ASSERT(bytes > 0 && !parser->is_over);
    if (parser->is_complete)
        begin_request(parser);
    size_t skipped = parser->bytes == 0 ? skip_line_ends(data, bytes) : 0;
    if (skipped == bytes)
        return (struct http_fed){.event = HTTP_EVENT_MORE, .used = bytes};
    struct http_fed fed =
        parser->is_head_complete ? feed_body(parser, data, bytes) : feed_head(parser, data + skipped, bytes - skipped);
    fed.used += skipped;
    ASSERT(fed.used <= bytes);
    return fed;
}
