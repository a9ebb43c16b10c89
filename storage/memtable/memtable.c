#include "storage/memtable/memtable.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "storage/memtable/memtable_private.h"

/* -- index memory -- */

/* `bytes` of zeroed memory that stand as long as the table; NULL: no memory. */
static void *block_take(struct memtable *table, size_t bytes)
{
    struct mem_block *block = table->blocks;
    ASSERT(bytes % 8 == 0);
    ASSERT(bytes + sizeof *block <= RECORD_HEAP_BLOCK_BYTES);
    if (block == NULL || block->used + bytes > RECORD_HEAP_BLOCK_BYTES) {
        block = record_heap_index_take(table->heap);
        if (block == NULL)
            return NULL;
        block->next = table->blocks;
        block->used = (sizeof *block + 7) / 8 * 8;
        table->blocks = block;
    }
    ASSERT(block->used + bytes <= RECORD_HEAP_BLOCK_BYTES);
    char *memory = (char *)block + block->used;
    block->used += (uint32_t)bytes;
    return memset(memory, 0, bytes);
}

/* The same, counted in memtable_bytes. */
static void *take(struct memtable *table, size_t bytes)
{
    bytes = (bytes + 7) / 8 * 8;
    void *memory = block_take(table, bytes);
    table->bytes += memory == NULL ? 0 : bytes;
    return memory;
}

