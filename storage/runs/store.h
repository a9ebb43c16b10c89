/*
 * store.h: one shard's runs and the manifest that names them. The server reaches LMDB only through this.
 *
 * A run is one immutable LMDB file (the rows of record.h), whose pages run_pages.h writes once, and which is then only
 * read. The manifest is a small LMDB environment in full durability. Its commit is the only point at which runs come
 * and go, and at which the applied position of the WAL and the last ts change. store_open removes run files that the
 * manifest does not name, and refuses a named run whose size or number of entries differs.
 *
 * Threads: store_open and store_close, while no other thread uses the store. store_add_run: the checkpoint thread.
 * store_merge_run: the merge thread. store_assign: the recycler's thread. (At start recovery is both.) A store_reader:
 * one thread at a time. Where any thread may call, it says so. The list of runs is replaced under a lock that is held
 * for a few instructions; a reader refs the list for one call. Everything but the functions for any thread blocks.
 *
 * Errors: 0 or -errno, LMDB's results mapped to errno; -EBADMSG is damage. Where a call takes a struct store_error, the
 * text says which file, what is wrong, and what to do. A page of a run that the disk cannot read is -EIO for the call
 * that read it (page_guard.h), and changes nothing else. When the manifest is in doubt (a commit failed, and the disk
 * may or may not have it), nothing is written until the next start.
 */
#ifndef CHITCHAT_STORAGE_RUNS_STORE_H
#define CHITCHAT_STORAGE_RUNS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "storage/record.h"
#include "storage/runs/run_source.h"
#include "storage/store_position.h"
#include "storage/wal_assigned.h"

struct store;
struct store_reader;

struct store_error {
    char text[2048]; /* one line: file, what is wrong, what to do */
};

struct store_options {
    uint32_t runs_max; /* the cap: with so many runs store_add_run refuses; at least 2 and fan_out (asserted) */
    uint32_t fan_out;  /* runs of one level, adjacent in time, that a merge takes; 2 to STORE_FAN_OUT_MAX (asserted) */
    const char *data_dir; /* where the backup lock is (backup_lock.h), copied; NULL: there are no backups */
};

/* A merge has at most so many inputs. */
#define STORE_FAN_OUT_MAX 32u

/* A slice of a merge that was written. */
struct store_slice {
    uint64_t rows;   /* of all kinds, in the slice */
    uint32_t levels; /* that a row rises at present, from its checkpoint to the highest run */
    uint32_t run_count;
    uint32_t runs_max;
};

/* Callbacks that limit the rate of writes (throttle.h): called after each slice, on the writing thread. They may block.
 * Either may be NULL. */
struct store_throttle {
    void (*on_checkpoint_slice)(void *context, uint64_t rows);
    void (*on_merge_slice)(void *context, const struct store_slice *slice);
    void *context;
};

/* At most so many files of merged runs are kept on the disk for a backup that has the backup lock or copies them. */
#define STORE_KEPT_MAX 64u

struct store_info {
    uint32_t run_count;
    uint32_t run_count_most; /* the largest run_count since store_open */
    uint64_t run_bytes;      /* that checkpoints wrote since store_open */
    uint64_t merge_bytes;    /* that merges wrote since store_open */
    uint64_t row_count;      /* timeline rows of all runs */
    uint64_t ts_max;         /* the newest ts in any run; 0: none */
    uint64_t last_ts;        /* the newest ts that the shard had given, as of the last manifest commit, or of a cut */
    struct store_position applied;
};

/* Opens `dir`, which is made if it is missing (it has `manifest.mdb` and `run-NNNNNNNNNNNN.mdb`), removes run files
 * that no manifest names, and opens the runs. Copies `dir` and `options`. 0, and the caller closes *store_r; or -errno
 * with the reason in *error_r. */
int store_open(struct store **store_r, const char *dir, const struct store_options *options,
               struct store_error *error_r);
/* No read, checkpoint or merge may run. Nulls *store; NULL is fine. */
void store_close(struct store **store);
/* Any thread. */
void store_info(struct store *store, struct store_info *info_r);
/* Before any checkpoint or merge. Copies `throttle`. Without it they have no limit. */
void store_set_throttle(struct store *store, const struct store_throttle *throttle);

/* Checkpoint thread: writes the rows of `source` (borrowed) as a run, and commits the run with `applied` and `last_ts`.
 * The order is: write the file, sync and close it, sync the directory, open the run, commit the manifest, replace the
 * list. So no crash leaves a manifest that names an incomplete run, and nothing can fail after the commit. An empty
 * source commits only the marks. 0; -EAGAIN: there are runs_max runs, a merge must come first; or -errno with the
 * reason in *error_r. After an error nothing has changed, the file is removed, and the caller may try again with a new
 * source; unless the manifest is in doubt: then the file stays, and every later call is -EIO. */
