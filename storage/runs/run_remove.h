/*
 * run_remove.h: removes a run's file, a large one in steps. A file system that gives freed blocks back to the device at
 * once (ext4 mounted with `discard`) keeps the device busy for 0.3 ms a MiB, and the flush at the end of every WAL
 * write waits for that. So the file is cut from its end, with a pause after each step.
 *
 * Only a file that nobody else uses is cut. A file with a second name (in a backup) loses only this name. A file that
 * is being copied (copy_open of copy.h has a shared flock on it) is not changed.
 *
 * Nobody can start to use the file after this has begun. The store allows the removal when the manifest does not name
 * the run any more and no backup has the backup lock (backup_lock.h), or the backups that have it are overtaken. A
 * backup takes the lock, reads the manifest, and links or opens and locks each run, before it gives the lock back. So a
 * backup that took the lock before the removal was allowed has linked or locked the run by then, or it was overtaken
 * and fails. A backup that takes the lock later does not find the run in the manifest. A restore links and locks the
 * file under its name in a backup, and while that name exists the file has two names.
 *
 * Blocks. The merge thread; the server has closed the run.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_REMOVE_H
#define CHITCHAT_STORAGE_RUNS_RUN_REMOVE_H

#include <stdbool.h>

/* Removes the file at `path`. `should_stop` is called between steps (may be NULL). 0; -ECANCELED: it returned true, and
 * the file is there, shorter; -EBUSY: the file is being copied and not changed; or -errno. */
int run_remove(const char *path, bool (*should_stop)(void *context), void *context);

#endif
