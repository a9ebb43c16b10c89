/*
 * stop.h: how a shard comes to its end, in steps, each taken when what came before is done:
 *
 *     draining  nothing is accepted or read any more; until every send of this shard is home and answered
 *               -> QUIET to all shards
 *     quiet     until all shards are quiet: nothing changes any more
 *               -> 1001 to all connections, and a last round of checkpoints that holds everything
 *     closing   until the connections are gone and all shards have the last round
 *               -> the thread ends
 *
 * If it takes too long main exits without it: the log holds everything. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_STOP_H
#define CHITCHAT_SERVER_STOP_H

#include <stdbool.h>

struct core;

enum stop_step { STOP_NOT, STOP_DRAINING, STOP_QUIET, STOP_CLOSING, STOP_ENDED };

/* SIGNAL_STOP was seen. */
void stop_begin(struct core *core);
/* LETTER_QUIET came. */
void stop_on_quiet(struct core *core);
/* End of a turn, while stopping. */
void stop_step(struct core *core);

#endif
