/*
 * exchanges.h: the connections of a shard that speak HTTP to programs (CONN_API): those of the admin listeners, and
 * those of public listeners that asked for /api/v1. What connections call; handlers use exchange.h. Shard's thread.
 *
 * An exchange is made with its connection and serves one request after another. It waits for a request, reads it,
 * leaves it to a handler, and writes the answer:
 *
 *     EXCHANGE_IDLE -> EXCHANGE_READING -> EXCHANGE_HANDLING -> (EXCHANGE_STREAMING) -> EXCHANGE_IDLE
 *
 * Each shard accepts on the admin addresses itself, as on the public ones, so that requests spread over the cores: a
 * request for a user of another shard costs two letters, not a handover.
 *
 * Limits. A shard has EXCHANGES_MAX connections of each kind; when one more comes, the one that has waited longest for
 * its client is closed, so that health checks find a place. A public connection takes its place when its credential was
 * found good; one that is refused for it (401, 403) is closed, so nobody without a token takes places of programs.
 * Those of the admin listeners are in no other limit (--connections, addresses), and have descriptors and memory of
 * their own (budget.h). All bodies together may take EXCHANGES_BODY_BYTES; one of EXCHANGES_SMALL_BODY at most
 * finds room whatever the others take, so that single messages do not wait for batches that come slowly.
 *
 * Times. The first bytes on a new connection must come within the login time, and the head and the body of a request
 * within EXCHANGE_REQUEST_FACTOR times that. A client that takes no output for EXCHANGE_REQUEST_FACTOR times the login
 * time is cut. A connection that has had no request for EXCHANGE_IDLE_FACTOR times the login time is closed.
 */
#ifndef CHITCHAT_HTTP_EXCHANGES_H
#define CHITCHAT_HTTP_EXCHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

struct conn;
struct core;
struct http_route;

enum exchange_kind { EXCHANGE_ADMIN, EXCHANGE_PUBLIC, EXCHANGE_KINDS };

/* Of each kind, on one shard. */
#define EXCHANGES_MAX 64u
#define EXCHANGES_BODY_BYTES (16u << 20)
#define EXCHANGES_SMALL_BODY (8u << 10)
#define EXCHANGES_SMALL_BYTES (EXCHANGE_KINDS * EXCHANGES_MAX * EXCHANGES_SMALL_BODY) /* beside the others */
#define EXCHANGE_REQUEST_FACTOR 3u
#define EXCHANGE_IDLE_FACTOR 6u

/* A shard's state of this module. */
struct exchanges {
    const struct http_route *routes; /* route_count of them, static: what can be asked for */
    uint32_t route_count;
    struct list waiting[EXCHANGE_KINDS]; /* struct exchange that wait for their clients, longest first */
    struct list asking;                  /* struct exchange whose stream can be asked for more */
    uint32_t count[EXCHANGE_KINDS];
    uint32_t body_bytes; /* of all bodies */
};

/* Borrows `routes`, `route_count` of them. */
void exchanges_init(struct exchanges *exchanges, const struct http_route *routes, uint32_t route_count);

/* A descriptor of an admin listener, which the callee owns. */
void exchanges_accept(struct core *core, int fd, bool is_tls);
/* `conn`, in CONN_HTTP, sent `head`, the head of a request for /api/v1; its bytes are borrowed until the return. `conn`
 * is in CONN_API then; or, without a good credential or a place, answered and closing. */
void exchanges_begin_public(struct core *core, struct conn *conn, struct span head);

/* Callbacks of a connection in CONN_API (struct conn_callbacks). After them it may be closing or closed. */
void exchanges_on_input(struct core *core, struct conn *conn, char **data, size_t *bytes);
void exchanges_on_room(struct core *core, struct conn *conn);
void exchanges_on_timer(struct core *core, struct conn *conn);
void exchanges_on_leave(struct core *core, struct conn *conn);

/* End of a turn: asks streams for more, each once. */
void exchanges_step_all(struct core *core);
/* Whether the next turn has streams to ask. */
bool exchanges_are_behind(const struct core *core);

#endif
