/*
 * replay.h: a connection receives all entries after its cursor, oldest first, page by page as fast as its socket takes
 * them, and then `live`. The connection becomes CONN_LIVE only in a turn in which its cursor is the timeline's last.
 * Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_REPLAY_H
#define CHITCHAT_HISTORY_REPLAY_H

#include "connection/conn.h"

/* From this much waiting output on a replay pauses. Less than CONN_OUTPUT_PAUSE_BYTES, so that requests are still read.
 */
#define REPLAY_OUTPUT_PAUSE_BYTES (32u << 10)

/* A shard's state of this module. */
struct replays {
    struct list queue;     /* replays that can continue */
    struct pool ok_pool;   /* the `ok` of sends that wait for a replay */
    uint32_t oks_reserved; /* objects of it that are reserved for sends in flight */
};

void replays_init(struct replays *replays);
/* Frees the pool. No replay may exist. */
void replays_fini(struct replays *replays);

/* Starts a replay after conn->cursor. `is_entry`: the cursor is known to be the ts of an entry, so the first prev.
 * `first`, at most the cursor: that of the login; where no entry up to the cursor is shown it is the first prev. The
 * connection is in CONN_REPLAY and has no replay (asserted). It is closed if there is no memory. */
void replay_start(struct core *core, struct conn *conn, bool is_entry, uint64_t first);
/* An entry that `conn` sent has left the timeline: the replay writes it as the `ok` of request `id`, which is copied.
 * `conn` has a replay. Its object of core->replays.ok_pool was reserved with the send (core->replays.oks_reserved). */
void replay_expect_ok(struct core *core, struct conn *conn, uint64_t ts, const struct request_id *id);
/* Puts the replay of `conn`, if any, into core->replays.queue, if it can continue. */
void replay_queue_step(struct core *core, struct conn *conn);
/* End of a turn: continues the replays of core->replays.queue, one page each at a time, within the turn's budget. */
void replay_step_all(struct core *core);
/* The connection leaves its user, or becomes live: frees its replay, if any. */
void replay_drop(struct core *core, struct conn *conn);

#endif