int store_add_run(struct store *store, struct run_source *source, struct store_position applied, uint64_t last_ts,
                  struct store_error *error_r);
/* Recycler's thread: commits to the manifest which files the next segments of the WAL have. Borrows `assigned`. 0, or
 * -errno with the reason in *error_r: nothing has changed, or the manifest is in doubt. */
int store_assign(struct store *store, const struct wal_assigned *assigned, struct store_error *error_r);
/* What the manifest has, borrowed from the store. Recycler's thread; recovery's before that begins. */
const struct wal_assigned *store_assigned(const struct store *store);
/* Any thread: whether there are runs_max runs, so that store_add_run would refuse. */
bool store_is_at_cap(struct store *store);

/* Any thread, while store_merge_run does not run: whether store_merge_run has something to do: runs to merge
 * (merge_rule.h), files of merged runs to remove, time to look for runs with entries that were cut long ago, or runs of
 * a version without the index by peer (peer_index.h). */
bool store_merge_is_due(struct store *store);
/* Merge thread: does one merge (merge_rule.h), whole, if one is due, else rewrites or drops one run with entries that
 * were cut long ago (store_set_cut_time), else rewrites one without the index by peer. It writes the new run, commits
 * {+ new, - old}, replaces the list. Between its slices it does the shorter merges that have become due. Old runs are
 * closed when their last reference is gone, and their files removed (run_remove.h), by this or a later call.
 *
 * `should_stop` (may be NULL) is called between slices. If it returns true, the unfinished run is removed and the
 * result is -ECANCELED.
 *
 * While a backup has the backup lock, or copies a run, the files of old runs are kept for a later call. If no merge was
 * due and such files are left, the result is -ECANCELED. At STORE_KEPT_MAX files the store overtakes the backup that
 * has the lock. A file that a backup still copies then loses its name at once, which does not harm the copy.
 *
 * 0, also if nothing was due; or -errno with the reason in *error_r. After an error the old runs are as before, unless
 * the manifest is in doubt. */
int store_merge_run(struct store *store, bool (*should_stop)(void *context), void *context,
                    struct store_error *error_r);

/* Opens a reader, for one thread at a time. A store gives 4 in its life: then -EMFILE, also if some are closed. 0 or
 * -errno. Borrows `store`; the caller closes *reader_r. Any thread. */
int store_reader_open(struct store_reader **reader_r, struct store *store);
/* Nulls *reader; NULL is fine. */
void store_reader_close(struct store_reader **reader);
/* Reader thread: true, once, after a read that failed because a run cannot be read; *error_r says why. Rows in other
 * places can still be read. */
bool store_reader_take_error(struct store_reader *reader, struct store_error *error_r);

/* -- Cuts (cuts.h). The store keeps them, saves them with the next checkpoint or merge, and leaves what they cover out
 * of the runs that it writes. The reads below do not look at them: their caller raises the lower bound of its range. --
 */

/* Any thread: the entries of `user` up to `ts` (at least 1) are gone; a user without bytes is all users. 0; -ENOMEM; or
 * -ENOSPC: there are CUTS_MAX. */
int store_cut(struct store *store, struct span user, uint64_t ts);
/* The same, and durable by a commit of its own when it returns 0. Else -errno with the reason in *error_r: there is no
 * cut, or the manifest is in doubt. */
int store_cut_saved(struct store *store, struct span user, uint64_t ts, struct store_error *error_r);
/* Any thread: up to which ts entries of `user` are gone. 0: none. A store without cuts costs one load. */
uint64_t store_cut_ts(struct store *store, struct span user);
/* Any thread: whether store_cut would take `coming` more users and one more. */
bool store_has_cut_room(struct store *store, uint32_t coming);
/* Any thread: the wall time, the time by which the keys of sends age, and for how long entries may stay in a run after
 * they were cut: then a merge rewrites that run alone, or drops it whole. Before the first call no run is rewritten for
 * that, and all keyed sends stay. */
void store_set_cut_time(struct store *store, uint64_t now_us, uint64_t keys_now_us, uint64_t within_us);
/* Any thread: whether it is time to look for such runs. */
bool store_look_is_due(struct store *store);
/* While no other thread uses the store: rewrites all runs without what is cut, keyed sends too. 0, or -errno as
 * store_merge_run. */
int store_compact(struct store *store, struct store_error *error_r);

