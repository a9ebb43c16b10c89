/*
 * memtable_private.h: the structs of a generation, for memtable.c, which fills and reads it, and memtable_source.c,
 * which makes rows of it. No other file includes it.
 *
 * Users are in the chains of a hash table. The table has its full size from the start, so it is never rehashed, which
 * would stall an insert; its memory is made piece by piece, with the first user of each piece. A user's entries are in
 * chunks: ascending within a chunk, and all of one chunk below all of the next. The directory of a user's chunks grows
 * by doubling.
 */
#ifndef CHITCHAT_STORAGE_MEMTABLE_MEMTABLE_PRIVATE_H
#define CHITCHAT_STORAGE_MEMTABLE_MEMTABLE_PRIVATE_H

#include "storage/memtable/memtable.h"

#define MEMTABLE_PIECES 2048u
#define MEMTABLE_PIECE_HEADS 512u
#define MEMTABLE_CHUNK_ENTRIES 4096u
#define MEMTABLE_CHUNK_ENTRIES_FIRST 4u

/* The role is in the two lowest bits and the ts above them, so entries compare as their ts do. */
struct mem_entry {
    uint64_t ts_role;
    struct record *record; /* referenced by the table's group */
};

struct mem_chunk {
    uint32_t count;
    uint32_t room;
    struct mem_entry entries[];
};

struct mem_user {
    struct mem_user *next;     /* in the chain of a head */
    struct mem_user *next_all; /* in the order in which users were made */
    uint64_t hash;
    struct mem_chunk **chunks;
    struct mem_chunk *one; /* the directory of a user with one chunk */
    uint64_t newest;       /* ts of the last entry */
    uint32_t chunk_count;
    uint32_t chunk_room;
    uint32_t keyed_count;
    uint8_t name_bytes;
    char name[];
};

/* The start of RECORD_HEAP_BLOCK_BYTES of index memory. */
struct mem_block {
    struct mem_block *next;
    uint32_t used; /* bytes from its start */
};

struct memtable {
    struct record_heap *heap;
    uint32_t group; /* of the heap: it references the records */
    struct hash_key name_seed;
    struct hash_key key_seed;
    struct mem_user **heads[MEMTABLE_PIECES]; /* NULL: the piece has no user yet */
    struct mem_user *all_first;
    struct mem_user *all_last;
    struct mem_block *blocks;
    uint32_t user_count;
    uint64_t entry_count;
    uint64_t keyed_count;
    uint64_t bytes;
    bool is_frozen;
    bool is_group_closed; /* by memtable_close_some */
};

static inline uint64_t mem_entry_ts(const struct mem_entry *entry)
{
    return entry->ts_role >> 2;
}

static inline enum role mem_entry_role(const struct mem_entry *entry)
{
    return (enum role)(entry->ts_role & 3);
}

static inline struct span mem_user_name(const struct mem_user *user)
{
    return (struct span){user->name, user->name_bytes};
}

static inline bool mem_entry_is_keyed(const struct mem_entry *entry)
{
    return mem_entry_role(entry) != ROLE_RECEIVED && entry->record->key_bytes > 0;
}

#endif
