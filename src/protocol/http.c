/* http.c: llhttp parses one request head; the rules are checked when the head is complete. */
#include "protocol/http.h"

#include <llhttp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/assert.h"
#include "protocol/http_target.h"

#define ANSWER_BYTES_MAX 1024
#define NOSNIFF "X-Content-Type-Options: nosniff\r\n"
#define KEY_CHARS 24
/* The files may run and show themselves and connect to their server, no more: no inline script or style, no HTML made
 * of strings (Trusted Types), no frame around them. 'self' for connect-src covers ws and wss of the same host and port
 * (CSP Level 3). */
#define FILE_POLICY                                                                                                    \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "                    \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "                                                    \
    "require-trusted-types-for 'script'; trusted-types 'none'"
#define SUBPROTOCOL "chitchat.v1"
#define API_PATH "/api/v1"

/* The headers that matter. Those up to HEADER_SINGLE may come once; those from HEADER_FORWARDED_HOST on are read from
 * trusted proxies alone. */
enum header {
    HEADER_HOST,
    HEADER_ORIGIN,
    HEADER_UPGRADE,
    HEADER_KEY,
    HEADER_VERSION,
    HEADER_CONTENT_LENGTH,
    HEADER_SINGLE = HEADER_CONTENT_LENGTH,
    HEADER_TRANSFER_ENCODING,
    HEADER_CONNECTION,
    HEADER_PROTOCOL,
    HEADER_IF_NONE_MATCH,
    HEADER_FORWARDED_HOST,
    HEADER_FORWARDED_FOR,
    HEADER_FORWARDED,
    HEADER_COUNT
};

static const char *const header_names[HEADER_COUNT] = {
    [HEADER_HOST] = "host",
    [HEADER_ORIGIN] = "origin",
    [HEADER_UPGRADE] = "upgrade",
    [HEADER_KEY] = "sec-websocket-key",
    [HEADER_VERSION] = "sec-websocket-version",
    [HEADER_CONTENT_LENGTH] = "content-length",
    [HEADER_TRANSFER_ENCODING] = "transfer-encoding",
    [HEADER_CONNECTION] = "connection",
    [HEADER_PROTOCOL] = "sec-websocket-protocol",
    [HEADER_IF_NONE_MATCH] = "if-none-match",
    [HEADER_FORWARDED_HOST] = "x-forwarded-host",
    [HEADER_FORWARDED_FOR] = "x-forwarded-for",
    [HEADER_FORWARDED] = "forwarded",
};

struct http_head {
    const struct http_options *options;
    llhttp_t parser;
    uint32_t bytes; /* of `text` so far */
    bool is_complete;
    bool is_answered;       /* http_head_feed gave a verdict other than HTTP_MORE */
    bool has_upgrade_token; /* of Connection */
    bool has_subprotocol;
    bool has_hosts_forwarded; /* X-Forwarded-Host came more than once */
    enum header header_end;   /* the headers before it are read */
    enum header repeated;     /* HEADER_COUNT: none */
    struct span target;
    struct span name;
    struct span value;
    struct span headers[HEADER_COUNT]; /* of the last of its name; data NULL: absent */
    struct host host;                  /* of the Host header or forwarded; HOST_NONE: absent or empty */
    struct forwarded forwarded_for;    /* X-Forwarded-For */
    struct forwarded forwarded;        /* Forwarded */
    struct address address;            /* of the client, as forwarded; unknown: none */
    const char *ignored;               /* as in struct http_result */
    char text[LIMIT_HTTP_HEAD_BYTES];
    char answer[ANSWER_BYTES_MAX];
};

/* The text lies in one piece, so the parts that llhttp reports are one span that grows. */
static int on_url(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_head *head = parser->data;
    span_grow(&head->target, at, bytes);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_head *head = parser->data;
    span_grow(&head->name, at, bytes);
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_head *head = parser->data;
    span_grow(&head->value, at, bytes);
    return 0;
}

/* Whether `list`, tokens between commas, has `token`. */
static bool list_has(struct span list, const char *token, bool ignores_case)
{
    while (list.bytes > 0) {
        const char *comma = memchr(list.data, ',', list.bytes);
        size_t bytes = comma == NULL ? list.bytes : (size_t)(comma - list.data);
        struct span item = span_trim((struct span){list.data, bytes});
        if (ignores_case ? span_equal_any_case(item, span_of(token)) : span_equal(item, span_of(token)))
            return true;
        size_t skip = comma == NULL ? bytes : bytes + 1;
        list.data += skip;
        list.bytes -= skip;
    }
    return false;
}

