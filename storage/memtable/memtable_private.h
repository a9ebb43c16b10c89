/*
 * memtable_private.h: the structs of a generation, for memtable.c, which fills and reads it, mem_entries.c, which has
 * the lists of entries, memtable_peers.c, which has marks and the index by peer, and memtable_source.c, which makes
 * rows of it. No other file includes it.
 *
 * Users are in the chains of a hash table. The table has its full size from the start, so it is never rehashed, which
 * would stall an insert; its memory is made piece by piece, with the first user of each piece. A user's entries are in
 * chunks: ascending within a chunk, and all of one chunk below all of the next. The directory of a user's chunks grows
 * by doubling.
 *
 * The index by peer of a user has a list of entries for each peer. The shard's thread makes it, of a frozen generation
 * too: the checkpoint thread looks at nothing of it. Marks are in a table and a list of their own.
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

/* Entries by ts. */
struct mem_entries {
    struct mem_chunk **chunks;
    struct mem_chunk *one; /* the directory of a list with one chunk */
    uint64_t newest;       /* ts of the last entry */
    uint32_t chunk_count;
    uint32_t chunk_room;
};

/* Where an entry is, or where it would be inserted. */
struct mem_place {
    uint32_t chunk;
    uint32_t entry;
};

struct mem_user {
    struct mem_user *next;     /* in the chain of a head */
    struct mem_user *next_all; /* in the order in which users were made */
    uint64_t hash;
    struct mem_entries entries;
    struct mem_index *index; /* by peer; NULL: nobody asked */
    uint32_t keyed_count;
    uint32_t cost; /* memtable_user_add_cost */
    uint8_t name_bytes;
    char name[];
};

struct mem_index {
    uint64_t indexed_ts; /* entries up to it are indexed; UINT64_MAX: all */
    struct mem_peer *first;
};

struct mem_peer {
    struct mem_peer *next;          /* in the chain of a head */
    struct mem_peer *next_of_index; /* in any order */
    const struct mem_index *index;
    uint64_t hash;
    uint64_t received_newest; /* ts of the last entry that was received; 0: none */
    struct mem_entries entries;
    uint8_t name_bytes;
    char name[];
};

struct mem_marks {
    struct mem_marks *next;     /* in the chain of a head */
    struct mem_marks *next_all; /* in the order in which they were made */
    uint64_t hash;
    struct seen_marks marks;
    uint8_t user_bytes;
    uint8_t peer_bytes;
    char names[]; /* user, peer */
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
    struct mem_user **heads[MEMTABLE_PIECES];  /* NULL: the piece has no user yet */
    struct mem_peer **peers[MEMTABLE_PIECES];  /* the same for pairs of an index and a peer */
    struct mem_marks **marks[MEMTABLE_PIECES]; /* the same for pairs with marks; mark_heads of the heads are in use */
    struct mem_user *all_first;
    struct mem_user *all_last;
    struct mem_marks *marks_first;
    struct mem_block *blocks;
    uint32_t user_count;
    uint64_t entry_count;
    uint64_t keyed_count;
    uint64_t mark_count;
    uint32_t mark_heads;
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

static inline void mem_entries_init(struct mem_entries *list)
{
    list->chunks = &list->one;
    list->chunk_room = 1;
}

/* The entry at a place that has one. */
static inline const struct mem_entry *mem_entries_at(const struct mem_entries *list, struct mem_place place)
{
    return &list->chunks[place.chunk]->entries[place.entry];
}

static inline struct span mem_marks_user(const struct mem_marks *marks)
{
    return (struct span){marks->names, marks->user_bytes};
}

static inline struct span mem_marks_peer(const struct mem_marks *marks)
{
    return (struct span){marks->names + marks->user_bytes, marks->peer_bytes};
}

static inline struct span mem_user_name(const struct mem_user *user)
{
    return (struct span){user->name, user->name_bytes};
}

static inline bool mem_entry_is_keyed(const struct mem_entry *entry)
{
    return mem_entry_role(entry) != ROLE_RECEIVED && entry->record->key_bytes > 0;
}

/* Zeroed index memory that stands as long as the table, and counts in memtable_bytes; NULL: no memory. */
void *memtable_take(struct memtable *table, size_t bytes);
/* The same, not counted: for the heads of tables. `bytes` is a multiple of 8. */
void *memtable_block_take(struct memtable *table, size_t bytes);

/* 1: inserted; 0: the list has an entry of this ts; or -ENOMEM. */
int mem_entries_insert(struct memtable *table, struct mem_entries *list, struct mem_entry put);
/* As memtable_range. */
uint32_t mem_entries_range(const struct mem_entries *list, uint64_t after, uint64_t before, bool oldest_first,
                           struct memtable_hit *hits, uint32_t hits_max);
/* The place of the first entry with a ts of at least `ts`, maybe at the end of a chunk. The list has entries. */
struct mem_place mem_entries_seek(const struct mem_entries *list, uint64_t ts);
/* Moves `place` to the entry before it. False: there is none. */
bool mem_entries_back(const struct mem_entries *list, struct mem_place *place);
/* Moves `place`, which may be at a chunk's end, to the entry there. False: there is none. */
bool mem_entries_find(const struct mem_entries *list, struct mem_place *place);
struct memtable_hit mem_entries_hit(const struct mem_entries *list, struct mem_place place);

/* The user, who has an index, has got `entry`. Without memory for it the index is dropped. */
void mem_index_insert(struct memtable *table, struct mem_user *user, const struct mem_entry *entry);

#endif
