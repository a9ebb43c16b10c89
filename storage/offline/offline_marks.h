/*
 * offline_marks.h: the marks of conversations (record.h) in an opened directory (offline.h), from the runs and the WALs
 * of all shards: by user and peer, each pair once with its greatest marks, without what is cut. One thread; blocks.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_OFFLINE_MARKS_H
#define CHITCHAT_STORAGE_OFFLINE_OFFLINE_MARKS_H

#include "storage/offline/offline.h"

struct offline_marks;

/* All marks, or those of `user` if it has bytes (LIMIT_USER_BYTES at most, asserted; copied). 0, and the caller closes
 * *marks_r; or -errno: no memory, or a file cannot be read. Borrows `offline`. */
int offline_marks_open(struct offline_marks **marks_r, struct offline *offline, const struct datadir *datadir,
                       struct span user);
/* Those of one shard of the directory (asserted). Returns as offline_marks_open. */
int offline_marks_open_shard(struct offline_marks **marks_r, struct offline *offline, uint32_t shard);
/* Nulls *marks; NULL is fine. */
void offline_marks_close(struct offline_marks **marks);

struct offline_mark {
    struct span user; /* borrowed until the next call */
    struct span peer;
    struct seen_marks marks;
};

/* The next marks, of users below `before`; without bytes: of any user. 1 with *mark_r; 0: there are none; or -errno. */
int offline_marks_next(struct offline_marks *marks, struct span before, struct offline_mark *mark_r);

#endif
