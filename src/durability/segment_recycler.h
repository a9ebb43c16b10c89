/*
 * recycler.h: sees to it that the log has segment files in hand: made and zero-written on a thread beside the shard,
 * recycled when a round lets them go, removed when there are too many. Shard's thread.
 */
#ifndef CHITCHAT_DURABILITY_SEGMENT_RECYCLER_H
#define CHITCHAT_DURABILITY_SEGMENT_RECYCLER_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/wal/wal.h"

struct core;
struct segment_recycler;

/* Segments that are let go of but stay, unused, while a backup holds (backup_lock.h); past it the backup is overtaken,
 * so that its disk does not fill up. */
#define SEGMENT_RECYCLER_HELD_MAX 32u

/* `dir`: of the log's segments, copied. `file_next`: a number above every file's there. 0 or -ENOMEM. */
int segment_recycler_open(struct segment_recycler **recycler_r, struct core *core, const char *dir, uint32_t file_next);
/* Its job must be back. Nulls *recycler. */
void segment_recycler_close(struct segment_recycler **recycler);

/* Before the first turn: opens the recycler's thread. */
void segment_recycler_start(struct core *core);
/* The shard ends: closes it. */
void segment_recycler_finish(struct core *core);

/* Takes a segment that the log has let go of. */
void segment_recycler_give(struct core *core, struct wal_spare spare);
/* End of a turn: has a file made if the log wants one. */
void segment_recycler_step(struct core *core);
/* Once a second: tries again what failed. */
void segment_recycler_tick(struct core *core);
bool segment_recycler_is_busy(const struct core *core);

#endif
