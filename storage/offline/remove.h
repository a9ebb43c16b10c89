/*
 * remove.h: removes a backup, or what is unfinished of a data directory, and nothing that is not of chitchat. A run
 * that other backups share loses only this name (run_remove.h). Blocks; a command's thread.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_REMOVE_H
#define CHITCHAT_STORAGE_OFFLINE_REMOVE_H

#include <stdbool.h>

/* Removes the files of a data directory or backup at `path`; the marks META and BACKUP go first, durably, so that what
 * a crash leaves counts as unfinished. Removes the directory too, if `with_directory`. 0; -EBUSY: a command reads the
 * backup or copies a run, or a server uses the directory; -ENOTEMPTY: there is a file that is not of chitchat, which
 * stays; or -errno. */
int remove_data(const char *path, bool with_directory);

#endif
