/*
 * ops.h: one function for each operation of the protocol, behind one table (ops.c); each in a file of its own, op_*.c.
 *
 * A function is called with the request's fields read and checked, and the connection logged in where the operation
 * needs it. It answers the request once, now or later: conn_answered counts. What it keeps it copies: the spans of the
 * request stand only until it returns. Shard's thread.
 */
#ifndef CHITCHAT_OPERATIONS_OPS_H
#define CHITCHAT_OPERATIONS_OPS_H

#include "protocol/request.h"

struct conn;
struct conn_callbacks;
struct core;

/* What connections ask of the modules above them. Static. */
const struct conn_callbacks *ops_conn_callbacks(void);

void op_login(struct core *core, struct conn *conn, const struct request *request);
void op_send(struct core *core, struct conn *conn, const struct request *request);
void op_history(struct core *core, struct conn *conn, const struct request *request);
void op_ping(struct core *core, struct conn *conn, const struct request *request);

#endif