static void take_header(struct http_head *head, enum header header)
{
    ASSERT(header < HEADER_COUNT);
    if (header <= HEADER_SINGLE && head->headers[header].data != NULL)
        head->repeated = header;
    if (header == HEADER_CONNECTION)
        head->has_upgrade_token |= list_has(head->value, "upgrade", true);
    if (header == HEADER_PROTOCOL)
        head->has_subprotocol |= list_has(head->value, SUBPROTOCOL, false);
    if (header == HEADER_FORWARDED_HOST)
        head->has_hosts_forwarded |= head->headers[header].data != NULL;
    if (header == HEADER_FORWARDED_FOR)
        forwarded_add_for(&head->forwarded_for, head->value, &head->options->proxies);
    if (header == HEADER_FORWARDED)
        forwarded_add(&head->forwarded, head->value, &head->options->proxies);
    head->headers[header] = span_trim(head->value);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http_head *head = parser->data;
    if (head->value.data == NULL)
        head->value = SPAN_LITERAL("");
    for (enum header header = 0; header < head->header_end; header++)
        if (span_equal_any_case(head->name, span_of(header_names[header])))
            take_header(head, header);
    head->name = head->value = (struct span){0};
    return 0;
}

/* 2: there is no body for llhttp to read; llhttp stops right after the head. */
static int on_headers_complete(llhttp_t *parser)
{
    struct http_head *head = parser->data;
    head->is_complete = true;
    return 2;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
};

size_t http_head_bytes(void)
{
    return sizeof(struct http_head);
}

struct http_head *http_head_begin(void *memory, const struct http_options *options)
{
    struct http_head *head = memory;
    ASSERT(memory != NULL);
    ASSERT(options != NULL);
    memset(head, 0, offsetof(struct http_head, text));
    head->options = options;
    head->header_end = HEADER_FORWARDED_HOST;
    head->repeated = HEADER_COUNT;
    llhttp_init(&head->parser, HTTP_REQUEST, &settings);
    head->parser.data = head;
    return head;
}

struct http_head *http_head_open(const struct http_options *options)
{
    void *memory = malloc(sizeof(struct http_head));
    return memory == NULL ? NULL : http_head_begin(memory, options);
}

void http_head_close(struct http_head **head)
{
    free(*head);
    *head = NULL;
}

void http_head_set_peer(struct http_head *head, const struct address *peer)
{
    const struct forwarded_proxies *proxies = &head->options->proxies;
    ASSERT(head->bytes == 0);
    head->header_end = networks_have(proxies->networks, proxies->count, peer) ? HEADER_COUNT : HEADER_FORWARDED_HOST;
}

void http_accept_value(struct span key, char out[29])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_CHARS + sizeof guid];
    unsigned char digest[SHA_DIGEST_LENGTH];
    ASSERT(key.bytes == KEY_CHARS);
    memcpy(text, key.data, KEY_CHARS);
    memcpy(text + KEY_CHARS, guid, sizeof guid - 1);
    SHA1((const unsigned char *)text, KEY_CHARS + sizeof guid - 1, digest);
    EVP_EncodeBlock((unsigned char *)out, digest, SHA_DIGEST_LENGTH);
}

struct span http_answer_full(void)
{
    return SPAN_LITERAL("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n" NOSNIFF "Content-Length: 47\r\n\r\n"
                        "the server has no free connection: retry later\n");
}

struct span http_answer_stopping(void)
{
    return SPAN_LITERAL("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n" NOSNIFF "Content-Length: 34\r\n\r\n"
                        "the server goes down: retry later\n");
}

struct span http_answer_address(void)
{
    return SPAN_LITERAL("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n" NOSNIFF "Content-Length: 75\r\n\r\n"
                        "your address has too many connections, or opens them too fast: retry later\n");
}

struct span http_answer_not_tls(void)
{
    return SPAN_LITERAL("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n" NOSNIFF "Content-Length: 46\r\n\r\n"
                        "this port speaks TLS: use https:// and wss://\n");
}

const char *http_status_name(uint16_t status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 207: return "Multi-Status";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
    }
}

static struct span answer_write(struct http_head *head, const char *format, ...) __attribute__((format(printf, 2, 3)));

static struct span answer_write(struct http_head *head, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(head->answer, sizeof head->answer, format, arguments);
    va_end(arguments);
    ASSERT(bytes > 0 && (size_t)bytes < sizeof head->answer);
    return (struct span){head->answer, (size_t)bytes};
}

