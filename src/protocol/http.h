/*
 * http.h: the HTTP head of a connection: read, checked, answered. Pure: bytes in, a verdict and bytes out; one thread
 * at a time for each head.
 *
 * A head has at most LIMIT_HTTP_HEAD_BYTES, its blank line included. The bytes are kept and parsed with llhttp as they
 * come: what is not HTTP is refused at its first byte, and no byte is parsed twice, however small the pieces are.
 * Rules: PROTOCOL.md. Every answer but the upgrade has Connection: close; a connection serves one request.
 *
 * Which web pages may upgrade (origin.h reads origins). A browser sends the Origin of the page and, as Host, the name
 * by which it found the server. With DNS rebinding an attacker lets a name of their own resolve to this server. A page
 * of theirs then has the same origin as the server: Origin and Host are equal, and only the name shows the attack.
 * Therefore:
 * - An origin that the operator allows may connect under every Host.
 * - Any other origin must be http or https of the Host and its port, and the Host must be known.
 * - Every IP address is a known Host. A browser finds an address without the DNS, so a page of that origin was loaded
 *   from that address. This covers all listen addresses, also those of a wildcard and of a forwarded port.
 * - localhost is known, since browsers do not ask the DNS for it, and so are the operator's hosts. No other name is.
 * - A request without Origin does not come from a web page and may connect under every Host: its sender chose all
 *   headers.
 * A Host without a port has the default port of the origin's scheme: a proxy that ends TLS hides the scheme. Therefore
 * the scheme that a proxy forwards (X-Forwarded-Proto) is not needed, and is not read.
 * The web client and /healthz hold no secrets and are served under every Host.
 *
 * Proxies. Only a peer in options.proxies may forward: the address of the client (forwarded.h), and X-Forwarded-Host,
 * which counts instead of Host. No web page can set these headers on an upgrade. From any other peer they are not read.
 * A proxy that sets one of X-Forwarded-For and Forwarded passes the other on as the client sent it. Therefore, if both
 * come and say different things, neither counts.
 */
#ifndef CHITCHAT_PROTOCOL_HTTP_H
#define CHITCHAT_PROTOCOL_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"
#include "protocol/forwarded.h"
#include "protocol/host.h"
#include "protocol/origin.h"
#include "protocol/web_files.h"

struct http_head; /* the parser and the bytes so far; one for each connection in its HTTP phase */

struct http_options {
    bool any_path;                /* the echo server upgrades on every path and without Origin check */
    const struct origin *origins; /* allowed besides the server's own; borrowed */
    uint32_t origin_count;
    const struct host *hosts; /* known besides localhost and addresses; without a port: at every port; borrowed */
    uint32_t host_count;
    struct forwarded_proxies proxies; /* the peers that may forward */
    const struct web_file *files;     /* the web client: what GET gives at their paths; borrowed */
    uint32_t file_count;
    /* /healthz: NULL, the server is ready; else a line that says why not. NULL: always ready. `health` is borrowed. */
    const char *(*not_ready)(const void *health);
    const void *health;
    bool has_api; /* /api/v1 and what is below it: HTTP_API; else 404 */
};

/* A head in `memory` of http_head_bytes, which the caller owns and may reuse at any time. `options` is borrowed for as
 * long as the head is used. */
size_t http_head_bytes(void);
struct http_head *http_head_begin(void *memory, const struct http_options *options);
/* For tests and the echo server: the same in malloc'ed memory. NULL: no memory. */
struct http_head *http_head_open(const struct http_options *options);
void http_head_close(struct http_head **head);
/* Who sends the head, before its first byte is fed. Without this call the peer is not trusted. */
void http_head_set_peer(struct http_head *head, const struct address *peer);

/* The reason phrase of a status of this server, "Not Found" for 404; "Status" for another. Static. */
const char *http_status_name(uint16_t status);

enum http_verdict {
    HTTP_MORE,    /* the head is not complete */
    HTTP_UPGRADE, /* send `answer` (101), then it is a WebSocket */
    HTTP_ANSWER,  /* send `answer`, then close */
    HTTP_API,     /* a request for the HTTP API: `head` is its head, not checked; there is no `answer` */
};

/* Why a web page may not connect (403). */
enum http_page_verdict {
    HTTP_PAGE_ALLOWED,
    HTTP_PAGE_FOREIGN,      /* its origin is neither the Host nor allowed */
    HTTP_PAGE_UNKNOWN_HOST, /* its origin is the Host, but that is not a known one */
};

struct http_result {
    enum http_verdict verdict;
    uint32_t used;      /* of the bytes fed; those after them belong to the WebSocket, or to the body */
    uint16_t status;    /* in `answer` */
    const char *line;   /* the text in it; NULL: none, or that of a refused page; static, or of the options' health */
    struct span answer; /* borrowed from the head */
    struct span body;   /* to be sent after `answer` (a file); borrowed from the options */

    /* Of a complete head. */
    bool is_health;              /* the answer is that of /healthz */
    bool has_subprotocol;        /* HTTP_UPGRADE: chitchat.v1 was chosen */
    struct span head;            /* HTTP_API: its bytes; borrowed from the head */
    enum http_page_verdict page; /* unless allowed, `status` is 403 */
    struct span origin;          /* the header; without bytes: absent or empty; borrowed from the head */
    struct span host;            /* Host, or what a trusted proxy forwarded; as above */
    struct address address;      /* of the client, if a trusted proxy forwarded one; else unknown */
    const char *ignored;         /* a line that says which forwarded header was ignored, and why; NULL: none; static */
};

/* Takes `bytes` at `data`. May not be called again after a verdict other than HTTP_MORE. */
struct http_result http_head_feed(struct http_head *head, const char *data, size_t bytes);

/* The answer of a full server: 503 with Retry-After. Static. */
struct span http_answer_full(void);
/* The same, of a server that was asked to stop. */
struct span http_answer_stopping(void);
/* The same, where the limits of the client's address do not admit the connection. */
struct span http_answer_address(void);

/* The answer to plain HTTP where TLS is spoken: 400. Static. */
struct span http_answer_not_tls(void);

/* Whether a web page of another server cannot have made a browser send this Host (see above). Empty: true. */
bool http_is_known_host(const struct http_options *options, struct span host);

/* The value of Sec-WebSocket-Accept for a key (RFC 6455, 4.2.2): 28 characters and a NUL. */
void http_accept_value(struct span key, char out[29]);

#endif
