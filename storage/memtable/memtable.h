/*
 * memtable.h: one generation of what is in the WAL and not yet in a run: for each user the entries of the timeline,
 * ordered by ts, and the marks of conversations.
 *
 * One thread, the shard's (recovery's before the shard starts), fills a generation and closes it. After memtable_freeze
 * only indexes by peer change, and the checkpoint thread may read it (memtable_source_open) while the shard reads it
 * too. Entries may come out of order, mostly near the end of a timeline. The same (user, ts) is kept once.
 *
 * A user has a sorted array of {ts, record} in two levels: chunks of at most 4,096 entries, and a directory of chunks.
 * A user's first chunk grows by doubling. So an append takes constant time, a seek is a binary search, and nothing
 * larger than a chunk or a directory is moved. Index memory comes in blocks of 1 MiB from the record heap
 * (record_heap_index_take), and goes back to it when the generation is closed.
 */
#ifndef CHITCHAT_STORAGE_MEMTABLE_MEMTABLE_H
#define CHITCHAT_STORAGE_MEMTABLE_MEMTABLE_H

#include "base/hash.h"
#include "storage/memtable/record_heap.h"
#include "storage/runs/run_source.h"

struct memtable;

struct memtable_hit {
    uint64_t ts;
    struct record *record; /* borrowed from the generation */
    enum role role;
};

/* An empty generation whose records and memory are of `heap`, which is borrowed until it is closed. `name_seed` is for
 * its table of users, `key_seed` for memtable_key_hash. 0, or -ENOMEM: no memory, or the heap has no free group. The
 * caller closes *table_r. */
int memtable_open(struct memtable **table_r, struct record_heap *heap, struct hash_key name_seed,
                  struct hash_key key_seed);
/* Unrefs the records and gives the memory back. Nulls *table; NULL is fine. */
void memtable_close(struct memtable **table);
/* The same in slices, so that a large generation does not stall a turn: at most `blocks_max` blocks of 1 MiB, of
 * records or of index memory. True: done, and *table is NULL. False: call it again, and nothing else may be done with
 * the table. */
bool memtable_close_some(struct memtable **table, uint32_t blocks_max);

/* Puts `record` into the timeline of its sender (ROLE_SENT), of its recipient (ROLE_RECEIVED) or of both (ROLE_SELF),
 * at that timeline's ts (1 to LIMIT_TS_MAX, asserted), and refs it through the table's group. 0, or -ENOMEM: no entry
 * was added. Not after memtable_freeze (asserted). */
int memtable_insert(struct memtable *table, struct record *record, enum role role);

/* The entries of one user; it stands as long as the generation. */
struct mem_user;
/* The entries of `user` (1 to LIMIT_USER_BYTES), made if there are none. Borrowed from the table. NULL: no memory. */
struct mem_user *memtable_user(struct memtable *table, struct span user);
/* The same without making them; NULL: there are none. */
struct mem_user *memtable_find_user(const struct memtable *table, struct span user);
/* A sum that the caller keeps for the user, as long as the generation stands; at most UINT32_MAX. */
void memtable_user_add_cost(struct mem_user *user, uint64_t cost);
uint32_t memtable_user_cost(const struct mem_user *user);
/* As memtable_insert, without a look-up: `user` is the timeline's, of this table. */
int memtable_insert_at(struct memtable *table, struct mem_user *user, struct record *record, enum role role);

/* Nothing may be inserted from now on. */
void memtable_freeze(struct memtable *table);
/* Takes a freeze back, when no source reads the table: for recovery, where a run could not be written. */
void memtable_thaw(struct memtable *table);

/* The number of entries. */
uint64_t memtable_entry_count(const struct memtable *table);
/* The size that limits a generation, in bytes: the records, each in full for each of its entries, and the users, chunks
 * and directories. */
uint64_t memtable_bytes(const struct memtable *table);

/* Writes up to `hits_max` entries of `user` with after < ts < before to `hits`: the oldest ones if `oldest_first`, else
 * the newest ones; in both cases in ascending order of ts. Returns how many. */
uint32_t memtable_range(const struct memtable *table, struct span user, uint64_t after, uint64_t before,
                        bool oldest_first, struct memtable_hit *hits, uint32_t hits_max);

