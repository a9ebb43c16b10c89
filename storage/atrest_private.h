/*
 * atrest_private.h: what atrest.c (open) and atrest_rows.c (read) share. Nobody else includes it.
 */
#ifndef CHITCHAT_STORAGE_ATREST_PRIVATE_H
#define CHITCHAT_STORAGE_ATREST_PRIVATE_H

#include "storage/atrest.h"
#include "storage/run.h"
#include "storage/segment.h"
#include "storage/wal_survey.h"

/* A record in a mapped log, as the copy of one of its two users. */
struct log_entry {
    const uint8_t *record;
    uint64_t role;
};

struct atrest_shard {
    char runs_dir[RUN_PATH_BYTES];
    struct run **runs;
    uint32_t run_count;
    struct wal_survey survey;
    struct segment_map *maps; /* one for each file of the survey */
    struct log_entry *entries;
    uint64_t entry_count;
    uint64_t entry_room;
};

struct atrest {
    const struct datadir *datadir;
    struct problems *problems;
    struct atrest_counts counts;
    char path[RUN_PATH_BYTES];
    uint32_t shard_count;
    struct atrest_shard shards[];
};

/* The user whose copy it is, and the copy. */
void atrest_entry_view(const struct log_entry *entry, struct span *user_r, struct message *message_r);

#endif
