/*
 * store.h: the one door to LMDB: one shard's runs and the manifest that names them.
 *
 * A run is one immutable LMDB file (the rows of record.h), written once by MDB_APPEND and then only read. The
 * manifest is a small LMDB environment in full durability; its commit is the one point at which runs come and
 * go, and with them the applied position of the log and the last ts. What the manifest does not name is removed
 * at open; a named run whose size or row count differs is damage and refused.
 *
 * Threads: store_open, store_close, main or recovery, alone. store_add_run: the checkpoint thread. store_merge_*:
 * the merge thread. A store_reader: the one thread that opened it. The list of runs is swapped under a lock held
 * for a few instructions; a reader pins the list for one call. store_info may be called by any of these threads.
 *
 * Errors: -EIO and LMDB's own mapped to errno; -EBADMSG is damage. The text of the last error, with file and what to
 * do, is in struct store_error where a call takes one. A page of a run that the disk does not give is -EIO for the call
 * that came upon it (page_guard.h), and no more than that. When the manifest is in doubt (its commit failed at a point
 * at which the disk may or may not have it), nothing is written any more until the next start.
 */
#ifndef CHITCHAT_STORAGE_RUNS_STORE_H
#define CHITCHAT_STORAGE_RUNS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "storage/record.h"
#include "storage/runs/run_source.h"
#include "storage/store_position.h"

struct store;
struct store_reader;

struct store_error {
    char text[2048]; /* one line: file, what is wrong, what to do */
};

struct store_options {
    uint32_t runs_max;    /* past it store_add_run waits for merges; 24 */
    uint32_t fan_out;     /* runs of one level, adjacent in time, that a merge makes into one; 6 (STORE_FAN_OUT_MAX) */
    const char *data_dir; /* where a backup may hold (backup_lock.h), copied; NULL: nowhere */
};

/* Inputs of one merge at most. */
#define STORE_FAN_OUT_MAX 32u

/* A part of a merge that was written. */
struct store_slice {
    uint64_t rows;
    uint32_t levels; /* that a row rises at present, from its checkpoint to the highest run */
    uint32_t run_count;
    uint32_t runs_max;
};

/* Who keeps the pace of what is written (throttle.h): called between slices, on the writing thread, and may wait.
 * Either may be NULL. */
struct store_throttle {
    void (*on_checkpoint_slice)(void *context, uint64_t rows);
    void (*on_merge_slice)(void *context, const struct store_slice *slice);
    void *context;
};

/* Files of merged runs that stay on the disk for a backup that holds, or copies them, at most. */
#define STORE_KEPT_MAX 64u

struct store_info {
    uint32_t run_count;
    uint32_t run_count_most; /* since it was opened */
    uint64_t run_bytes;      /* written since then: by checkpoints */
    uint64_t merge_bytes;    /* by merges */
    uint64_t row_count;      /* timeline rows over all runs */
    uint64_t ts_max;         /* newest ts in any run; 0: none */
    uint64_t last_ts;        /* of the last manifest commit: newest ts that the shard had given */
    struct store_position applied;
};

/* Opens DIR (made if missing; it holds `manifest.mdb` and `run-NNNNNNNNNNNN.mdb`), removes strays, checks runs.
 * Returns 0 or -errno with *error_r told. The caller owns *store_r. */
int store_open(struct store **store_r, const char *dir, const struct store_options *options,
               struct store_error *error_r);
/* No reader, checkpoint or merge may be under way. Nulls *store. */
void store_close(struct store **store);
void store_info(struct store *store, struct store_info *info_r);
/* Before any checkpoint or merge. Without it they go as fast as they can. */
void store_set_throttle(struct store *store, const struct store_throttle *throttle);

/* Checkpoint thread: writes `source` as a run and commits it with `applied` and `last_ts`, in the order of DESIGN
 * (write, sync, close, fsync the directory, open read-only, manifest commit, swap). An empty source commits only
 * the marks. On any error nothing has changed, the file is dropped, and it may be tried again. */
