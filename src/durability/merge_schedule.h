/*
 * merge_schedule.h: when the runs of a shard are merged; storage/runs/merge_rule.h says which. Looked at after each
 * checkpoint, after each merge and once a second; one merge at a time, on the merge thread; none begins once the shard
 * stops, and one in progress is given up then. A merge that fails leaves the runs as they are and is tried again
 * (retry.h). Shard's thread.
 */
#ifndef CHITCHAT_DURABILITY_MERGE_SCHEDULE_H
#define CHITCHAT_DURABILITY_MERGE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct merge_schedule;

/* Main's thread. 0 and *schedule_r, owned by the caller; or -ENOMEM. Borrows `core`. */
int merge_schedule_open(struct merge_schedule **schedule_r, struct core *core);
/* Main's thread. No job may be in flight. Nulls *schedule; NULL is fine. */
void merge_schedule_close(struct merge_schedule **schedule);

/* Before the first turn, when the store is open: opens the merge thread. */
void merge_schedule_start(struct core *core);
/* The shard ends: closes the thread. */
void merge_schedule_finish(struct core *core);

/* The checkpoint thread has written a run, or failed to. */
void merge_schedule_on_checkpoint(struct core *core);
/* End of a turn: begins a merge if one is due. */
void merge_schedule_step(struct core *core);
/* Once a second: has the next step look for a merge, unless a failed one has to wait longer. */
void merge_schedule_tick(struct core *core);
/* How often in a row the present merge has failed. */
uint32_t merge_schedule_failures(const struct core *core);
/* Whether a merge is in progress. */
bool merge_schedule_is_busy(const struct core *core);

#endif
