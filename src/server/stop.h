/*
 * stop.h: how a shard stops, in steps. Each step begins when the condition of the one before holds:
 *
 *     draining  accepts no connection and reads no request; until no send of this shard, none to it and no handover is
 *               in flight
 *               -> LETTER_QUIET to all shards
 *     quiet     until all shards are quiet: nothing changes any more
 *               -> 1001 to all connections (those that have not sent their HTTP head are dropped), and a last round of
 *               checkpoints that contains everything
 *     closing   until the connections are closed, all shards have the last round, and no worker is busy
 *               -> the thread ends
 *
 * After a failed WAL write, sends may stay pending for ever: the steps do not wait for them, and there is no last
 * round. If the steps take too long, main exits without waiting for the shards: the WAL contains everything. Shard's
 * thread.
 */
#ifndef CHITCHAT_SERVER_STOP_H
#define CHITCHAT_SERVER_STOP_H

#include <stdint.h>

#include "server/letter.h"
#include "shard/timers.h"

struct core;

enum stop_step { STOP_NOT, STOP_DRAINING, STOP_QUIET, STOP_CLOSING, STOP_ENDED };

/* A shard's state of this module. */
struct stop {
    uint8_t step;         /* enum stop_step */
    uint32_t quiet_count; /* shards that are quiet, this one included */
    struct timer timer;
    struct letter_control *letters; /* one for each shard; owned */
};

/* 0 or -ENOMEM; the caller calls stop_fini in either case. A struct of zeros is fine for stop_fini. */
int stop_init(struct stop *stop, uint32_t shard_count);
void stop_fini(struct stop *stop);

/* SIGNAL_STOP is set. Changes nothing after the first call. */
void stop_begin(struct core *core);
/* LETTER_QUIET came from another shard. */
void stop_on_quiet(struct core *core);
/* End of a turn, after stop_begin. */
void stop_step(struct core *core);

#endif
