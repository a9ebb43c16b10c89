/*
 * backup_lock.h: how a backup keeps a running server from dropping what it copies: a lock on the file HOLD of the data
 * directory. The backup holds it alone; whoever in the server recycles a segment or unlinks a run shares it for that
 * moment, and puts it off while a backup holds. A backup that died holds nothing.
 *
 * The server does not wait for ever: past its own limit of what it puts off (and when it starts) it says so by counting
 * up the number in the file, and then drops what it has to. A backup looks at the number before and after: if it has
 * changed, the copy is worth nothing.
 *
 * Blocks for a moment: on threads beside the shards. Any thread; each holds by a descriptor of its own.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_BACKUP_LOCK_H
#define CHITCHAT_STORAGE_DATADIR_BACKUP_LOCK_H

#include <stdint.h>

#define BACKUP_LOCK_NAME "HOLD"

/* For the server: a descriptor to be given to backup_lock_give when the drop is done; -EBUSY while a backup holds, or
 * -errno: then one may. `dir` is the data directory. */
int backup_lock_share(const char *dir);
/* For a backup: as backup_lock_share, but alone; waits some seconds for those that share it. -EBUSY: another backup
 * holds. */
int backup_lock_take(const char *dir);
void backup_lock_give(int fd);

/* How often the server did not wait. 0 if HOLD says nothing. */
uint64_t backup_lock_overtaken(int fd);
/* The server waits no longer: counts up, which is seen before any drop is. 0 or -errno. */
int backup_lock_overtake(const char *dir);

#endif