/* The rows of one read, as views. The page has copies of the rows, which stand until its next read or close: no run is
 * referenced after the read. One thread at a time. */
struct store_page;
/* An empty page. 0 or -ENOMEM. The caller closes *page_r. */
int store_page_open(struct store_page **page_r);
/* Nulls *page; NULL is fine. */
void store_page_close(struct store_page **page);
/* The number of rows; 0 after a read that failed. */
uint32_t store_page_count(const struct store_page *page);
/* The views of the rows, store_page_count of them, ascending by ts. They borrow the page. May be NULL if there are
 * none. */
const struct message *store_page_messages(const struct store_page *page);
/* The view of row `index`, below store_page_count (asserted). Borrows the page. */
struct message store_page_message(const struct store_page *page, uint32_t index);
/* Bytes of memory that the page has allocated, and keeps for its next read. */
size_t store_page_memory_bytes(const struct store_page *page);

struct store_range {
    uint64_t after;     /* exclusive */
    uint64_t before;    /* exclusive */
    bool oldest_first;  /* which end a short page takes; the page itself is always ascending */
    uint32_t rows_max;  /* at least 1 (asserted) */
    uint32_t bytes_max; /* of row values; the first row is given even if it is larger */
};

/* Reader thread: reads the rows of `user` in the range from all runs into `page`, equal keys once. *more_r: the range
 * has more rows. 0, or -errno and the page is empty (-EBADMSG: damage, -EIO: the disk cannot read a page). */
int store_reader_range(struct store_reader *reader, struct span user, const struct store_range *range,
                       struct store_page *page, bool *more_r);

/* Reader thread: *ts_r is the newest ts of `user` below `before`; 0: none. 0 or -errno. */
int store_reader_newest(struct store_reader *reader, struct span user, uint64_t before, uint64_t *ts_r);

/* Reader thread: writes the newest ts of `user` in after < ts < before, newest first and equal ones once, to `ts_list`,
 * at most `count_max`. *count_r is how many. 0 or -errno. */
int store_reader_newest_some(struct store_reader *reader, struct span user, uint64_t after, uint64_t before,
                             uint64_t *ts_list, uint32_t count_max, uint32_t *count_r);

struct store_keyed {
    uint64_t ts;
    uint64_t hash;
};

/* Reader thread: writes the newest rows of the key index of `user` with ts >= `since` to `keyed`, newest first,
 * *count_r of them, at most `keyed_max`. 0 or -errno. */
int store_reader_keyed(struct store_reader *reader, struct span user, uint64_t since, struct store_keyed *keyed,
                       uint32_t keyed_max, uint32_t *count_r);

/* -- by peer (peer_index.h): conversations. Entries that are not indexed, in runs of a version without the index, are
 * read one by one; so calls may have to be repeated, and other reads go between. -- */

struct store_with {
    struct span peer; /* borrowed; the user: their messages to themselves */
    bool only_received;
};

/* Reader thread: as store_reader_range, of the rows with a peer only. A call reads a limited number of rows. *more_r:
 * the range has more; then all of it from the end that it is read from to *bound_r, inclusive, was looked at, and the
 * next call has `before` or, with oldest_first, `after` there. A page may be empty and have more. */
int store_reader_with(struct store_reader *reader, struct span user, const struct store_with *with,
                      const struct store_range *range, struct store_page *page, uint64_t *bound_r, bool *more_r);

struct store_checked_peer {
    struct span name; /* borrowed; the user: their messages to themselves */
    uint64_t ts;      /* of an entry with them, not always the newest; 0: none was found */
};

struct store_peer_check {
    struct span user; /* borrowed */
    uint64_t after;   /* exclusive, as in struct store_range */
    uint64_t before;
    struct store_checked_peer *peers; /* borrowed; ts is 0 at first */
    uint32_t count;
    uint32_t looks_max; /* at least 1 (asserted): a call ends soon after it has read so many entries. A search for a
                         * peer in a block of the index costs as much as 8 of them. */
};

/* Reader thread: finds for each peer of `check` whether the user has an entry with them in the range, and stops where
 * all are found. 1: call it again, with check->before as this call has set it; 0: done; or -errno. */
int store_reader_check_peers(struct store_reader *reader, struct store_peer_check *check);

/* Reader thread: the marks of (user, peer), 0 where there are none. 0 or -errno. */
int store_reader_marks(struct store_reader *reader, struct span user, struct span peer, struct seen_marks *marks_r);

