/*
 * history.h: pages of a timeline. The pages of one connection are answered in the order of the requests, and only while
 * little of its output waits. While the reader has the first page, it also gets the next few, so that one wake-up of
 * each thread serves several pages. (A page with a user may need further reads, when it is the first.)
 *
 * A turn examines a limited number of entries (turn.h), and connections take turns: one that had its share waits in
 * core->histories.queue. A shard gathers at most HISTORY_ACTIVE_MAX pages at once. Connections whose page needs a place
 * wait in core->histories.place_queue, oldest first; a connection that has finished a page and needs a place for the
 * next goes to the end. Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_HISTORY_H
#define CHITCHAT_HISTORY_HISTORY_H

#include "connection/conn.h"

#define HISTORY_ACTIVE_MAX 128u

/* A shard's state of this module. */
struct histories {
    struct list queue;       /* connections that had their share, or found the turn's budget used up */
    struct list place_queue; /* connections that wait for a place */
    uint32_t count;          /* requested pages */
    uint32_t active;         /* of these, those that have a place: they are being gathered */
    uint32_t ahead;          /* and those that are read ahead, before they are the first of their connection */
};

/* A history request of `conn`, which is logged in. Borrows `request`. Answers it now or later, or with an error. */
void history_ask(struct core *core, struct conn *conn, const struct request *request);
/* Continues with the pages of `conn`, which has a struct conn_work, as far as output and the turn's budget allow. */
void history_step(struct core *core, struct conn *conn);
/* End of a turn: continues with the connections of core->histories.queue. */
void history_continue(struct core *core);
/* Whether pages can continue in the next turn. */
bool history_is_behind(const struct core *core);
/* The connection leaves its user: frees its pages, unanswered. */
void history_drop_all(struct core *core, struct conn *conn);

#endif
