/*
 * history.h: pages of a timeline. A connection's pages are answered in the order in which they were asked for, and only
 * while little output waits for it; while the reader has the first, it is given the next few too (not those with a
 * filter, which may take several reads). A turn looks at so many entries (turn.h), and connections take turns: who has
 * had a share waits in core->histories.queue. So many pages of a shard are gathered at once (HISTORY_ACTIVE_MAX); who
 * comes then waits in core->histories.place_queue, and so does, behind it, whoever has had a page and wants the next.
 * Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_HISTORY_H
#define CHITCHAT_HISTORY_HISTORY_H

#include "connection/conn.h"

#define HISTORY_ACTIVE_MAX 128u

/* What a shard keeps of its pages. */
struct histories {
    struct list queue;       /* connections that had their share of pages, or found the turn's used up */
    struct list place_queue; /* connections that wait for a place among those that gather a page */
    uint32_t count;          /* pages asked for */
    uint32_t active;         /* of these, those that are being gathered */
    uint32_t ahead;          /* and those that are read before their turn */
};

/* The connection may be able to have its next page. */
void history_step(struct core *core, struct conn *conn);
/* End of a turn: goes on with those in core->histories.queue. */
void history_continue(struct core *core);
/* Whether some could go on in the next turn. */
bool history_is_behind(const struct core *core);
/* The connection is leaving. */
void history_drop_all(struct core *core, struct conn *conn);

#endif
