/*
 * segment_recycler.h: keeps spare segment files available for the WAL. A thread beside the shard makes and zero-writes
 * new ones, recycles those that a round has released, and removes those that are too many. Before a file becomes a
 * spare, its thread commits to the manifest which generation the file will have (storage/wal_assigned.h). Shard's
 * thread.
 *
 * While a backup has the lock (storage/datadir/backup_lock.h), released segments stay as they are, up to a limit; past
 * it the recycler overtakes the backup, so that the disk of the data does not fill up.
 *
 * A shard whose log is not in segment files has no recycler (core->recycler is NULL): then nothing here does anything,
 * but segment_recycler_give, which nobody calls there (asserted).
 */
#ifndef CHITCHAT_DURABILITY_SEGMENT_RECYCLER_H
#define CHITCHAT_DURABILITY_SEGMENT_RECYCLER_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/wal/wal.h"

struct core;
struct segment_recycler;

/* Main's thread. `dir`: of the WAL's segments, copied. `file_next`: a number above every file's there. 0 and
 * *recycler_r, owned by the caller; or -ENOMEM. Borrows `core`. */
int segment_recycler_open(struct segment_recycler **recycler_r, struct core *core, const char *dir, uint32_t file_next);
/* Main's thread. No job may be in flight. Closes released files. Nulls *recycler; NULL is fine. */
void segment_recycler_close(struct segment_recycler **recycler);

/* Before the first turn: opens the recycler's thread. */
void segment_recycler_start(struct core *core);
/* The shard ends: closes the thread. */
void segment_recycler_finish(struct core *core);

/* Owns a segment that wal_release gave back, or a spare of wal_take_back_spares, with its descriptor, from now on. */
void segment_recycler_give(struct core *core, struct wal_spare spare);
/* A cut of the shard's timelines is durable. What it cuts may be in all files of the WAL, also in parts of a recycled
 * one that are not overwritten. So the files that exist are used no more: they are removed when a round releases them,
 * and spares as soon as the WAL can do without. New files take their place. Once an hour at most; later cuts wait. */
void segment_recycler_on_cut(struct core *core);
/* End of a turn: posts a job if files were released or the WAL wants a spare, and none is in progress. */
void segment_recycler_step(struct core *core);
/* Once a second: lets the next step try again what failed. */
void segment_recycler_tick(struct core *core);
/* Whether a job is in progress. */
bool segment_recycler_is_busy(const struct core *core);

#endif
