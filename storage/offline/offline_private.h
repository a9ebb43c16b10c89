/*
 * offline_private.h: what offline.c (open), offline_rows.c and offline_marks.c (read) share. No other file includes it.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_OFFLINE_PRIVATE_H
#define CHITCHAT_STORAGE_OFFLINE_OFFLINE_PRIVATE_H

#include "storage/offline/offline.h"
#include "storage/offline/offline_marks.h"
#include "storage/runs/run.h"
#include "storage/wal/segment.h"
#include "storage/wal/wal_survey.h"

/* A record in a mapped segment, as the row of one of its two users. */
struct wal_entry {
    const uint8_t *record;
    uint64_t role; /* enum role */
};

/* A mark in a mapped segment, as one of its user, who has seen, or of the peer, who was seen. */
struct wal_mark {
    const uint8_t *record;
    uint64_t is_of_peer;
};

struct offline_shard {
    char runs_dir[RUN_PATH_BYTES];
    struct run **runs;
    uint32_t run_count;
    struct cuts cuts; /* of the manifest and of the WAL */
    struct wal_survey survey;
    struct segment_map *maps; /* one for each file of the survey */
    struct wal_entry *entries;
    uint64_t entry_count;
    uint64_t entry_room;
    struct wal_mark *marks; /* by user and peer */
    uint64_t mark_count;
    uint64_t mark_room;
};

struct offline {
    const struct datadir *datadir;
    struct problems *problems;
    struct offline_counts counts;
    char path[RUN_PATH_BYTES];
    uint32_t shard_count;
    struct offline_shard shards[];
};

/* Borrows the segment. */
void offline_mark_view(const struct wal_mark *mark, struct offline_mark *mark_r);
/* The user of the row, and the row. Both borrow the segment. */
void offline_entry_view(const struct wal_entry *entry, struct span *user_r, struct message *message_r);

#endif
