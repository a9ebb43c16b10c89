/*
 * ops.h: one function per operation of the protocol, each in a file op_*.c. ops.c has the table.
 *
 * The request's fields are read and checked, and the connection is logged in if the operation needs it. The function
 * answers the request once, now or later, and conn_answered counts it; or it closes the connection. It borrows the
 * request and its spans until it returns, and copies what it needs later. Shard's thread.
 */
#ifndef CHITCHAT_OPERATIONS_OPS_H
#define CHITCHAT_OPERATIONS_OPS_H

#include "protocol/request.h"

struct conn;
struct conn_callbacks;
struct core;

/* The callbacks of conn.h. Static. */
const struct conn_callbacks *ops_conn_callbacks(void);

void op_login(struct core *core, struct conn *conn, const struct request *request);
void op_send(struct core *core, struct conn *conn, const struct request *request);
void op_history(struct core *core, struct conn *conn, const struct request *request);
void op_seen(struct core *core, struct conn *conn, const struct request *request);
void op_ping(struct core *core, struct conn *conn, const struct request *request);
void op_typing(struct core *core, struct conn *conn, const struct request *request);
void op_watch(struct core *core, struct conn *conn, const struct request *request);

#endif
