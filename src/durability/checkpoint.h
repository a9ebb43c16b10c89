/*
 * checkpoint.h: rounds. In a round every shard moves what its WAL held into a run, so that old segments of the WAL may
 * be recycled; docs/ARCHITECTURE.md, "Rounds", says why this takes all shards together. The phases of a shard:
 *
 *     idle     a generation is full, or old enough, or another shard has posted its END
 *              -> the WAL is rotated: what is appended from now on belongs to the next round
 *     ending   until all that was appended before is durable and its letters are posted
 *              -> END to all shards
 *     ended    until END has come from all shards: no letter of the round is under way to this shard any more
 *              -> the generation is frozen, a new one is filled, the checkpoint thread writes the frozen one
 *     writing  until the run is committed (after a failure: retry, which writes again) and the generation is released
 *              -> DONE to all shards
 *     done     until DONE has come from all shards: both copies of each record of the round are in runs
 *              -> the WAL's segments of the round are recycled; idle
 *
 * While a checkpoint fails, the memtable's bound makes sends `busy`. Shard's thread.
 *
 * What a round may hold up an ack by: 0.5 ms. The freeze opens an empty generation (0.02 ms), and a turn gives back at
 * most 4 MiB of a released one (measured with 500,000 entries: 0.002 ms a turn, as its memory is kept for the next;
 * what goes back to the system does so once a second, 0.2 ms). All else is done beside the shard, at a pace
 * (background.h).
 */
#ifndef CHITCHAT_DURABILITY_CHECKPOINT_H
#define CHITCHAT_DURABILITY_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

struct checkpoint;
struct core;

/* 0 or -ENOMEM. */
int checkpoint_open(struct checkpoint **checkpoint_r, struct core *core);
/* Its jobs must be back. Nulls *checkpoint. */
void checkpoint_close(struct checkpoint **checkpoint);

/* Before the first turn, when the store is there: opens the checkpoint thread. */
void checkpoint_start(struct core *core);
/* The shard ends: closes the thread. */
void checkpoint_finish(struct core *core);

/* A round is wanted as soon as none is under way. */
void checkpoint_want(struct core *core);
/* The first round that begins from now on. */
uint64_t checkpoint_next_round(const struct core *core);
/* Rounds that this shard has completed. */
uint64_t checkpoint_rounds_done(const struct core *core);
/* Whether a run is being written. */
bool checkpoint_is_busy(const struct core *core);

/* END or DONE of `round` came from a shard. */
void checkpoint_on_end(struct core *core, uint64_t round);
void checkpoint_on_done(struct core *core, uint64_t round);
/* End of a turn, after what became durable was taken up: goes on if it can. True: there is more to do at once. */
bool checkpoint_step(struct core *core);
/* Once a second: age, retries. */
void checkpoint_tick(struct core *core);

#endif
