/*
 * read.h: the calls that read, follow and purge (log_engine.h). The thread of the session.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_READ_H
#define CHITCHAT_ENGINES_POSTGRESQL_READ_H

#include "session.h"

/* Where the slot's log begins and ends. 0 or an error. */
int pg_extent(struct log_session *session, struct pg_server *server, uint32_t slot, int64_t deadline_ms,
              struct log_extent *extent_r, struct log_engine_error *error_r);

int pg_read(struct log_session *session, uint32_t slot, uint64_t from, uint32_t bytes_max, uint32_t timeout_ms,
            int (*visit)(void *context, const struct log_batch *batch), void *context,
            struct log_engine_error *error_r);
int pg_tail(struct log_session *session, uint32_t slot, uint32_t timeout_ms, struct log_extent *extent_r,
            struct log_engine_error *error_r);
int pg_follow(struct log_session *session, struct log_follow *slots, uint32_t count, uint32_t wait_ms,
              struct log_engine_error *error_r);
int pg_purge(struct log_session *session, uint32_t slot, uint64_t below, uint32_t timeout_ms,
             struct log_engine_error *error_r);

#endif