int store_add_run(struct store *store, struct run_source *source, struct store_position applied, uint64_t last_ts,
                  struct store_error *error_r);
/* Whether the run count is at runs_max, so that store_add_run should wait for a merge. Any thread. */
bool store_is_at_cap(struct store *store);

/* Any thread, while no merge is under way: whether some `fan_out` adjacent runs of a level are there to be merged. */
bool store_merge_is_due(struct store *store);
/* Merges the lowest level that is due, whole: new run written, one commit {+ new, - olds}, swap; old runs are closed
 * when their last reader lets go, and their files removed (run_remove.h), here on the merge thread. Between its slices
 * it does the shorter merges that have become due meanwhile (merge_rule.h). `should_stop` is asked between slices (may
 * be NULL); when it says true the half-written run is dropped and -ECANCELED returned. While a backup holds, old runs
 * are not removed, but at a later call (up to STORE_KEPT_MAX of them; then the backup is overtaken), which is due for
 * that too, and -ECANCELED then means that it still holds. The same goes for a run that a backup copies after it held;
 * past that number such runs lose their names at once, and the backup goes on. Returns 0 or -errno. */
int store_merge_run(struct store *store, bool (*should_stop)(void *context), void *context,
                    struct store_error *error_r);

/* A reader of its own: one per thread. 0 or -errno. */
int store_reader_open(struct store_reader **reader_r, struct store *store);
void store_reader_close(struct store_reader **reader);
/* Reader thread: what was wrong with the last read that failed for a run that cannot be read; true once for each. Rows
 * that lie elsewhere are still served. */
bool store_reader_take_error(struct store_reader *reader, struct store_error *error_r);

/* Rows read by one call, as views. Rows are copied into memory of the page, so that they stand until it is
 * reset: the runs are let go before the call returns. */
struct store_page;
int store_page_open(struct store_page **page_r);
void store_page_close(struct store_page **page);
uint32_t store_page_count(const struct store_page *page);
/* The views of the rows, ascending by ts: as many as store_page_count; they borrow the page, whose `user` is the
 * timeline's, as given to the read. NULL if there never was one. */
const struct message *store_page_messages(const struct store_page *page);
/* The view of row `index`. */
struct message store_page_message(const struct store_page *page, uint32_t index);
/* Memory that the page keeps for its next use. */
size_t store_page_memory_bytes(const struct store_page *page);

struct store_range {
    uint64_t after;    /* exclusive */
    uint64_t before;   /* exclusive */
    bool oldest_first; /* which end a short page takes; the page itself is always ascending */
    uint32_t rows_max;
    uint32_t bytes_max; /* of row values; at least one row is given if the range holds one */
};

/* Reader thread: the rows of `user` in the range, over all runs, equal keys once. *more_r: the range holds more.
 * Resets the page first; on an error it is empty. 0 or -errno (-EBADMSG a row that cannot be read). */
int store_reader_range(struct store_reader *reader, struct span user, const struct store_range *range,
                       struct store_page *page, bool *more_r);

/* Reader thread: the newest ts of `user` below `before`, 0 if none. */
int store_reader_newest(struct store_reader *reader, struct span user, uint64_t before, uint64_t *ts_r);

struct store_keyed {
    uint64_t ts;
    uint64_t hash;
};

/* Reader thread: the newest rows of the key index of `user` with ts >= since, newest first, at most keyed_max. */
int store_reader_keyed(struct store_reader *reader, struct span user, uint64_t since, struct store_keyed *keyed,
                       uint32_t keyed_max, uint32_t *count_r);

/* Reader thread: walks every timeline row of every run in key order, equal keys once (verify, dump). `visit` returns 0
 * to go on, else the walk ends and returns that. */
int store_reader_walk(struct store_reader *reader,
                      int (*visit)(void *context, struct span user, const struct message *message), void *context);

#endif
