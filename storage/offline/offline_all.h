/*
 * offline_all.h: the entries of all shards of an opened directory (offline.h), by user and then ts. Each user is on one
 * shard, so the streams of the shards meet only between users. One thread; blocks.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_OFFLINE_ALL_H
#define CHITCHAT_STORAGE_OFFLINE_OFFLINE_ALL_H

#include "storage/offline/offline.h"

struct offline_all;

/* All entries, or those of `user` if it has bytes. 0, and the caller closes *all_r; or -errno. Borrows all. */
int offline_all_open(struct offline_all **all_r, struct offline *offline, const struct datadir *datadir,
                     struct span user);
/* Nulls *all; NULL is fine. */
void offline_all_close(struct offline_all **all);
/* Returns as offline_rows_next, and nothing but a close may follow an error (asserted). */
int offline_all_next(struct offline_all *all, struct span *user_r, struct message *message_r);

#endif
