/*
 * atrest.h: a data directory (or backup) on which no server runs, as one thing to be read: every shard's manifest, runs
 * and log; and every timeline as runs and log give it together. Changes nothing. One thread; blocks.
 *
 * The logs stay mapped, and an array of 16 bytes for each copy of a record in a live log says where it lies, in order
 * of user and ts; of the runs nothing is held in memory but their filters. So memory is bounded by the logs, which a
 * server keeps about as large as its memtables, whatever the size of the store.
 */
#ifndef CHITCHAT_STORAGE_ATREST_H
#define CHITCHAT_STORAGE_ATREST_H

#include "storage/datadir.h"
#include "storage/problems.h"
#include "storage/record.h"

struct atrest;
struct run;

struct atrest_counts {
    uint64_t segments; /* live */
    uint64_t batches;
    uint64_t records;
    uint64_t torn_tails;
    uint64_t runs;
    uint64_t rows;
};

/* Opens all that can be opened; what cannot be is told to `problems`, and is left out. `datadir` is open to be read,
 * and borrowed like `problems`. 0 or -ENOMEM. */
int atrest_open(struct atrest **atrest_r, const struct datadir *datadir, struct problems *problems);
/* Nulls *atrest; NULL is fine. */
void atrest_close(struct atrest **atrest);
void atrest_count(const struct atrest *atrest, struct atrest_counts *counts_r);

/* The opened runs of a shard, by index; NULL past the last. `path_r`: its file, standing until the next call. */
struct run *atrest_run(struct atrest *atrest, uint32_t shard, uint32_t index, const char **path_r);

/* The entries of one shard's timelines, by user and then ts, each once: all, or those of `user` (bytes 0: all). */
struct atrest_rows;
int atrest_rows_open(struct atrest_rows **rows_r, struct atrest *atrest, uint32_t shard, struct span user);
void atrest_rows_close(struct atrest_rows **rows);
/* 1 and the entry, with its user, borrowed until the next call; 0 at the end; -errno: a file cannot be read, which has
 * been told. Entries at one place that differ are told, and the first one is given; those that do not differ are what a
 * crash between a checkpoint's commit and the log's release leaves. */
int atrest_rows_next(struct atrest_rows *rows, struct span *user_r, struct message *message_r);

#endif