int memtable_open(struct memtable **table_r, struct record_heap *heap, struct hash_key name_seed,
                  struct hash_key key_seed)
{
    struct memtable *table = calloc(1, sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    int group = record_heap_group_open(heap);
    if (group < 0) {
        free(table);
        return -ENOMEM;
    }
    table->heap = heap;
    table->group = (uint32_t)group;
    table->name_seed = name_seed;
    table->key_seed = key_seed;
    *table_r = table;
    return 0;
}

bool memtable_close_some(struct memtable **table_p, uint32_t blocks_max)
{
    struct memtable *table = *table_p;
    if (table == NULL)
        return true;
    if (!table->is_group_closed) {
        table->is_group_closed = record_heap_group_close_some(table->heap, table->group, blocks_max);
        return false;
    }
    for (uint32_t i = 0; i < blocks_max && table->blocks != NULL; i++) {
        struct mem_block *block = table->blocks;
        table->blocks = block->next;
        record_heap_index_give(table->heap, block);
    }
    if (table->blocks != NULL)
        return false;
    free(table);
    *table_p = NULL;
    return true;
}

void memtable_close(struct memtable **table)
{
    while (!memtable_close_some(table, UINT32_MAX))
        continue;
}

/* -- users -- */

static uint64_t place_in_piece(uint64_t hash)
{
    return hash / MEMTABLE_PIECES % MEMTABLE_PIECE_HEADS;
}

static struct mem_user *user_find(const struct memtable *table, uint64_t hash, struct span name)
{
    struct mem_user *const *heads = table->heads[hash % MEMTABLE_PIECES];
    struct mem_user *user = heads == NULL ? NULL : heads[place_in_piece(hash)];
    while (user != NULL && (user->hash != hash || !span_equal(mem_user_name(user), name)))
        user = user->next;
    return user;
}

static const struct mem_user *user_of(const struct memtable *table, struct span name)
{
    return user_find(table, hash_siphash13(table->name_seed, name), name);
}

static struct mem_user *user_make(struct memtable *table, uint64_t hash, struct span name)
{
    ASSERT(name.bytes > 0);
    ASSERT(name.bytes <= LIMIT_USER_BYTES);
    struct mem_user ***heads = &table->heads[hash % MEMTABLE_PIECES];
    if (*heads == NULL)
        *heads = block_take(table, MEMTABLE_PIECE_HEADS * sizeof **heads);
    struct mem_user *user = *heads == NULL ? NULL : take(table, sizeof *user + name.bytes);
    if (user == NULL)
        return NULL;
    struct mem_user **head = *heads + place_in_piece(hash);
    user->hash = hash;
    user->name_bytes = (uint8_t)name.bytes;
    memcpy(user->name, name.data, name.bytes);
    user->chunks = &user->one;
    user->chunk_room = 1;
    user->next = *head;
    *head = user;
    if (table->all_last == NULL)
        table->all_first = user;
    else
        table->all_last->next_all = user;
    table->all_last = user;
    table->user_count++;
    return user;
}

/* -- entries -- */

static struct mem_chunk *chunk_make(struct memtable *table, uint32_t room)
{
    struct mem_chunk *chunk = take(table, sizeof *chunk + room * sizeof chunk->entries[0]);
    if (chunk != NULL)
        chunk->room = room;
    return chunk;
}

/* Makes place `at` of the directory free for another chunk. */
static int directory_open(struct memtable *table, struct mem_user *user, uint32_t at)
{
    ASSERT(at <= user->chunk_count);
    if (user->chunk_count == user->chunk_room) {
        struct mem_chunk **chunks = take(table, 2 * (size_t)user->chunk_room * sizeof *chunks);
        if (chunks == NULL)
            return -ENOMEM;
        memcpy(chunks, user->chunks, user->chunk_count * sizeof *chunks);
        user->chunks = chunks;
        user->chunk_room *= 2;
    }
    memmove(&user->chunks[at + 1], &user->chunks[at], (user->chunk_count - at) * sizeof *user->chunks);
    user->chunk_count++;
    return 0;
}

static int chunk_grow(struct memtable *table, struct mem_user *user, uint32_t at)
{
    struct mem_chunk *chunk = user->chunks[at];
    struct mem_chunk *larger = chunk_make(table, chunk->room * 2);
    if (larger == NULL)
        return -ENOMEM;
    larger->count = chunk->count;
    memcpy(larger->entries, chunk->entries, chunk->count * sizeof chunk->entries[0]);
    user->chunks[at] = larger;
    return 0;
}

/* The first entry of the chunk with a ts of at least `ts`. */
static uint32_t chunk_seek(const struct mem_chunk *chunk, uint64_t ts)
{
    uint32_t low = 0;
    uint32_t high = chunk->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mem_entry_ts(&chunk->entries[middle]) < ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The last chunk whose first entry is at or below `ts`; the first one if there is none. */
static uint32_t directory_seek(const struct mem_user *user, uint64_t ts)
{
    uint32_t low = 0;
    uint32_t high = user->chunk_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (mem_entry_ts(&user->chunks[middle]->entries[0]) <= ts)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* An entry's place is searched one by one among the last so many entries. */
#define NEAR_END_ENTRIES 16u

/* Where an entry is, or where it would be inserted. */
struct place {
    uint32_t chunk;
    uint32_t entry;
};

static struct place seek(const struct mem_user *user, uint64_t ts)
{
    uint32_t chunk = directory_seek(user, ts);
    return (struct place){chunk, chunk_seek(user->chunks[chunk], ts)};
}

/* The place to insert at: most entries come in order, and those from other shards only a little later. */
static struct place seek_near_end(const struct mem_user *user, uint64_t ts)
{
    uint32_t last = user->chunk_count - 1;
    const struct mem_chunk *chunk = user->chunks[last];
    if (ts > user->newest)
        return (struct place){last, chunk->count};
    uint32_t lowest = chunk->count > NEAR_END_ENTRIES ? chunk->count - NEAR_END_ENTRIES : 0;
    for (uint32_t entry = chunk->count; entry > lowest; entry--)
        if (mem_entry_ts(&chunk->entries[entry - 1]) < ts)
            return (struct place){last, entry};
    return seek(user, ts);
}

static bool is_at(const struct mem_user *user, struct place place, uint64_t ts)
{
    const struct mem_chunk *chunk = user->chunks[place.chunk];
    return place.entry < chunk->count && mem_entry_ts(&chunk->entries[place.entry]) == ts;
}

/* A full chunk becomes two: at the end of the timeline a new one begins, elsewhere the chunk is halved. *place is
 * updated. */
static int chunk_split(struct memtable *table, struct mem_user *user, struct place *place)
{
    struct mem_chunk *chunk = user->chunks[place->chunk];
    ASSERT(chunk->count == MEMTABLE_CHUNK_ENTRIES);
    struct mem_chunk *fresh = chunk_make(table, MEMTABLE_CHUNK_ENTRIES);
    if (fresh == NULL || directory_open(table, user, place->chunk + 1) != 0)
        return -ENOMEM;
    bool at_end = place->chunk + 2 == user->chunk_count && place->entry == chunk->count;
    uint32_t keep = at_end ? chunk->count : chunk->count / 2;
    fresh->count = chunk->count - keep;
    memcpy(fresh->entries, &chunk->entries[keep], fresh->count * sizeof fresh->entries[0]);
    chunk->count = keep;
    user->chunks[place->chunk + 1] = fresh;
    if (place->entry >= keep)
        *place = (struct place){place->chunk + 1, place->entry - keep};
    return 0;
}

/* Makes room for one more entry at *place, which is updated. */
static int make_room(struct memtable *table, struct mem_user *user, struct place *place)
{
    const struct mem_chunk *chunk = user->chunks[place->chunk];
    if (chunk->count < chunk->room)
        return 0;
    return chunk->room < MEMTABLE_CHUNK_ENTRIES ? chunk_grow(table, user, place->chunk)
                                                : chunk_split(table, user, place);
}

static int make_first_room(struct memtable *table, struct mem_user *user)
{
    struct mem_chunk *chunk = chunk_make(table, MEMTABLE_CHUNK_ENTRIES_FIRST);
    if (chunk == NULL)
        return -ENOMEM;
    user->chunks[user->chunk_count++] = chunk;
    return 0;
}

static void entry_put(struct memtable *table, struct mem_user *user, struct place place, struct mem_entry put)
{
    struct mem_chunk *chunk = user->chunks[place.chunk];
    ASSERT(chunk->count < chunk->room);
    ASSERT(place.entry <= chunk->count);
    struct mem_entry *entry = &chunk->entries[place.entry];
    if (mem_entry_ts(&put) > user->newest)
        user->newest = mem_entry_ts(&put);
    else
        memmove(entry + 1, entry, (chunk->count - place.entry) * sizeof *entry);
    *entry = put;
    record_heap_group_ref(table->heap, table->group, put.record);
    chunk->count++;
    table->entry_count++;
    table->bytes += sizeof *put.record + record_body_bytes(put.record);
    if (mem_entry_is_keyed(&put)) {
        user->keyed_count++;
        table->keyed_count++;
    }
}

struct mem_user *memtable_user(struct memtable *table, struct span name)
{
    ASSERT(!table->is_frozen);
    uint64_t hash = hash_siphash13(table->name_seed, name);
    struct mem_user *user = user_find(table, hash, name);
    return user != NULL ? user : user_make(table, hash, name);
}

int memtable_insert_at(struct memtable *table, struct mem_user *user, struct record *record, enum role role)
{
    ASSERT(!table->is_frozen);
    uint64_t ts = role == ROLE_RECEIVED ? record->ts_to : record->ts_from;
    ASSERT(ts > 0 && ts <= LIMIT_TS_MAX);
    if (user->chunk_count == 0 && make_first_room(table, user) != 0)
        return -ENOMEM;
    struct place place = seek_near_end(user, ts);
    if (is_at(user, place, ts))
        return 0;
    if (make_room(table, user, &place) != 0)
        return -ENOMEM;
    entry_put(table, user, place, (struct mem_entry){ts << 2 | role, record});
    return 0;
}

int memtable_insert(struct memtable *table, struct record *record, enum role role)
{
    struct span name = role == ROLE_RECEIVED ? record_to(record) : record_from(record);
    struct mem_user *user = memtable_user(table, name);
    return user == NULL ? -ENOMEM : memtable_insert_at(table, user, record, role);
}

void memtable_freeze(struct memtable *table)
{
    ASSERT(!table->is_frozen);
    table->is_frozen = true;
}

void memtable_thaw(struct memtable *table)
{
    ASSERT(table->is_frozen);
    table->is_frozen = false;
}

uint64_t memtable_entry_count(const struct memtable *table)
{
    return table->entry_count;
}

uint64_t memtable_bytes(const struct memtable *table)
{
    return table->bytes;
}

/* -- reads -- */

/* Moves `place` to the entry before it. False: there is none. */
static bool step_back(const struct mem_user *user, struct place *place)
{
    while (place->entry == 0) {
        if (place->chunk == 0)
            return false;
        place->chunk--;
        place->entry = user->chunks[place->chunk]->count;
    }
    place->entry--;
    return true;
}

/* Moves `place`, which may be at a chunk's end, to the entry there. False: there is none. */
static bool find_next(const struct mem_user *user, struct place *place)
{
    while (place->entry == user->chunks[place->chunk]->count) {
        if (place->chunk + 1 == user->chunk_count)
            return false;
        place->chunk++;
        place->entry = 0;
    }
    return true;
}

static struct memtable_hit hit_at(const struct mem_user *user, struct place place)
{
    const struct mem_entry *entry = &user->chunks[place.chunk]->entries[place.entry];
    return (struct memtable_hit){mem_entry_ts(entry), entry->record, mem_entry_role(entry)};
}

static uint32_t range_oldest(const struct mem_user *user, uint64_t after, uint64_t before, struct memtable_hit *hits,
                             uint32_t hits_max)
{
    uint32_t count = 0;
    struct place place = seek(user, after + 1);
    while (count < hits_max && find_next(user, &place)) {
        struct memtable_hit hit = hit_at(user, place);
        if (hit.ts >= before)
            break;
        hits[count++] = hit;
        place.entry++;
    }
    return count;
}

static uint32_t range_newest(const struct mem_user *user, uint64_t after, uint64_t before, struct memtable_hit *hits,
                             uint32_t hits_max)
{
    uint32_t count = 0;
    struct place place = seek(user, before);
    while (count < hits_max && step_back(user, &place)) {
        struct memtable_hit hit = hit_at(user, place);
        if (hit.ts <= after)
            break;
        hits[count++] = hit;
    }
    for (uint32_t i = 0; i < count / 2; i++) {
        struct memtable_hit swap = hits[i];
        hits[i] = hits[count - 1 - i];
        hits[count - 1 - i] = swap;
    }
    return count;
}

uint32_t memtable_range(const struct memtable *table, struct span name, uint64_t after, uint64_t before,
                        bool oldest_first, struct memtable_hit *hits, uint32_t hits_max)
{
    const struct mem_user *user = user_of(table, name);
    if (user == NULL || user->chunk_count == 0 || after >= before)
        return 0;
    if (oldest_first)
        return range_oldest(user, after, before, hits, hits_max);
    return range_newest(user, after, before, hits, hits_max);
}

uint64_t memtable_newest(const struct memtable *table, struct span name, uint64_t before)
{
    struct memtable_hit hit;
    return memtable_range(table, name, 0, before, false, &hit, 1) == 1 ? hit.ts : 0;
}

bool memtable_find(const struct memtable *table, struct span name, uint64_t ts, struct memtable_hit *hit_r)
{
    return ts > 0 && memtable_range(table, name, ts - 1, ts + 1, true, hit_r, 1) == 1;
}

uint64_t memtable_key_hash(struct hash_key key_seed, struct span key)
{
    return hash_siphash13(key_seed, key);
}

uint32_t memtable_keyed(const struct memtable *table, struct span name, uint64_t since, struct memtable_keyed *keyed,
                        uint32_t keyed_max)
{
    const struct mem_user *user = user_of(table, name);
    uint32_t count = 0;
    if (user == NULL || user->chunk_count == 0)
        return 0;
    struct place place = {user->chunk_count - 1, user->chunks[user->chunk_count - 1]->count};
    while (count < keyed_max && count < user->keyed_count && step_back(user, &place)) {
        const struct mem_entry *entry = &user->chunks[place.chunk]->entries[place.entry];
        if (mem_entry_ts(entry) < since)
            break;
        if (mem_entry_is_keyed(entry))
            keyed[count++] = (struct memtable_keyed){mem_entry_ts(entry),
                                                     memtable_key_hash(table->key_seed, record_key(entry->record))};
    }
    return count;
}
