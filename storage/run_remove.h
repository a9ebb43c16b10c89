/*
 * run_remove.h: a run's file goes, large ones little by little. A file system that gives freed blocks back to the
 * device at once (ext4 mounted with `discard`) has it busy with them for 0.3 ms a MiB, and a flush, which every write
 * of the log ends with, waits for that. So the file is cut from its end, with a pause after each step for who waits.
 *
 * Blocks. On the merge thread: nobody may have the run open, nor link to its name from now on. A file that has another
 * name (a backup's) only loses this one.
 */
#ifndef CHITCHAT_STORAGE_RUN_REMOVE_H
#define CHITCHAT_STORAGE_RUN_REMOVE_H

#include <stdbool.h>

/* `should_stop` is asked between steps (may be NULL). 0; -ECANCELED when it said true: the file is there, shorter; or
 * -errno. */
int run_remove(const char *path, bool (*should_stop)(void *context), void *context);

#endif