/* The conversations of a user, newest first: a page of them. The shard's thread opens it, adds what memory has, and has
 * the reader's thread step it; then it asks and closes. One thread at a time. The first step refs the list of runs,
 * until the close or the rest.
 *
 * The index of the user is read from its newest block on until the page is known: for the first page mostly that of the
 * newest run, for a page far back all of it, unless a walk goes on there (store_peers_rest). A piece of the index costs
 * some 50 ns, and there is one for each peer and block of each run. The memory is some 60 bytes and a name for each
 * conversation that was passed, and up to 16 KB for the unseen of each of the page. A step reads about STORE_PEERS_STEP
 * pieces or rows. */
struct store_peers;
#define STORE_PEERS_STEP 4096u
/* Pages and walks of a store, together: one above the small size that is not alone ends where they take more. */
#define STORE_PEERS_BYTES_MAX ((size_t)18 << 20)
#define STORE_PEERS_BYTES_SMALL ((size_t)64 << 10)
struct store_peers_query {
    uint64_t after;  /* entries up to it are gone (store_cut_ts) */
    uint64_t bound;  /* entries from it on are not visible */
    uint64_t before; /* only conversations whose newest entry is below; UINT64_MAX: all */
    uint32_t limit;  /* of the page: 1 to LIMIT_PAGE_ENTRIES (asserted) */
};
/* Copies `user` and `query`. 0, and the caller closes *peers_r; or -ENOMEM. */
int store_peers_open(struct store_peers **peers_r, struct store *store, struct span user,
                     const struct store_peers_query *query);
/* Nulls *peers; NULL is fine. Before store_close. */
void store_peers_close(struct store_peers **peers);
/* Before the first step: memory has entries with `peer` (copied), the newest visible one at `newest`. 0 or -ENOMEM. */
int store_peers_add(struct store_peers *peers, struct span peer, uint64_t newest);
/* Reader thread, of the same store: 1: call it again; 0: the page is complete; or -errno, -ENOMEM too where all
 * together take too much: nothing but a close may follow. */
int store_peers_step(struct store_peers *peers, struct store_reader *reader);

/* The walk goes on with another page: rest, and later resume, at the page's `next`. The page is complete, and is gone;
 * the runs are given up. From the second page on the marks of all conversations are known, unless they are many. */
void store_peers_rest(struct store_peers *peers);
/* 1: step it again; 0: the store's runs are others now; or -ENOMEM. After 0 and -ENOMEM nothing but a close may follow.
 * The caller has seen that the user has no visible entries that the query of the open did not show. */
int store_peers_resume(struct store_peers *peers, uint64_t before, uint32_t limit);
bool store_peers_is_of(const struct store_peers *peers, struct span user);
/* The memory of one that rests. */
size_t store_peers_bytes(const struct store_peers *peers);

struct store_peer {
    struct span name;
    uint64_t newest;            /* in runs and memory */
    struct seen_marks marks;    /* of the runs, whatever is cut */
    const struct message *last; /* the entry at `newest`, if a run has it; NULL: memory has it */
    bool is_in_memory;          /* it was given to store_peers_add */
};
/* The conversations of the page: newest first, at most `limit`, fewer if their messages have more than
 * LIMIT_PAGE_BYTES; and whether there are more. */
uint32_t store_peers_count(const struct store_peers *peers);
bool store_peers_more(const struct store_peers *peers);
/* Conversation `index` of the page. *peer_r borrows `peers`. */
void store_peers_get(const struct store_peers *peers, uint32_t index, struct store_peer *peer_r);
/* How many messages the user has received in conversation `index` above `seen`, in runs and in memory, each once: of
 * memory those at `memory_ts`, in any order. `seen` is at or above the mark of the runs and the cut. At most
 * STORE_UNSEEN_MAX, which stands for more, too. */
#define STORE_UNSEEN_MAX 1000u
uint32_t store_peers_unseen(const struct store_peers *peers, uint32_t index, uint64_t seen, const uint64_t *memory_ts,
                            uint32_t memory_count);

/* For tests: what a reader has done since it was opened. */
struct store_work {
    uint64_t entries;  /* that store_reader_range gave, and the reads by peer read without the index */
    uint64_t searches; /* for a peer in a block of the index */
};
/* For tests. Reader thread. */
struct store_work store_reader_work(const struct store_reader *reader);

/* For tests. Reader thread: calls `visit` for every timeline row of all runs in key order, equal keys once. If `visit`
 * does not return 0, the walk ends and returns that. Not guarded against pages that cannot be read. */
int store_reader_walk(struct store_reader *reader,
                      int (*visit)(void *context, struct span user, const struct message *message), void *context);

#endif