/* The newest ts of `user` below `before`; 0: none. */
uint64_t memtable_newest(const struct memtable *table, struct span user, uint64_t before);

/* Finds the entry of `user` at `ts`. False: there is none. */
bool memtable_find(const struct memtable *table, struct span user, uint64_t ts, struct memtable_hit *hit_r);

struct memtable_keyed {
    uint64_t ts;
    uint64_t hash;
};

/* The hash that stands for a key in the key index: SipHash-1-3 under `key_seed`. Pure; any thread. */
uint64_t memtable_key_hash(struct hash_key key_seed, struct span key);

/* Writes the newest sends of `user` with a key and ts >= `since` to `keyed`, at most `keyed_max`, newest first. Returns
 * how many. */
uint32_t memtable_keyed(const struct memtable *table, struct span user, uint64_t since, struct memtable_keyed *keyed,
                        uint32_t keyed_max);

/* -- marks (record.h) -- */

/* Raises the marks of (user, peer). 0, or -ENOMEM: nothing has changed. Not after memtable_freeze (asserted). */
int memtable_mark(struct memtable *table, struct span user, struct span peer, struct seen_marks marks);
/* For tests: 0 where there is none. */
struct seen_marks memtable_marks_of(const struct memtable *table, struct span user, struct span peer);
/* The same for a caller that asks more than once: with the hash of (user, peer), which is the same for all tables with
 * the same seed for names. */
uint64_t memtable_pair_hash(const struct memtable *table, struct span user, struct span peer);
int memtable_mark_pair(struct memtable *table, uint64_t hash, struct span user, struct span peer,
                       struct seen_marks marks);
struct seen_marks memtable_marks_of_pair(const struct memtable *table, uint64_t hash, struct span user,
                                         struct span peer);
/* Prefetches what they read first; then, when that has come, what they read next. */
void memtable_prefetch_head(const struct memtable *table, uint64_t hash);
void memtable_prefetch_marks(const struct memtable *table, uint64_t hash);
/* How many pairs have marks. */
uint64_t memtable_mark_count(const struct memtable *table);

/* -- entries by peer: the other user of a message, or oneself. Shard's thread, of a frozen generation too. The entries
 * of a user are indexed when somebody asks for the first time, and inserts keep that up to date. Inserts of other users
 * pay one comparison. -- */

/* Indexes up to `entries_max` entries of `user` by their peers. 1: all are indexed; 0: call it again, in another turn
 * too; or -ENOMEM. The memory counts in memtable_bytes. */
int memtable_index_peers(struct memtable *table, struct span user, uint32_t entries_max);

/* The rest is for a user who is indexed: memtable_index_peers returned 1 in this turn (asserted). */

/* As memtable_range, of entries with `peer`. */
uint32_t memtable_peer_range(const struct memtable *table, struct span user, struct span peer, uint64_t after,
                             uint64_t before, bool oldest_first, struct memtable_hit *hits, uint32_t hits_max);
/* The newest entry with ts < before that `user` received from `peer`. False: there is none. */
bool memtable_peer_received(const struct memtable *table, struct span user, struct span peer, uint64_t before,
                            struct memtable_hit *hit_r);
/* Writes the ts of entries that `user` received from `peer`, with after < ts < before, to `ts_r`, newest first, at most
 * `ts_max`. Returns how many. */
uint32_t memtable_peer_unseen(const struct memtable *table, struct span user, struct span peer, uint64_t after,
                              uint64_t before, uint64_t *ts_r, uint32_t ts_max);

struct memtable_peer {
    struct span name; /* borrowed from the table */
    uint64_t newest;
};
/* All zero: before the first peer. */
struct memtable_peer_walk {
    const struct mem_peer *at;
};
/* The next peer with whom `user` has an entry with ts < before, and its newest one of these; in any order. False: there
 * are no more. */
bool memtable_peer_next(const struct memtable *table, struct span user, struct memtable_peer_walk *walk,
                        uint64_t before, struct memtable_peer *peer_r);

/* The rows of a run (run_source.h) from a frozen generation (asserted), in key order: the key index, then for each user
 * the timeline and the marks. Sorts the users and the marks. Any thread; borrows `table` until the source is closed. 0
 * or -ENOMEM. */
int memtable_source_open(struct run_source **source_r, const struct memtable *table);

#endif
