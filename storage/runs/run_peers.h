/*
 * run_peers.h: the index by peer (peer_index.h) of one user in one run, through a cursor of the run: which blocks there
 * are, and where a peer's entries are in them. What is borrowed from the run's map stands as long as the cursor's
 * transaction. One thread; the caller guards against pages that cannot be read (page_guard.h).
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_PEERS_H
#define CHITCHAT_STORAGE_RUNS_RUN_PEERS_H

#include <lmdb.h>

#include "storage/record.h"
#include "storage/runs/peer_index.h"
#include "storage/runs/run.h"
#include "storage/runs/run_hints.h"

struct run_peers {
    const struct run *run;
    MDB_cursor *cursor;
    struct run_hints *hints; /* borrowed; NULL: none are kept */
    struct run_hint hint;    /* what is known of the user in this run */
    uint64_t row_at;         /* the place of the row that run_peers_seek or run_peers_step gave; 0: the cursor's */
    struct span user;        /* borrowed */
    struct span directory;   /* empty: the one block, or none */
    struct peer_block one;
    struct span filter; /* of the last block; empty: none was found yet */
    bool has_filter;
    uint32_t block_count;
    uint64_t newest; /* ts of the user's last entry */
};

/* Looks how the entries of `user` (with its filter_hash) in `run`, whose cursor it is, are indexed; borrows all.
 * `hints` are used and added to; NULL: none. 1: they have entries in the run; 0: none; or -errno. After 1 and 0
 * hint.marks says whether there are marks of the user's conversations. */
int run_peers_open(struct run_peers *peers, const struct run *run, MDB_cursor *cursor, struct span user,
                   uint64_t user_hash, struct run_hints *hints);
/* Block `at`, below block_count. Blocks ascend; entries above the last one are not indexed. */
struct peer_block run_peers_block(const struct run_peers *peers, uint32_t at);
/* The last indexed ts; 0: nothing is indexed. */
uint64_t run_peers_last(const struct run_peers *peers);
/* How many blocks begin below `ts`, and how many end at or below it. */
uint32_t run_peers_begun(const struct run_peers *peers, uint64_t ts);
uint32_t run_peers_ended(const struct run_peers *peers, uint64_t ts);

/* What run_peers_find costs, in entries that are read one by one. */
#define RUN_PEERS_FIND_LOOKS 8u

/* The entries of `peer` in the block that are next below `at` or, with `oldest_first`, next above it: *piece_r has some
 * of them. 1; 0: the block has no more; or -errno. */
int run_peers_find(struct run_peers *peers, struct peer_block block, struct span peer, uint64_t at, bool oldest_first,
                   struct peer_piece *piece_r);

/* Goes to the row of the index that has the pieces of `peer` in the block, or would have; `peer` empty: to the first
 * row. *row_r has its pieces. 0 or -errno. */
int run_peers_seek(struct run_peers *peers, struct peer_block block, struct span peer, struct peer_row *row_r);
/* The same for a row by its key: `peer` and `ts` are those that run_peers_step gave. */
int run_peers_seek_row(struct run_peers *peers, struct peer_block block, struct span peer, uint64_t ts,
                       struct peer_row *row_r);
/* The filter of the peers from whom the user received something in the block, borrowed from the run's map. 1; 0: the
 * block has none; or -errno. Moves the cursor. */
int run_peers_filter(const struct run_peers *peers, struct peer_block block, struct filter *filter_r);
/* Goes on to the next row of the block. 1, with the row, and the peer and ts of its key; 0: that was the last; or
 * -errno. */
int run_peers_step(struct run_peers *peers, struct peer_block block, struct peer_row *row_r, struct span *peer_r,
                   uint64_t *ts_r);

/* The entry next below `at` or, with `oldest_first`, next above it, if it is not indexed: entries are read one by one
 * from above the last block. 1 with *ts_r and *value_r; 0: the next is indexed, or there is none; or -errno. With
 * `is_there` the cursor is still at the entry at `at`, which this function gave. */
int run_peers_entry(const struct run_peers *peers, uint64_t at, bool oldest_first, bool is_there, uint64_t *ts_r,
                    struct span *value_r);
/* The row of the entry at `ts`, which is read at `place` if it is known (not 0), else searched. 0; or -errno: -EBADMSG,
 * there is none. */
int run_peers_get(const struct run_peers *peers, uint64_t ts, uint64_t place, struct span *value_r);
/* Prefetches the rows of the first `count` entries. */
void run_peers_prefetch(const struct run_peers *peers, const struct peer_entry *entries, uint32_t count);

#endif
