/*
 * store_private.h: what store.c (open, add), store_merge.c and store_read.c share. Nobody else includes it.
 */
#ifndef CHITCHAT_STORAGE_RUNS_STORE_PRIVATE_H
#define CHITCHAT_STORAGE_RUNS_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/runs/run.h"

/* The live runs at one moment, oldest first. It never changes; a commit makes a new one. */
struct run_list {
    uint32_t refs; /* under the store's lock: one of the store while it is the current one, one of each pin */
    uint32_t count;
    struct run *runs[];
};

struct store {
    /* Set by open, then only read. */
    char *dir;
    char *data_dir; /* may be NULL */
    struct store_options options;
    struct manifest *manifest;
    struct store_throttle throttle;

    /* Serialises commits: checkpoint and merge thread. Taken before `lock`. */
    pthread_mutex_t commit_lock;
    bool is_in_doubt;

    /* The merge thread's: runs that no manifest names and nobody reads, whose files are still there. */
    uint64_t kept_ids[STORE_KEPT_MAX];
    atomic_uint kept_count; /* read by others */

    /* Under `lock`, held for a few instructions. */
    pthread_mutex_t lock;
    struct run_list *list;
    struct run *dead; /* to be closed by the merge thread */
    struct manifest_marks marks;
    uint32_t reader_count; /* ever opened: their slots */
    uint32_t run_count_most;
    uint64_t run_bytes;
    uint64_t merge_bytes;
};

/* The current list, which stands until it is unpinned. Any thread. */
struct run_list *store_ref_list(struct store *store);
void store_unref_list(struct store *store, struct run_list *list);

/* One run stands, as if it were in a pinned list, until it is let go. Any thread. */
void store_ref_run(struct store *store, struct run *run);
void store_unref_run(struct store *store, struct run *run);

/* For store_info. Any thread. */
void store_count_bytes(struct store *store, uint64_t run_bytes, uint64_t merge_bytes);

/* A number for a new file. Any thread. */
uint64_t store_take_id(struct store *store);
/* As they stand, numbers that were taken included. Any thread. */
struct manifest_marks store_marks(struct store *store);

/* Under commit_lock: one commit of {+ added, - removed} and the marks, then the list is swapped. `added` is open (or
 * NULL) and is the store's from now on, if 0 is returned. On an error nothing has changed, or the store is in doubt. */
int store_commit(struct store *store, const struct manifest_marks *marks, struct run *added, struct run *const *removed,
                 uint32_t removed_count);

/* Closes the runs that no list holds any more and nobody reads; up to `ids_max` of their numbers: how many. Merge
 * thread, or close. */
uint32_t store_take_dead(struct store *store, uint64_t *ids_r, uint32_t ids_max);
/* Whether there are such. Any thread. */
bool store_has_dead(struct store *store);

/* The rows of `runs` in key order, equal keys once, without filters; borrows the runs, which are pinned. 0 or -errno.
 */
int merge_source_open(struct run_source **source_r, struct run *const *runs, uint32_t count);

/* 0, or -EIO and *error_r: nothing may be written to runs any more. */
int store_check_doubt(struct store *store, struct store_error *error_r);

int store_set_error(struct store_error *error_r, int status, const char *dir, const char *what);

#endif
