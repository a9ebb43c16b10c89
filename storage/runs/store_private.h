/*
 * store_private.h: what store.c (open, commits, checkpoints), store_cut.c, store_merge.c, store_read.c, store_with.c,
 * store_peer_check.c, the files behind store_peers_private.h, merge_source.c and offline_marks.c (verify) share. No
 * other file includes it.
 */
#ifndef CHITCHAT_STORAGE_RUNS_STORE_PRIVATE_H
#define CHITCHAT_STORAGE_RUNS_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/runs/run.h"
#include "storage/runs/run_hints.h"

/* The live runs, oldest first. A list is not changed; a commit makes a new one. */
struct run_list {
    uint32_t refs;   /* under the store's lock: the store's, while the list is the current one, and those of readers */
    uint64_t number; /* ascends from list to list of the store */
    uint32_t count;
    struct run *runs[]; /* each referenced by the list */
};

struct store {
    /* Set by open, then only read. */
    char *dir;
    char *data_dir; /* may be NULL */
    struct store_options options;
    struct manifest *manifest;
    struct store_throttle throttle;

    /* Serialises the commits of the checkpoint, the merge and the recycler's thread. Taken before `lock`. */
    pthread_mutex_t commit_lock;
    bool is_in_doubt; /* under commit_lock */

    /* Owned by the recycler's thread. */
    struct wal_assigned assigned; /* as the manifest has it */

    /* Owned by the merge thread: runs that no manifest names, that are closed, and whose files still exist. */
    uint64_t kept_ids[STORE_KEPT_MAX];
    atomic_uint kept_count; /* other threads read it */
    bool drops_keys;        /* store_compact */

    atomic_uint cut_count;     /* of `cuts`: read without the lock */
    atomic_size_t peers_bytes; /* of all struct store_peers */

    /* Under `lock`, held for a few instructions. */
    pthread_mutex_t lock;
    struct run_list *list;
    struct run *dead; /* runs without references: the merge thread closes them */
    struct cuts cuts;
    uint64_t cut_ts_max; /* of `cuts` */
    uint64_t now_us;     /* this and the next two: store_set_cut_time; 0: not yet */
    uint64_t keys_now_us;
    uint64_t within_us;
    uint64_t look_us; /* when to look for runs with entries that were cut long ago */
    struct manifest_marks marks;
    uint32_t reader_count; /* ever opened: the next one's slot */
    uint32_t run_count_most;
    uint64_t run_bytes;
    uint64_t merge_bytes;
};

/* Refs the current list and returns it. Any thread. */
struct run_list *store_ref_list(struct store *store);
void store_unref_list(struct store *store, struct run_list *list);

/* Refs one run, which has a reference already. Any thread. */
void store_ref_run(struct store *store, struct run *run);
void store_unref_run(struct store *store, struct run *run);

/* Adds to run_bytes and merge_bytes of store_info. Any thread. */
void store_count_bytes(struct store *store, uint64_t run_bytes, uint64_t merge_bytes);

/* The number for a new file. Any thread. */
uint64_t store_take_id(struct store *store);
/* The current marks; next_id counts numbers that were taken. Any thread. */
struct manifest_marks store_marks(struct store *store);

/* Under commit_lock: one commit of {+ added, - removed} and the marks, then the list is replaced. `added` is an open
 * run or NULL. 0, and the store owns `added`; or -errno: nothing has changed, or is_in_doubt is set. */
int store_commit(struct store *store, const struct manifest_marks *marks, struct run *added, struct run *const *removed,
                 uint32_t removed_count);

/* Closes the runs without references, and writes up to `ids_max` of their numbers to `ids_r`. Returns how many. The
 * files of the others stay until the next start. Merge thread, or store_close. */
uint32_t store_take_dead(struct store *store, uint64_t *ids_r, uint32_t ids_max);
/* Whether there are runs without references. Any thread. */
bool store_has_dead(struct store *store);

/* How many cuts there are. Any thread. */
uint32_t store_cut_count(struct store *store);

/* Copies the cuts, or only those that are not saved, into *copy_r, which is empty. The lock is held for one slice at a
 * time. A cut that comes meanwhile may be left out: a run whose number was taken before is below its since_id. 0; or
 * -ENOMEM, and *copy_r is empty. Any thread. */
int store_copy_cuts(struct store *store, bool only_unsaved, struct cuts *copy_r);

/* What a run is written from: `source`, without what is cut. */
struct cutting {
    struct run_source *source; /* `inner` itself if there are no cuts */
    struct cuts cuts;          /* those of the time when it was opened */
};
/* Any thread, after store_take_id for the run. Borrows `inner`. 0, and the caller closes *cutting_r; or -ENOMEM. */
int store_cutting_open(struct store *store, struct run_source *inner, struct cutting *cutting_r);
/* `written_id`: the run that was written from it; 0: none. */
void store_cutting_close(struct store *store, struct cutting *cutting, uint64_t written_id);

/* Under commit_lock, not in doubt, before the commit of a run: that commit may let the WAL that has the cuts be
 * recycled, and its run may have keyed sends that are cut. Saves the cuts that have changed. 0; or -errno with the
 * reason in *error_r: nothing has changed, or is_in_doubt is set. */
int store_save_cuts(struct store *store, struct store_error *error_r);

/* Whether the cut of all users covers the run whole. Any thread. */
bool store_run_is_gone(struct store *store, const struct run *run);
/* Merge thread: a run with entries that were cut long ago, with a reference; NULL: none. Then it drops the cuts of
 * users that the cut of all users covers, when no run is to be rewritten for them: they say nothing more. 0 or -errno.
 */
int store_find_stale(struct store *store, struct run **run_r);
/* How often to look: a sixteenth of the time after which entries have to be gone, within these. */
#define STORE_LOOK_MIN_US UINT64_C(1000000)
#define STORE_LOOK_MAX_US UINT64_C(60000000)

/* The rows of `runs` in key order, equal keys once, without filters and checksums. Borrows the runs, to which the
 * caller has references until it closes the source. Reads no page before the first row is asked for. 0 or -ENOMEM. */
int merge_source_open(struct run_source **source_r, struct run *const *runs, uint32_t count);

/* One thread's way into the runs. */
struct store_reader {
    struct store *store;
    uint32_t slot; /* in each run */
    struct run_hints hints;
    struct store_work work;
    struct store_error error;
};

/* Calls `rows` under a guard (page_guard.h). *at is the run that it reads, NULL at first. Returns what `rows` returns;
 * if that is negative, the slots are closed, whose cursors may be in any state, and the reason is kept for
 * store_reader_take_error. */
int store_read_guarded(struct store_reader *reader, const struct run_list *list, struct run *const *at,
                       int (*rows)(void *context), void *context);

/* 0; or -EIO with the reason in *error_r: the manifest is in doubt. Any thread. */
int store_check_doubt(struct store *store, struct store_error *error_r);

/* Writes `dir`, `what` and the text of `status` (-errno) to *error_r. Returns `status`. */
int store_set_error(struct store_error *error_r, int status, const char *dir, const char *what);

#endif
