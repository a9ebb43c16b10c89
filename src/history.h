/*
 * history.h: pages of a timeline. A connection's pages are answered in the order in which they were asked for, and only
 * while little output waits for it; while the reader has the first, it is given the next few too (not those with a
 * filter, which may take several reads). A turn looks at so many entries (turn.h), and connections take turns: who has
 * had a share waits in core->history_conns. Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_H
#define CHITCHAT_HISTORY_H

#include "conn.h"

/* The connection may be able to have its next page. */
void history_step(struct core *core, struct conn *conn);
/* End of a turn: goes on with those in core->history_conns. */
void history_continue(struct core *core);
/* The connection is leaving. */
void history_drop_all(struct core *core, struct conn *conn);

#endif
