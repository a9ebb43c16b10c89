/*
 * offline.h: reads a data directory or backup on which no server runs: every shard's manifest, runs and WAL, and every
 * timeline merged from runs and WAL. Changes no file. One thread; blocks.
 *
 * The live segments stay mapped, and an array has 16 bytes for each row of each record in them, in order of user and
 * ts. Of the runs only the filters are in memory. So the memory depends on the WAL, which a server keeps about as large
 * as its memtables, and not on the size of the store.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_OFFLINE_H
#define CHITCHAT_STORAGE_OFFLINE_OFFLINE_H

#include "storage/datadir/datadir.h"
#include "storage/problems.h"
#include "storage/record.h"

struct cuts;
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

/* Opens all that can be opened. What cannot be opened is reported to `problems` and left out. `datadir` was opened by
 * datadir_open_read; both are borrowed until offline_close. 0, and the caller closes *offline_r; -ENOMEM; or
 * -ENAMETOOLONG. */
int offline_open(struct offline **offline_r, const struct datadir *datadir, struct problems *problems);
/* Nulls *offline; NULL is fine. */
void offline_close(struct offline **offline);
/* What was opened and read so far. */
void offline_count(const struct offline *offline, struct offline_counts *counts_r);

/* The run of this index among the opened ones of a shard, one of the directory (asserted, here and below); owned by
 * `offline`; NULL past the last. *path_r is its file,
 * borrowed until the next call. */
struct run *offline_run(struct offline *offline, uint32_t shard, uint32_t index, const char **path_r);

/* Up to which ts entries of `user` are gone (storage/runs/cuts.h); 0: none. */
uint64_t offline_cut_ts(const struct offline *offline, struct span user);
/* Whether the other copy of the message is cut. One that should be there and is not looks the same. Never true of a
 * message to oneself that is there. */
bool offline_is_alone(const struct offline *offline, const struct message *message);
/* The cut of this index among those of a shard: its ts, and the user, borrowed, without bytes for all users. 0: past
 * the last. */
uint64_t offline_cut(const struct offline *offline, uint32_t shard, uint32_t index, struct span *user_r);
/* The cuts of a shard, borrowed. */
const struct cuts *offline_cuts(const struct offline *offline, uint32_t shard);

/* The entries of one shard's timelines, by user and then ts, each once, without those that are cut. */
struct offline_rows;
/* All entries, or those of `user` if it has bytes (LIMIT_USER_BYTES at most, asserted; copied). 0, and the caller
 * closes *rows_r; or -errno: a file cannot be read, which was reported. Borrows `offline`. */
int offline_rows_open(struct offline_rows **rows_r, struct offline *offline, uint32_t shard, struct span user);
/* Nulls *rows; NULL is fine. */
void offline_rows_close(struct offline_rows **rows);
/* 1 and the next entry with its user, borrowed until the next call; 0 at the end; or -errno: a file cannot be read,
 * which was reported: then nothing but a close may follow. Of several entries of one user and ts the first is given.
 * Entries that differ are reported; equal ones are normal, as a crash between a checkpoint's commit and the release of
 * segments leaves them. */
int offline_rows_next(struct offline_rows *rows, struct span *user_r, struct message *message_r);

/* Whether an entry stands at `ts` in the timeline of `user`, cut or not: 1 or 0; or -errno: a file cannot be read,
 * which was reported. Borrows `user`. */
int offline_has_entry(struct offline *offline, struct span user, uint64_t ts);

#endif
