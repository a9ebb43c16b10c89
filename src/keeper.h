/*
 * keeper.h: sees to it that the log has segment files in hand: made and zero-written on a thread beside the shard,
 * recycled when a round lets them go, removed when there are too many. Shard's thread.
 */
#ifndef CHITCHAT_KEEPER_H
#define CHITCHAT_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/wal.h"

struct core;
struct keeper;

/* Segments that are let go of but stay, unused, while a backup holds (hold.h); past it the backup is overtaken, so that
 * its disk does not fill up. */
#define KEEPER_HELD_MAX 32u

/* `dir`: of the log's segments, copied. `file_next`: a number above every file's there. 0 or -ENOMEM. */
int keeper_open(struct keeper **keeper_r, struct core *core, const char *dir, uint32_t file_next);
/* Its job must be back. Nulls *keeper. */
void keeper_close(struct keeper **keeper);

/* Takes a segment that the log has let go of. */
void keeper_recycle(struct core *core, struct wal_spare spare);
/* End of a turn: has a file made if the log wants one. */
void keeper_step(struct core *core);
/* Once a second: tries again what failed. */
void keeper_tick(struct core *core);
bool keeper_is_busy(const struct core *core);

#endif
