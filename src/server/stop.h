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

#include <stdint.h>

#include "server/letter.h"
#include "shard/timers.h"

struct core;

enum stop_step { STOP_NOT, STOP_DRAINING, STOP_QUIET, STOP_CLOSING, STOP_ENDED };

/* What a shard keeps of it. */
struct stop {
    uint8_t step;
    uint32_t quiet_count; /* shards that posted LETTER_QUIET */
    struct timer timer;
    struct letter_control *letters; /* one for each shard */
};

/* 0 or -ENOMEM; stop_fini is called in either case. */
int stop_init(struct stop *stop, uint32_t shard_count);
void stop_fini(struct stop *stop);

/* SIGNAL_STOP was seen. */
void stop_begin(struct core *core);
/* LETTER_QUIET came. */
void stop_on_quiet(struct core *core);
/* End of a turn, while stopping. */
void stop_step(struct core *core);

#endif
