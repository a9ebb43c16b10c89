/*
 * run.h: a run: an immutable LMDB file of rows (record.h), which is written once in key order and then only read. What
 * writes it adds the index by peer (peer_index.h).
 * Behind the rows, under keys that begin with 0xFF, are the filter of its users and a CRC32C of all rows. run_check.h
 * checks the CRC; reads do not.
 *
 * run_write: one thread a file. run_open: the thread that makes the struct run. Afterwards several threads may read it,
 * each through a slot or a transaction of its own. The store counts references, and closes a run that has none. Blocks.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_H
#define CHITCHAT_STORAGE_RUNS_RUN_H

#include <lmdb.h>

#include "storage/runs/filter.h"
#include "storage/runs/manifest.h"
#include "storage/runs/run_place.h"

#define RUN_READERS_MAX 4
#define RUN_PATH_BYTES 1024u
#define RUN_FILTER_PREFIX ROW_KEY_OTHER_PREFIX
#define RUN_FILTER_KEY_BYTES 9u /* the prefix, then the offset of the piece, big endian */
#define RUN_CRC_KEY "\xff\xff"
/* The inputs of a merge are smaller together. */
#define RUN_BYTES_MAX (UINT64_C(128) << 30)

/* A read transaction and its cursor, made at the first use of the slot and kept until run_slot_close. */
struct run_slot {
    MDB_txn *txn;
    MDB_cursor *cursor;
};

struct run {
    /* Set by run_open, then only read. */
    struct run_entry entry;
    MDB_env *env;
    MDB_dbi dbi;
    struct filter filter;
    struct run_map map;

    /* Each is owned by the thread of one reader, while the reader has a reference. */
    struct run_slot slots[RUN_READERS_MAX];

    /* Owned by the merge thread. */
    bool is_taken; /* an unfinished merge reads it */

    /* Under the store's lock. */
    uint32_t refs;         /* of lists of runs, and of merges */
    struct run *next_dead; /* without references */
};

/* Writes `dir`/run-NNNNNNNNNNNN.mdb to `out`, where it fits (asserted): the caller has checked the length of `dir`. */
void run_path(char out[RUN_PATH_BYTES], const char *dir, uint64_t id);

/* Called between slices of run_write, after `entries` entries more. If it does not return 0, run_write ends with that.
 */
typedef int run_slice_function(void *context, uint64_t entries);

/* Writes all rows of `source` to the file of entry->id, and makes the file and its name durable. Sets the counts of
 * `entry`: all but id, seq_first, seq_last and level. `on_slice` may be NULL. 0; or -errno and there is no file. An
 * empty source gives 0, rows 0 and no file. Borrows all. */
int run_write(const char *dir, struct run_source *source, struct run_entry *entry, run_slice_function *on_slice,
              void *context);

/* The same for a caller that has the rows one by one, of several runs at a time. */
struct run_writer;
/* Begins the file of entry->id in `dir`; `entry` is counted as by run_write. Borrows
 * `dir` and `entry` until the writer is closed. 0 or -errno. */
int run_writer_open(struct run_writer **writer_r, const char *dir, struct run_entry *entry);
/* Adds a row: first those of the key index, then those of timelines and marks, in key order (not checked). The writer
 * adds the index by peer itself, and leaves out rows of one. Copies both. 0 or -errno. */
int run_writer_put(struct run_writer *writer, struct span key, struct span value);
/* Completes the file, and makes it and its name durable. Without a row there is no file. 0 or -errno. */
int run_writer_finish(struct run_writer *writer);
/* Removes the file unless it is complete. Nulls *writer; NULL is fine. */
void run_writer_close(struct run_writer **writer);

/* Continues the CRC of a run's rows with one row, in key order; begin with 0. */
uint32_t run_crc(uint32_t crc, struct span key, struct span value);

/* Opens the run and compares its size and its number of entries with `entry` (copied). 0, and the caller closes *run_r;
 * or -errno (-EBADMSG: not the file that was written) with the reason in *error_r. */
int run_open(struct run **run_r, const char *dir, const struct run_entry *entry, struct store_error *error_r);
/* No thread may read it any more. Nulls *run; NULL is fine. */
void run_close(struct run **run);

/* The cursor of a slot, which the run owns. 0 or -errno. */
int run_slot_cursor(struct run *run, uint32_t slot, MDB_cursor **cursor_r);
/* Closes the cursor and transaction of a slot, after a read that failed. The next use of the slot makes new ones. */
void run_slot_close(struct run *run, uint32_t slot);

#endif
