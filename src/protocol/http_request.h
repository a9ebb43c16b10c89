/*
 * http_request.h: HTTP/1.1 requests on a connection that serves many, parsed by llhttp: heads, bodies with
 * Content-Length or chunked, keep-alive, pipelining. Pure; one thread at a time for each parser.
 *
 * A parser is fed bytes as they come. It keeps a copy of the head, HTTP_REQUEST_HEAD_BYTES_MAX at most, and gives the
 * body to on_body piece by piece. It stops at the end of a head that announces a body, so that the caller may refuse
 * the body or answer 100 Continue, and at the end of each request. Bytes behind that end belong to the next request.
 *
 * What two servers in a row could read differently is refused (RFC 9112, 2.2, 5.2, 6 and 11.2): lines that end with a
 * bare CR or LF, continued header lines, Content-Length beside Transfer-Encoding, codings other than chunked, and a
 * repeated Host, Content-Length, Authorization or Content-Type. An error ends the connection: what follows it has no
 * meaning.
 */
#ifndef CHITCHAT_PROTOCOL_HTTP_REQUEST_H
#define CHITCHAT_PROTOCOL_HTTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

#define HTTP_REQUEST_HEAD_BYTES_MAX 16384u
#define HTTP_BODY_BYTES_MAX (8u << 20)

enum http_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_OTHER,
};

/* As "GET"; METHOD_OTHER has none (asserted). Static. */
struct span http_method_name(enum http_method method);

struct http_parser;

/* The head of the current request. Spans are borrowed from the parser until the next request is fed; data NULL: the
 * header is absent. */
struct http_request_head {
    enum http_method method;
    char *target; /* the caller may change its bytes */
    size_t target_bytes;
    struct span host;
    struct span origin;
    struct span authorization;
    struct span content_type;
    struct span expect;
    bool has_body;
    bool has_length;         /* of the body; else it is chunked */
    uint64_t content_length; /* meaningful with has_length */
    bool keeps_alive;        /* the client takes another answer on this connection */
    uint8_t minor;           /* of HTTP/1.x */
};

enum http_event {
    HTTP_EVENT_MORE,  /* the request is not complete */
    HTTP_EVENT_HEAD,  /* the head is complete, and a body follows */
    HTTP_EVENT_END,   /* the request is complete */
    HTTP_EVENT_ERROR, /* `status` and `message` say what is wrong; nothing may be fed any more */
};

struct http_fed {
    enum http_event event;
    size_t used; /* of the bytes fed */
    uint16_t status;
    const char *message; /* static */
};

typedef void (*http_on_body)(void *context, const char *data, size_t bytes);

/* A parser in `memory` of http_parser_bytes, which the caller owns and may free at any time. `on_body` is given
 * `context`, and pieces that are borrowed until it returns. */
size_t http_parser_bytes(void);
struct http_parser *http_parser_begin(void *memory, http_on_body on_body, void *context);
/* Takes 1 or more bytes at `data`. After HTTP_EVENT_END the next byte begins a new request. */
struct http_fed http_parser_feed(struct http_parser *parser, const char *data, size_t bytes);
/* Whether some bytes of a request have come, and not its end. Empty lines before a request do not count. */
bool http_parser_is_inside(const struct http_parser *parser);
/* After HTTP_EVENT_HEAD and HTTP_EVENT_END. */
const struct http_request_head *http_parser_head(const struct http_parser *parser);

#endif
