/*
 * merge_schedule.h: when the runs of a shard are merged (storage/runs/merge_rule.h says which): after each checkpoint
 * and after each merge, as long as one is due, on the merge thread, one at a time; none once the shard stops. A merge
 * that fails leaves the runs as they are and is tried again. Shard's thread.
 */
#ifndef CHITCHAT_DURABILITY_MERGE_SCHEDULE_H
#define CHITCHAT_DURABILITY_MERGE_SCHEDULE_H

#include <stdbool.h>

struct core;
struct merge_schedule;

/* 0 or -ENOMEM. */
int merge_schedule_open(struct merge_schedule **schedule_r, struct core *core);
/* Its job must be back. Nulls *schedule; NULL is fine. */
void merge_schedule_close(struct merge_schedule **schedule);

/* Before the first turn, when the store is there: opens the merge thread. */
void merge_schedule_start(struct core *core);
/* The shard ends: closes the thread. */
void merge_schedule_finish(struct core *core);

/* The checkpoint thread has written a run, or failed to. */
void merge_schedule_on_checkpoint(struct core *core);
/* End of a turn: begins a merge if one is due. */
void merge_schedule_step(struct core *core);
/* Once a second: retries. */
void merge_schedule_tick(struct core *core);
/* Whether a merge is under way. */
bool merge_schedule_is_busy(const struct core *core);

#endif