/* An answer of a status and one line of text; `more` is further headers, each with its line end. */
static struct http_result answer_line(struct http_head *head, uint16_t status, const char *more, const char *line)
{
    bool is_head = head->parser.method == HTTP_HEAD;
    struct http_result result = {.verdict = HTTP_ANSWER, .status = status, .line = line};
    result.answer = answer_write(
        head,
        "HTTP/1.1 %u %s\r\n%sConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" NOSNIFF
        "Content-Length: %zu\r\n\r\n%s%s",
        status, http_status_name(status), more, strlen(line) + 1, is_head ? "" : line, is_head ? "" : "\n");
    return result;
}

/* Whether If-None-Match has this entity tag: the client has these bytes. A proxy that compresses makes tags weak. */
static bool has_etag(const struct http_head *head, const char *etag)
{
    char weak[64];
    struct span known = head->headers[HEADER_IF_NONE_MATCH];
    int bytes = snprintf(weak, sizeof weak, "W/%s", etag);
    ASSERT(bytes > 0 && (size_t)bytes < sizeof weak);
    return known.data != NULL
           && (list_has(known, etag, false) || list_has(known, weak, false) || span_equal(known, SPAN_LITERAL("*")));
}

/* no-cache: names of files have no version, so a client asks each time whether its copy is the newest. */
static struct http_result answer_file(struct http_head *head, const struct web_file *file)
{
    char type_and_length[128] = "";
    bool is_known = has_etag(head, file->etag);
    struct http_result result = {.verdict = HTTP_ANSWER, .status = is_known ? 304 : 200};
    if (!is_known)
        (void)snprintf(type_and_length, sizeof type_and_length, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                       file->type, file->body.bytes);
    result.answer = answer_write(head,
                                 "HTTP/1.1 %u %s\r\nConnection: close\r\n%sETag: %s\r\nCache-Control: no-cache\r\n"
                                 "Content-Security-Policy: " FILE_POLICY "\r\n" NOSNIFF "X-Frame-Options: DENY\r\n"
                                 "Referrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n"
                                 "Cross-Origin-Resource-Policy: same-origin\r\n\r\n",
                                 result.status, http_status_name(result.status), type_and_length, file->etag);
    if (!is_known && head->parser.method != HTTP_HEAD)
        result.body = file->body;
    return result;
}

/* The file that is served at `path`, or NULL. */
static const struct web_file *find_file(const struct http_options *options, struct span path)
{
    for (uint32_t i = 0; i < options->file_count; i++)
        if (span_equal(path, options->files[i].path))
            return &options->files[i];
    return NULL;
}

