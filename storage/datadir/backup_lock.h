/*
 * backup_lock.h: the lock by which a backup keeps a running server from removing the files that it copies: an flock on
 * the file HOLD of the data directory. A backup takes it alone. The server shares it while it allows a segment to be
 * recycled or a run to be removed, and postpones that while a backup has the lock. The kernel frees the lock of a
 * backup that ended.
 *
 * The server does not wait without a limit. When it has postponed too much, and at start, it overtakes the backup: it
 * increments the number in the file, and then recycles and removes. A backup reads the number when it takes the lock
 * and before it gives the lock back: if the number has changed, the copy is invalid.
 *
 * Any thread but a shard's, each with a descriptor of its own: the calls block for short times.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_BACKUP_LOCK_H
#define CHITCHAT_STORAGE_DATADIR_BACKUP_LOCK_H

#include <stdint.h>

#define BACKUP_LOCK_NAME "HOLD"

/* For the server: shares the lock of the data directory `dir`. Returns a descriptor for backup_lock_give; -EBUSY: a
 * backup has the lock; or -errno: a backup may have it. */
int backup_lock_share(const char *dir);
/* For a backup: takes the lock alone, and waits up to 10 s for those that share it. Returns a descriptor for
 * backup_lock_give; -EBUSY: another backup has the lock; or -errno. */
int backup_lock_take(const char *dir);
/* Gives the lock back and closes `fd`; a negative `fd` is fine. */
void backup_lock_give(int fd);

/* The number in HOLD: how often the server overtook a backup. 0 if the file has no number. `fd` is of take or share. */
uint64_t backup_lock_overtaken(int fd);
/* For the server, before it removes anything that a backup may need: increments the number in HOLD. 0 or -errno. */
int backup_lock_overtake(const char *dir);

#endif
