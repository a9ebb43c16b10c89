/*
 * run_remove.h: a run's file goes, large ones little by little. A file system that gives freed blocks back to the
 * device at once (ext4 mounted with `discard`) has it busy with them for 0.3 ms a MiB, and a flush, which every write
 * of the log ends with, waits for that. So the file is cut from its end, with a pause after each step for who waits.
 *
 * Cutting is only for a file that nobody else has: one that has another name (a backup's) only loses this one, and one
 * that is being copied (copy_open of copy.h holds a shared lock on it) stays as it is.
 *
 * Nothing can come to have it once this has begun. The manifest no longer named the run when its removal was allowed,
 * and it was allowed while no backup held (backup_lock.h), or all that held were overtaken. A backup reads the
 * manifest, then links, or opens and locks, each run, all while it holds. So one that began to hold before the removal
 * was allowed has the run linked or locked by now, or was overtaken and fails; one that begins to hold later does not
 * find it in the manifest. A restore links and locks by the names in a backup, and while that name stands the file has
 * two.
 *
 * Blocks. On the merge thread: the server itself no longer has the run open.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_REMOVE_H
#define CHITCHAT_STORAGE_RUNS_RUN_REMOVE_H

#include <stdbool.h>

/* `should_stop` is asked between steps (may be NULL). 0; -ECANCELED when it said true: the file is there, shorter;
 * -EBUSY: it is being copied, and untouched; or -errno. */
int run_remove(const char *path, bool (*should_stop)(void *context), void *context);

#endif
