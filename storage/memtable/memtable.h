/*
 * memtable.h: one generation of what the log holds and LMDB does not yet: per user the entries of the timeline,
 * ordered by ts, and the keyed sends among them.
 *
 * A generation is filled on the shard's thread; when it is frozen nothing changes it any more, and the
 * checkpoint thread may read it (memtable_source_*) while the shard goes on reading. The shard frees it.
 * Entries may come out of order (late settlers), mostly at the end; the same (user, ts) twice is kept once.
 *
 * Per user: a sorted array of {ts, record} in two levels (chunks of at most 4,096 entries; a small user's only
 * chunk grows by doubling), so that appending is constant, a seek is a binary search, and nothing larger than a
 * chunk is ever moved. Index memory comes from the generation's own blocks (malloc'ed by the MiB, all given
 * back at close), not one malloc an entry.
 */
#ifndef CHITCHAT_STORAGE_MEMTABLE_MEMTABLE_H
#define CHITCHAT_STORAGE_MEMTABLE_MEMTABLE_H

#include "base/hash.h"
#include "storage/memtable/record_heap.h"
#include "storage/runs/run_source.h"

struct memtable;

struct memtable_hit {
    uint64_t ts;
    struct record *record; /* borrowed: stands while the generation does */
    enum role role;
};

/* `hash_seed` is the seed of key hashes (stored in the data directory, see memtable_key_hash). 0 or -ENOMEM. */
int memtable_open(struct memtable **table_r, struct record_heap *heap, struct hash_key name_seed,
                  struct hash_key key_seed);
/* Lets go of its records and gives its memory back. On the shard's thread. Nulls *table. */
void memtable_close(struct memtable **table);
/* The same in slices, so that a large generation stalls no turn: up to `blocks_max` blocks of 1 MiB, of records or of
 * its own. True when all is done and *table is nulled (or was); else it is to be called again, and nothing else may be
 * done with the table. */
bool memtable_close_some(struct memtable **table, uint32_t blocks_max);

/* Puts `record` into the timeline of its sender (ROLE_SENT), its recipient (ROLE_RECEIVED) or both in one
 * (ROLE_SELF), at that timeline's ts; holds it from now on. Returns 0, or -ENOMEM and nothing changed. */
int memtable_insert(struct memtable *table, struct record *record, enum role role);

/* The entries of one user; they stand as long as the generation. */
struct mem_user;
/* Those of `user`, made if none is there. NULL: no memory. */
struct mem_user *memtable_user(struct memtable *table, struct span user);
/* memtable_insert for whoever knows the place: `user` is that of the timeline. */
int memtable_insert_at(struct memtable *table, struct mem_user *user, struct record *record, enum role role);

/* After this nothing is inserted. */
void memtable_freeze(struct memtable *table);

/* Entries; record and index bytes that it accounts for (each record counted in full for each of its rows). */
uint64_t memtable_entry_count(const struct memtable *table);
uint64_t memtable_bytes(const struct memtable *table);

/* Up to `hits_max` entries of `user` with after < ts < before: the oldest ones if `oldest_first`, else the newest;
 * in either case written in ascending ts. Returns how many. */
uint32_t memtable_range(const struct memtable *table, struct span user, uint64_t after, uint64_t before,
                        bool oldest_first, struct memtable_hit *hits, uint32_t hits_max);

/* The newest ts of `user` below `before`, 0 if none. */
uint64_t memtable_newest(const struct memtable *table, struct span user, uint64_t before);

/* The entry at exactly `ts`. */
bool memtable_find(const struct memtable *table, struct span user, uint64_t ts, struct memtable_hit *hit_r);

struct memtable_keyed {
    uint64_t ts;
    uint64_t hash;
};

/* The hash by which keys are kept: SipHash-1-3 of the key under `key_seed`. */
uint64_t memtable_key_hash(struct hash_key key_seed, struct span key);

/* The newest keyed sends of `user` with ts >= `since`, at most `keyed_max`, newest first. Returns how many. */
uint32_t memtable_keyed(const struct memtable *table, struct span user, uint64_t since, struct memtable_keyed *keyed,
                        uint32_t keyed_max);

/* A frozen generation as the rows of a run, in key order: first the key index, then the timelines
 * (see run_source.h). May be called on another thread than the shard's, once the generation is frozen; borrows
 * `table`. Sorting the users happens here. 0 or -ENOMEM. */
int memtable_source_open(struct run_source **source_r, const struct memtable *table);

#endif
