/*
 * offline.h: a data directory (or backup) on which no server runs, as one thing to be read: every shard's manifest,
 * runs and log; and every timeline as runs and log give it together. Changes nothing. One thread; blocks.
 *
 * The logs stay mapped, and an array of 16 bytes for each copy of a record in a live log says where it lies, in order
 * of user and ts; of the runs nothing is held in memory but their filters. So memory is bounded by the logs, which a
 * server keeps about as large as its memtables, whatever the size of the store.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_OFFLINE_H
#define CHITCHAT_STORAGE_OFFLINE_OFFLINE_H

#include "storage/datadir/datadir.h"
#include "storage/problems.h"
#include "storage/record.h"

struct offline;
struct run;

struct offline_counts {
    uint64_t segments; /* live */
    uint64_t batches;
    uint64_t records;
    uint64_t torn_tails;
    uint64_t runs;
    uint64_t rows;
};

/* Opens all that can be opened; what cannot be is told to `problems`, and is left out. `datadir` is open to be read,
 * and borrowed like `problems`. 0 or -ENOMEM. */
int offline_open(struct offline **offline_r, const struct datadir *datadir, struct problems *problems);
/* Nulls *offline; NULL is fine. */
void offline_close(struct offline **offline);
void offline_count(const struct offline *offline, struct offline_counts *counts_r);

/* The opened runs of a shard, by index; NULL past the last. `path_r`: its file, standing until the next call. */
struct run *offline_run(struct offline *offline, uint32_t shard, uint32_t index, const char **path_r);

/* The entries of one shard's timelines, by user and then ts, each once: all, or those of `user` (bytes 0: all). */
struct offline_rows;
int offline_rows_open(struct offline_rows **rows_r, struct offline *offline, uint32_t shard, struct span user);
void offline_rows_close(struct offline_rows **rows);
/* 1 and the entry, with its user, borrowed until the next call; 0 at the end; -errno: a file cannot be read, which has
 * been told. Entries at one place that differ are told, and the first one is given; those that do not differ are what a
 * crash between a checkpoint's commit and the log's release leaves. */
int offline_rows_next(struct offline_rows *rows, struct span *user_r, struct message *message_r);

#endif
