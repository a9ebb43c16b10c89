/*
 * offline_first.h: after which ts the timelines of a stopped store are whole (storage/runs/cuts.h), for dump: of all
 * users, and of each known user whose timeline begins later.
 *
 * The ts of all is the lowest cut that --retention made of a shard; shards where nothing was ever stored do not count.
 * A user is known by an entry, by a cut of their own (an erasure), or by the entry of somebody else whose other copy
 * their shard has cut. The last kind is there only if shards are cut at different times. Then offline_first_open reads
 * all entries once. It takes up to CUTS_MAX users of that kind for each shard, in some 60 bytes each; the others have
 * no line.
 *
 * One thread; blocks.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_OFFLINE_FIRST_H
#define CHITCHAT_STORAGE_OFFLINE_OFFLINE_FIRST_H

#include "storage/offline/offline.h"

struct offline_first;

/* 0, and the caller closes *first_r; or -errno: no memory, or a file cannot be read, which was reported. Borrows both
 * until offline_first_close. */
int offline_first_open(struct offline_first **first_r, struct offline *offline, const struct datadir *datadir);
/* Nulls *first; NULL is fine. */
void offline_first_close(struct offline_first **first);

/* The ts after which no timeline lacks anything that those of all users do; 0: none is cut. */
uint64_t offline_first_of_all(const struct offline_first *first);
/* Steps to the next user, in the order of bytes, whose timeline begins later than that, but not past `user`, who has
 * entries; without bytes: past all. True, and the user, borrowed until the next call, and their ts; or false. `user`
 * never goes back. */
bool offline_first_next(struct offline_first *first, struct span user, struct span *user_r, uint64_t *ts_r);

#endif
