/*
 * schema.h: the tables of a cluster on one log server, in a schema of its own, whose name is chitchat_ and the
 * cluster's. The thread of the session.
 *
 *     cluster   one row: version of the schema, id of the cluster, number of slots, of log servers, and of this one
 *     slot      a row for each slot whose log is on this server: generation and number of the last batch, and below
 *               which number batches are not needed any more
 *     node      a row for each node: its name and address, when it reported last, and what it has of each slot
 *     batch     the batches, partitioned by the hour in which they were appended; bodies are stored out of line and not
 *               compressed, since they are written once and read as a whole
 *
 * Two functions, make_partitions() and drop_partitions(keep), do what would else be several statements.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_SCHEMA_H
#define CHITCHAT_ENGINES_POSTGRESQL_SCHEMA_H

#include "session.h"

/* Of a session that is creating (asserted): makes what is missing on one server, or migrates it. `id` (37 bytes):
 * empty, and set to the id of the cluster, or that id, which the server must have or gets. 0 or an error; -EEXIST: a
 * cluster with other numbers. */
int pg_schema_create(struct log_session *session, struct pg_server *server, uint32_t slots, char *id,
                     int64_t deadline_ms, struct log_engine_error *error_r);
/* Of any other session (asserted): whether the schema is of this version, and the server the one that the list means.
 * Sets server->slots, prepares the statements. 0 or an error. */
int pg_schema_check(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                    struct log_engine_error *error_r);
/* Makes the partitions of this hour and the next two, unless they exist. 0 or an error. */
int pg_schema_make_partitions(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                              struct log_engine_error *error_r);

#endif
