/*
 * admission.h: new connections. Counts them, answers 503 when the server is full or when the limits of their
 * address (addresses.h) do not admit them, and sets the login deadline. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_ADMISSION_H
#define CHITCHAT_SERVER_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/log_limit.h"

struct conn;
struct conn_cold;
struct core;

/* A shard's state of this module. */
struct admission {
    uint32_t turned_away; /* connections that are being answered 503, since the server is full or their address has
                             too many */
    struct log_limit accept_limit;
    struct log_limit uncounted_limit;
};

/* What a listener gave: a new descriptor, or -errno. Whether it may become a connection. If not, the error is logged,
 * or the descriptor is closed, since the server stops. */
bool admission_may_accept(struct core *core, int fd);
/* A new descriptor of a public listener, which the callee owns. `is_tls`: of an address of --listen-tls. */
void admission_on_accept(struct core *core, int fd, bool is_tls);
/* The descriptor of `conn` is closed: one connection less. */
void admission_on_closed(struct core *core, const struct conn *conn);
/* Counts `conn`, which is in CONN_HTTP, for `address`, where a trusted proxy says that its client is, and no longer for
 * the address that it had. False: the limits of `address` do not admit it; 503 is answered, and it closes. */
bool admission_change_address(struct core *core, struct conn *conn, const struct address *address);
/* The head of `conn` is complete: counts it for the address that a trusted proxy has forwarded. Where that is unknown,
 * the proxy's own address counts, lest a client escapes its limits by headers that contradict those of the proxy.
 * False: as above. */
bool admission_take_client(struct core *core, struct conn *conn, const struct address *forwarded);
/* The connection of `cold` does not count for its address any more. */
void admission_leave_address(struct core *core, struct conn_cold *cold);
/* Whether the address of `conn` may try a login. False: too many failed; it is noted, and *retry_after_ms_r is set. */
bool admission_may_log_in(struct core *core, struct conn *conn, uint32_t *retry_after_ms_r);
/* A login of `conn` failed by a fault of the client: counts it for the address. */
void admission_on_failed_login(struct core *core, struct conn *conn);
/* If the turn's input budget is used up, the rest of the kernel's completions waits for the next turn. */
void admission_bound_input(struct core *core);

#endif
