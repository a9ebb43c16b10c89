/*
 * history.h: pages of a timeline. A connection's pages are answered in the order in which they were asked for, and only
 * while little output waits for it; while the reader has the first, it is given the next few too (not those with a
 * filter, which may take several reads). Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_H
#define CHITCHAT_HISTORY_H

#include "conn.h"

/* The connection may be able to have its next page. */
void history_step(struct core *core, struct conn *conn);
/* The connection is leaving. */
void history_drop_all(struct core *core, struct conn *conn);

#endif