static struct http_result answer_upgrade_required(struct http_head *head, const char *line)
{
    return answer_line(head, 426, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", line);
}

static bool is_key(struct span key)
{
    if (key.bytes != KEY_CHARS || memcmp(key.data + KEY_CHARS - 2, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < KEY_CHARS - 2; i++) {
        char c = key.data[i];
        bool is_base64 =
            (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
        if (!is_base64)
            return false;
    }
    return true;
}

static bool is_allowed_origin(const struct http_options *options, const struct origin *origin)
{
    for (uint32_t i = 0; i < options->origin_count; i++)
        if (origin_matches(&options->origins[i], origin))
            return true;
    return false;
}

static uint16_t port_or(const struct host *host, uint16_t default_port)
{
    return host->has_port ? host->port : default_port;
}

static bool is_known_host(const struct http_options *options, const struct host *host, uint16_t port)
{
    if (host->kind != HOST_NAME || span_equal_any_case(host->name, SPAN_LITERAL("localhost")))
        return true;
    for (uint32_t i = 0; i < options->host_count; i++)
        if (host_equal(&options->hosts[i], host) && port_or(&options->hosts[i], port) == port)
            return true;
    return false;
}

bool http_is_known_host(const struct http_options *options, struct span text)
{
    struct host host;
    if (text.bytes == 0)
        return true;
    return host_parse(text, &host) && is_known_host(options, &host, port_or(&host, 80));
}

/* Whether the web page that asks for the upgrade may have it: see http.h. */
static enum http_page_verdict check_page(const struct http_head *head)
{
    const struct span text = head->headers[HEADER_ORIGIN];
    struct origin page;
    if (head->options->any_path || text.data == NULL)
        return HTTP_PAGE_ALLOWED;
    (void)origin_parse(text, &page); /* --origin * allows also what is no origin */
    if (is_allowed_origin(head->options, &page))
        return HTTP_PAGE_ALLOWED;
    if (!origin_is_http(&page) || !host_equal(&page.host, &head->host))
        return HTTP_PAGE_FOREIGN;
    uint16_t port = port_or(&head->host, origin_default_port(&page));
    if (page.port != port)
        return HTTP_PAGE_FOREIGN;
    return is_known_host(head->options, &head->host, port) ? HTTP_PAGE_ALLOWED : HTTP_PAGE_UNKNOWN_HOST;
}

static bool has_body(const struct http_head *head)
{
    struct span length = head->headers[HEADER_CONTENT_LENGTH];
    return head->headers[HEADER_TRANSFER_ENCODING].data != NULL
           || (length.data != NULL && !span_equal(length, SPAN_LITERAL("0")));
}

static struct http_result upgrade(struct http_head *head)
{
    char accept[29];
    ASSERT(head->is_complete);
    http_accept_value(head->headers[HEADER_KEY], accept);
    struct http_result result = {.verdict = HTTP_UPGRADE, .status = 101, .has_subprotocol = head->has_subprotocol};
    result.answer = answer_write(head,
                                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: %s\r\n%s\r\n",
                                 accept, head->has_subprotocol ? "Sec-WebSocket-Protocol: " SUBPROTOCOL "\r\n" : "");
    return result;
}

static struct http_result refuse_page(struct http_head *head, enum http_page_verdict page)
{
    char line[HOST_NAME_BYTES_MAX + 128] =
        "web pages of this Origin may not connect: to allow them, start the server with --origin";
    ASSERT(page != HTTP_PAGE_ALLOWED);
    if (page == HTTP_PAGE_UNKNOWN_HOST) {
        ASSERT(head->host.kind == HOST_NAME);
        (void)snprintf(
            line, sizeof line,
            "web pages of this Host may not connect: if it is a name of this server, start it with --host %.*s",
            (int)head->host.name.bytes, head->host.name.data);
    }
    struct http_result result = answer_line(head, 403, "", line);
    result.page = page;
    result.line = NULL;
    return result;
}

static struct http_result check_upgrade(struct http_head *head)
{
    struct span wanted = head->headers[HEADER_UPGRADE];
    if (wanted.data == NULL || !list_has(wanted, "websocket", true))
        return answer_upgrade_required(head, "this path is a WebSocket: connect with Upgrade: websocket");
    if (head->headers[HEADER_VERSION].data == NULL || !span_equal(head->headers[HEADER_VERSION], SPAN_LITERAL("13")))
        return answer_upgrade_required(head, "Sec-WebSocket-Version must be 13");
    if (head->parser.http_minor < 1)
        return answer_line(head, 400, "", "an upgrade needs HTTP/1.1");
    if (!head->has_upgrade_token)
        return answer_line(head, 400, "", "an upgrade needs Connection: Upgrade");
    if (!is_key(head->headers[HEADER_KEY]))
        return answer_line(head, 400, "", "Sec-WebSocket-Key must be 16 bytes in base64");
    enum http_page_verdict page = check_page(head);
    if (page != HTTP_PAGE_ALLOWED)
        return refuse_page(head, page);
    return upgrade(head);
}

/* Whether Host is absent, empty or a host; sets head->host, unless a trusted proxy has forwarded one. */
static bool take_host(struct http_head *head)
{
    struct span text = head->headers[HEADER_HOST];
    struct host host = {.kind = HOST_NONE};
    if (text.bytes > 0 && !host_parse(text, &host))
        return false;
    if (head->host.kind == HOST_NONE)
        head->host = host;
    return true;
}

static void take_forwarded_host(struct http_head *head)
{
    struct span text = head->headers[HEADER_FORWARDED_HOST];
    if (text.bytes > 0 && (head->has_hosts_forwarded || !host_parse(text, &head->host)))
        head->ignored = "X-Forwarded-Host is not one HOST or HOST:PORT";
}

static void take_forwarded_address(struct http_head *head)
{
    const struct forwarded *by_for = &head->forwarded_for;
    const struct forwarded *by_rfc = &head->forwarded;
    bool has_for = by_for->state != FORWARDED_ABSENT;
    bool has_rfc = by_rfc->state != FORWARDED_ABSENT;
    if (by_for->state == FORWARDED_MALFORMED)
        head->ignored = "an entry of X-Forwarded-For is not an address";
    else if (by_rfc->state == FORWARDED_MALFORMED)
        head->ignored = "an entry of Forwarded is malformed";
    else if (has_for && has_rfc && !address_equal(&by_for->address, &by_rfc->address))
        head->ignored = "X-Forwarded-For and Forwarded say different things";
    else
        head->address = has_for ? by_for->address : by_rfc->address;
}

static struct http_result answer_health(struct http_head *head)
{
    const struct http_options *options = head->options;
    const char *reason = options->not_ready == NULL ? NULL : options->not_ready(options->health);
    struct http_result result =
        answer_line(head, reason == NULL ? 200 : 503, "Cache-Control: no-store\r\n", reason == NULL ? "ok" : reason);
    result.is_health = true;
    return result;
}

/* /api/v1, and what is below it. */
static bool is_api(const struct http_head *head, struct span path)
{
    size_t bytes = sizeof API_PATH - 1;
    return head->options->has_api && !head->options->any_path && path.bytes >= bytes
           && memcmp(path.data, API_PATH, bytes) == 0 && (path.bytes == bytes || path.data[bytes] == '/');
}

static struct http_result check(struct http_head *head)
{
    struct span path = http_target_path(head->target);
    if (is_api(head, path))
        return (struct http_result){.verdict = HTTP_API};
    bool is_socket = head->options->any_path || span_equal(path, SPAN_LITERAL("/ws"));
    const struct web_file *file = is_socket ? NULL : find_file(head->options, path);
    bool is_health = !is_socket && span_equal(path, SPAN_LITERAL("/healthz"));
    if (head->parser.http_major != 1)
        return answer_line(head, 400, "", "the HTTP version is not supported: use HTTP/1.1");
    if (head->repeated != HEADER_COUNT)
        return answer_line(head, 400, "", "a header that may appear only once was repeated");
    if (!is_socket && file == NULL && !is_health)
        return answer_line(head, 404, "", "not found: the WebSocket is at /ws, the page at /");
    if (head->parser.method != HTTP_GET && (is_socket || head->parser.method != HTTP_HEAD))
        return answer_line(head, 405, is_socket ? "Allow: GET\r\n" : "Allow: GET, HEAD\r\n",
                           "the method is not allowed here: use GET");
    if (head->headers[HEADER_HOST].data == NULL && head->parser.http_minor >= 1)
        return answer_line(head, 400, "", "the Host header is missing");
    if (!take_host(head))
        return answer_line(head, 400, "", "the Host header must be HOST or HOST:PORT");
    if (has_body(head))
        return answer_line(head, 400, "", "a request may not have a body: send it without one");
    if (is_socket)
        return check_upgrade(head);
    return file != NULL ? answer_file(head, file) : answer_health(head);
}

static struct http_result check_complete(struct http_head *head)
{
    take_forwarded_host(head);
    take_forwarded_address(head);
    struct http_result result = check(head);
    bool is_host_forwarded = head->headers[HEADER_FORWARDED_HOST].bytes > 0 && !head->has_hosts_forwarded;
    result.origin = head->headers[HEADER_ORIGIN];
    result.host = head->headers[is_host_forwarded ? HEADER_FORWARDED_HOST : HEADER_HOST];
    result.address = head->address;
    result.ignored = head->ignored;
    return result;
}

/* A line that continues in the next one (obs-fold, RFC 9112, 5.2), which llhttp would accept. Looks at the bytes from
 * `begin`. */
static bool has_fold(const struct http_head *head, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin > 0 ? begin : 1; i < end; i++)
        if (head->text[i - 1] == '\n' && (head->text[i] == ' ' || head->text[i] == '\t'))
            return true;
    return false;
}

struct http_result http_head_feed(struct http_head *head, const char *data, size_t bytes)
{
    ASSERT(!head->is_answered);
    ASSERT(head->bytes < LIMIT_HTTP_HEAD_BYTES);
    uint32_t begin = head->bytes;
    size_t room = LIMIT_HTTP_HEAD_BYTES - begin;
    uint32_t taken = (uint32_t)(bytes < room ? bytes : room);
    memcpy(head->text + begin, data, taken);
    head->bytes += taken;
    llhttp_errno_t error = llhttp_execute(&head->parser, head->text + begin, taken);
    uint32_t end = head->bytes;
    if (head->is_complete)
        end = (uint32_t)(llhttp_get_error_pos(&head->parser) - head->text);
    struct http_result result = {.verdict = HTTP_MORE};
    if (has_fold(head, begin, end) || (error != HPE_OK && !head->is_complete))
        result = answer_line(head, 400, "", "this is not an HTTP/1.1 request");
    else if (head->is_complete)
        result = check_complete(head);
    else if (taken < bytes || head->bytes == LIMIT_HTTP_HEAD_BYTES)
        result = answer_line(head, 431, "", "the request head is over 8,192 bytes: send fewer or shorter headers");
    head->is_answered = result.verdict != HTTP_MORE;
    result.used = result.verdict == HTTP_UPGRADE || result.verdict == HTTP_API ? end - begin : (uint32_t)bytes;
    if (result.verdict == HTTP_API)
        result.head = (struct span){head->text, end};
    ASSERT(result.used <= bytes);
    return result;
}
