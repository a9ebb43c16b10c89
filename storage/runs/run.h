/*
 * run.h: one run: an immutable LMDB file of rows (record.h), written once in key order, then only read; behind the
 * rows, under keys that begin with 0xFF, the filter of its users and a CRC32C of all rows, for whoever checks them
 * (run_check.h): reading does not.
 *
 * run_write: one thread per file. run_open: alone. Afterwards any thread may read through a cursor of its own; the
 * store counts who does, and closes a run when nobody does.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_H
#define CHITCHAT_STORAGE_RUNS_RUN_H

#include <lmdb.h>

#include "storage/runs/filter.h"
#include "storage/runs/manifest.h"

#define RUN_READERS_MAX 4
#define RUN_PATH_BYTES 1024u
#define RUN_FILTER_PREFIX 0xFF
#define RUN_FILTER_KEY_BYTES 9u /* the prefix, then the offset of the piece, big endian */
#define RUN_CRC_KEY "\xff\xff"
/* No merge makes a larger file. */
#define RUN_BYTES_MAX (UINT64_C(128) << 30)

/* A read transaction and its cursor, kept for the life of the run by the one reader that uses the slot. */
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

    /* Each owned by one reader's thread while it has the run pinned. */
    struct run_slot slots[RUN_READERS_MAX];

    /* Owned by the merge thread. */
    bool is_taken; /* a merge under way reads it */

    /* Under the store's lock. */
    uint32_t refs; /* by lists of runs, and by merges */
    struct run *next_dead;
};

/* DIR/run-NNNNNNNNNNNN.mdb; DIR is short enough (store_open checks). */
void run_path(char out[RUN_PATH_BYTES], const char *dir, uint64_t id);

/* Asked between slices of run_write; 0 to go on, else run_write ends with it. */
typedef int run_slice_function(void *context, uint64_t entries);

/* Writes all of `source` to the file of entry->id and makes it durable, directory included; fills in rows, entries,
 * ts_min, ts_max and file_bytes. On an error, -errno, the file is gone again. An empty source: rows 0 and no file. */
int run_write(const char *dir, struct run_source *source, struct run_entry *entry, run_slice_function *on_slice,
              void *context);

/* The CRC of the rows, one after the other, begun with 0. */
uint32_t run_crc(uint32_t crc, struct span key, struct span value);

/* Opens and checks against the entry. 0, or -errno with *error_r told (-EBADMSG: not the file that was written). */
int run_open(struct run **run_r, const char *dir, const struct run_entry *entry, struct store_error *error_r);
/* Nobody reads it any more. Nulls *run. */
void run_close(struct run **run);

/* The cursor of a slot, made at its first use. 0 or -errno. */
int run_slot_cursor(struct run *run, uint32_t slot, MDB_cursor **cursor_r);
/* After a page that could not be read: the next use of the slot begins anew. */
void run_slot_close(struct run *run, uint32_t slot);

#endif
