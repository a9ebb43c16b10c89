/*
 * append.h: the call that appends a batch (log_engine.append). The thread of the session.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_APPEND_H
#define CHITCHAT_ENGINES_POSTGRESQL_APPEND_H

#include "session.h"

enum log_append_result pg_append(struct log_session *session, const struct log_append *append, uint32_t timeout_ms,
                                 struct log_extent *extent_r, int *status_r, struct log_engine_error *error_r);

#endif
