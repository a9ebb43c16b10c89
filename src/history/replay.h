/*
 * replay.h: a connection catches up: all entries above its cursor, oldest first, page by page at the pace of its
 * socket, then `live`. It becomes live only in a turn in which its cursor is the timeline's last. Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_REPLAY_H
#define CHITCHAT_HISTORY_REPLAY_H

#include "connection/conn.h"

/* Past this much waiting output a replay waits; less than CONN_OUTPUT_PAUSE_BYTES, so that requests are still answered.
 */
#define REPLAY_OUTPUT_PAUSE_BYTES (32u << 10)

/* What a shard keeps of its replays. */
struct replays {
    struct list queue;     /* replays that can go on */
    struct pool ok_pool;   /* of sends whose `ok` waits for a replay */
    uint32_t oks_reserved; /* places in it for sends that are in flight */
};

void replays_init(struct replays *replays);
/* No replay may be under way. */
void replays_fini(struct replays *replays);

/* Starts from conn->cursor; the connection is in CONN_REPLAY. */
void replay_start(struct core *core, struct conn *conn);
/* An entry that `conn` sent has left the timeline and will come in the replay: as the `ok` of request `id`. Its place
 * in core->replays.ok_pool was reserved when it was sent (core->replays.oks_reserved). */
void replay_expect_ok(struct core *core, struct conn *conn, uint64_t ts, const struct request_id *id);
/* It may be able to go on: looked at at the end of the turn. */
void replay_wants_step(struct core *core, struct conn *conn);
/* End of a turn: replays that can go on by a page each, within the budget of the turn. */
void replay_step_all(struct core *core);
/* The connection is leaving. */
void replay_drop(struct core *core, struct conn *conn);

#endif
