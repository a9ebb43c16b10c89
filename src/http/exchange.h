/*
 * exchange.h: one HTTP request and its answer, for handlers of routes (routes.h). Shard's thread.
 *
 * A handler is called once, when the request is complete: path, query, body and credential are checked. The handler
 * answers in one of three ways:
 *
 * - At once: calls exchange_answer, exchange_answer_json or exchange_refuse before it returns.
 * - Later: keeps exchange_ref, and returns. On the same shard it calls exchange_find, and answers what that finds;
 *   NULL: the connection has ended, and nobody wants the answer. Work for another shard goes there in a struct call
 *   (server/call.h).
 * - In pieces: calls exchange_stream, now or later. The stream's on_more is asked for pieces while the output has room,
 *   so a client that reads slowly slows the handler down.
 *
 * Requests of a connection are handled one after another: until one is answered, the next one is not read. HEAD is
 * handled as GET, and its body is left out. The head of an answer has Content-Type, Content-Length or chunked,
 * Cache-Control: no-store, and what keep-alive needs.
 *
 * When the server stops, requests that are not answered are dropped with their connections, and no stream is asked for
 * more. Errors have one shape: {"error":"code","message":"what to do"}, with "retry_after" (milliseconds, as on the
 * WebSocket) where a Retry-After header is sent.
 */
#ifndef CHITCHAT_HTTP_EXCHANGE_H
#define CHITCHAT_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "connection/conn.h"
#include "protocol/http_request.h"
#include "protocol/http_target.h"
#include "protocol/request.h"

struct core;
struct exchange;

/* Who asks. Routes for everybody have HTTP_NOBODY. */
enum http_credential {
    HTTP_NOBODY,      /* not checked */
    HTTP_LOOPBACK,    /* an admin listener on a loopback address, without --admin-token-file */
    HTTP_ADMIN_TOKEN, /* a token of --admin-token-file */
    HTTP_ADMIN_CLAIM, /* a token of --auth token with the admin claim, on a public address */
};

/* A complete request. All spans are borrowed until the handler returns or, if the answer comes later, until the answer
 * is begun or exchange_find gives NULL. The handler may change the bytes of `body` in place. */
struct http_request {
    enum http_method method; /* METHOD_GET for HEAD, too */
    struct span user;        /* {user} of the path, decoded, a correct user name; no bytes: the route has none */
    char *body;              /* NULL: no bytes */
    size_t body_bytes;       /* at most the route's body_bytes_max */
    const struct http_target *target;
    enum http_credential credential;
    struct span actor; /* HTTP_ADMIN_CLAIM: the user of the token; else no bytes */
};

/* The value of a query parameter that the route allows, decoded. data NULL: absent. */
struct span http_query(const struct http_request *request, const char *name);
/* The same as a decimal number of at most LIMIT_TS_MAX. True: it is absent (*value_r stays), or *value_r is set. False:
 * it is no such number. */
bool http_query_number(const struct http_request *request, const char *name, uint64_t *value_r);

/* -- answers: each request gets exactly one (asserted) -- */

/* Copies `body`. `content_type` is copied, too. */
void exchange_answer(struct core *core, struct exchange *exchange, uint16_t status, const char *content_type,
                     struct span body);
/* The same with application/json. */
void exchange_answer_json(struct core *core, struct exchange *exchange, uint16_t status, struct span body);

struct http_refusal {
    uint16_t status;
    const char *code;        /* as "bad_request" */
    const char *message;     /* what is wrong and what to do; escaped where it must be; at most 512 bytes */
    uint32_t retry_after_ms; /* 0: none. Else Retry-After has the seconds, rounded up */
};
/* Fills *refusal_r, without a time to wait; borrows the texts. Returns false, as a check that refuses does. */
static inline bool http_refuse(struct http_refusal *refusal_r, uint16_t status, const char *code, const char *message)
{
    *refusal_r = (struct http_refusal){.status = status, .code = code, .message = message};
    return false;
}
/* Borrows `refusal` until the return. */
void exchange_refuse(struct core *core, struct exchange *exchange, const struct http_refusal *refusal);
/* The same for an error of the WebSocket protocol: its name, and the status that docs/HTTP_API.md gives it. */
void exchange_refuse_as(struct core *core, struct exchange *exchange, enum error_code code, const char *message,
                        uint32_t retry_after_ms);

/* That status, and the milliseconds for Retry-After: those that the error has, or a time for `unavailable`. */
uint16_t exchange_status_of(enum error_code code);
uint32_t exchange_retry_after_ms(enum error_code code, uint32_t retry_after_ms);

/* -- answers that come later -- */

/* A weak reference: it may outlive the connection. */
struct exchange_ref {
    struct conn_ref conn;
    uint32_t number; /* of the request on its connection */
};
struct exchange_ref exchange_ref(const struct exchange *exchange);
/* The program's, or that which a trusted proxy has forwarded. */
struct address exchange_address(struct core *core, const struct exchange *exchange);
/* The exchange of `ref`, if it is not answered (a stream: not finished) and its connection is open; else NULL.
 * Borrowed, until the next turn. */
struct exchange *exchange_find(struct core *core, struct exchange_ref ref);

/* -- answers in pieces -- */

struct exchange_stream {
    /* The output has room. The callee writes a piece with exchange_write, one or more while exchange_has_room, or calls
     * exchange_finish; or it begins something that takes longer, keeps an exchange_ref, and writes later. It is asked
     * again when it has written and the output has room again. Not called from within a function of this header. */
    void (*on_more)(struct core *core, struct exchange *exchange, void *context);
    /* The connection has ended before exchange_finish: frees what `context` owns. Not called after exchange_finish.
     * exchange_find gives NULL from now on. */
    void (*on_gone)(struct core *core, void *context);
    void *context;
};
/* Begins the answer. Copies `stream` and `content_type`. */
void exchange_stream(struct core *core, struct exchange *exchange, uint16_t status, const char *content_type,
                     const struct exchange_stream *stream);
/* For HEAD: answers with the head of such a stream, and nothing needs to be read for it. False: the request is no HEAD.
 */
bool exchange_answer_head(struct core *core, struct exchange *exchange, uint16_t status, const char *content_type);
/* Copies `piece` to the output: 1 to HTTP_PIECE_BYTES_MAX bytes (asserted). */
#define HTTP_PIECE_BYTES_MAX (512u << 10)
void exchange_write(struct core *core, struct exchange *exchange, struct span piece);
/* Whether less waits for the client than a stream may have waiting. */
bool exchange_has_room(struct core *core, const struct exchange *exchange);
/* The answer is complete. `context` is the caller's again. */
void exchange_finish(struct core *core, struct exchange *exchange);
/* The answer cannot be completed: cuts the connection, so that the client sees that a part is missing. Calls on_gone
 * before it returns. */
void exchange_cut(struct core *core, struct exchange *exchange);

#endif
