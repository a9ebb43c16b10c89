/*
 * nodes.h: what the log servers know of the nodes (log_engine.report, nodes, forget and leave): a row of the table
 * `node` on each of them. The thread of the session.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_NODES_H
#define CHITCHAT_ENGINES_POSTGRESQL_NODES_H

#include "session.h"

int pg_nodes_report(struct log_session *session, const struct log_node *node, uint32_t timeout_ms,
                    struct log_engine_error *error_r);
int pg_nodes_list(struct log_session *session, uint32_t timeout_ms,
                  void (*visit)(void *context, const struct log_node *node), void *context,
                  struct log_engine_error *error_r);
int pg_nodes_forget(struct log_session *session, uint32_t away_s, uint32_t timeout_ms,
                    void (*visit)(void *context, const char *name), void *context, struct log_engine_error *error_r);
int pg_nodes_leave(struct log_session *session, const char *name, uint32_t timeout_ms,
                   struct log_engine_error *error_r);

#endif
