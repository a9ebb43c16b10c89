/*
 * checkpoint.h: rounds. In a round every shard moves what its WAL has into a run, so that old segments of the WAL may
 * be recycled. All shards go through the same rounds, in step. The phases of a shard:
 *
 *     idle       until the generation is three quarters full; or it has entries and --checkpoint-s have passed since
 *                the last round began; or another shard has ended this round; or checkpoint_request
 *                -> rotates the WAL: what is appended from now on belongs to the next round
 *     ending     until all that was appended before is durable and its letters are posted
 *                -> END to all shards
 *     ended      until END has come from all shards: no letter of the round is in flight to this shard any more
 *                -> freezes the generation, begins a new one, and the checkpoint thread writes the frozen one
 *     writing    until the run is committed; if that fails: retry
 *     retry      until the time of the next try has come, or, at the limit of runs, until a merge has made room
 *                -> writing
 *     releasing  until the memory of the frozen generation is given back, a slice a turn
 *                -> DONE to all shards
 *     done       until DONE has come from all shards: both copies of each record of the round are in runs
 *                -> gives the segments of the round to the segment recycler; idle
 *
 * docs/ARCHITECTURE.md, "Rounds", says why this takes all shards together. While a failed checkpoint is tried again,
 * sends are taken until the memtable is full; then they get `busy`. Shard's thread.
 *
 * A round may delay an answer by 0.5 ms. The freeze opens an empty generation (0.02 ms), and a turn gives back at
 * most 4 MiB of a released one (measured with 500,000 entries: 0.002 ms a turn, as its memory is kept for the next;
 * what goes back to the system does so once a second, 0.2 ms). All else is done on other threads, throttled
 * (background.h).
 */
#ifndef CHITCHAT_DURABILITY_CHECKPOINT_H
#define CHITCHAT_DURABILITY_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

struct checkpoint;
struct core;

/* Main's thread. 0 and *checkpoint_r, owned by the caller; or -ENOMEM. Borrows `core`. */
int checkpoint_open(struct checkpoint **checkpoint_r, struct core *core);
/* Main's thread. No job may be in flight (asserted). Nulls *checkpoint; NULL is fine. */
void checkpoint_close(struct checkpoint **checkpoint);

/* Before the first turn, when the store is open: opens the checkpoint thread. */
void checkpoint_start(struct core *core);
/* The shard ends: closes the thread. */
void checkpoint_finish(struct core *core);

/* Asks for a round, which begins as soon as none is in progress. */
void checkpoint_request(struct core *core);
/* The number of the first round that begins from now on. */
uint64_t checkpoint_next_round(const struct core *core);
/* How many rounds this shard has completed. */
uint64_t checkpoint_rounds_done(const struct core *core);
/* How long ago the last round began. */
uint64_t checkpoint_age_us(const struct core *core);
/* How often in a row the present checkpoint has failed. */
uint32_t checkpoint_failures(const struct core *core);
/* Whether a run is being written. */
bool checkpoint_is_busy(const struct core *core);
/* Whether a run waits for a merge, since there are as many runs as there may be. */
bool checkpoint_waits_for_merge(const struct core *core);

/* END or DONE of `round` came from a shard, this one included. */
void checkpoint_on_end(struct core *core, uint64_t round);
void checkpoint_on_done(struct core *core, uint64_t round);
/* End of a turn, after arrivals that are durable were taken up: goes on with the round if it can. True: there is more
 * to do in the next turn at once. */
bool checkpoint_step(struct core *core);
/* Once a second: begins a round by age, and tries again what failed. */
void checkpoint_tick(struct core *core);

#endif
