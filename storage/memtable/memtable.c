#include "storage/memtable/memtable.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "storage/memtable/memtable_private.h"

/* -- index memory -- */

void *memtable_block_take(struct memtable *table, size_t bytes)
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

void *memtable_take(struct memtable *table, size_t bytes)
{
    bytes = (bytes + 7) / 8 * 8;
    void *memory = memtable_block_take(table, bytes);
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

struct mem_user *memtable_find_user(const struct memtable *table, struct span name)
{
    return user_find(table, hash_siphash13(table->name_seed, name), name);
}

static struct mem_user *user_make(struct memtable *table, uint64_t hash, struct span name)
{
    ASSERT(name.bytes > 0);
    ASSERT(name.bytes <= LIMIT_USER_BYTES);
    struct mem_user ***heads = &table->heads[hash % MEMTABLE_PIECES];
    if (*heads == NULL)
        *heads = memtable_block_take(table, MEMTABLE_PIECE_HEADS * sizeof **heads);
    struct mem_user *user = *heads == NULL ? NULL : memtable_take(table, sizeof *user + name.bytes);
    if (user == NULL)
        return NULL;
    struct mem_user **head = *heads + place_in_piece(hash);
    user->hash = hash;
    user->name_bytes = (uint8_t)name.bytes;
    memcpy(user->name, name.data, name.bytes);
    mem_entries_init(&user->entries);
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

struct mem_user *memtable_user(struct memtable *table, struct span name)
{
    ASSERT(!table->is_frozen);
    uint64_t hash = hash_siphash13(table->name_seed, name);
    struct mem_user *user = user_find(table, hash, name);
    return user != NULL ? user : user_make(table, hash, name);
}

void memtable_user_add_cost(struct mem_user *user, uint64_t cost)
{
    user->cost = cost < UINT32_MAX - user->cost ? user->cost + (uint32_t)cost : UINT32_MAX;
}

uint32_t memtable_user_cost(const struct mem_user *user)
{
    return user->cost;
}

static void count_entry(struct memtable *table, struct mem_user *user, const struct mem_entry *entry)
{
    record_heap_group_ref(table->heap, table->group, entry->record);
    table->entry_count++;
    table->bytes += record_entry_bytes(entry->record);
    if (mem_entry_is_keyed(entry)) {
        user->keyed_count++;
        table->keyed_count++;
    }
}

int memtable_insert_at(struct memtable *table, struct mem_user *user, struct record *record, enum role role)
{
    ASSERT(!table->is_frozen);
    uint64_t ts = role == ROLE_RECEIVED ? record->ts_to : record->ts_from;
    ASSERT(ts > 0 && ts <= LIMIT_TS_MAX);
    struct mem_entry entry = {ts << 2 | role, record};
    int status = mem_entries_insert(table, &user->entries, entry);
    if (status <= 0)
        return status;
    count_entry(table, user, &entry);
    if (user->index != NULL)
        mem_index_insert(table, user, &entry);
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

uint32_t memtable_range(const struct memtable *table, struct span name, uint64_t after, uint64_t before,
                        bool oldest_first, struct memtable_hit *hits, uint32_t hits_max)
{
    const struct mem_user *user = memtable_find_user(table, name);
    return user == NULL ? 0 : mem_entries_range(&user->entries, after, before, oldest_first, hits, hits_max);
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
    const struct mem_user *user = memtable_find_user(table, name);
    uint32_t count = 0;
    if (user == NULL || user->entries.chunk_count == 0)
        return 0;
    struct mem_place place = mem_entries_seek(&user->entries, UINT64_MAX);
    while (count < keyed_max && count < user->keyed_count && mem_entries_back(&user->entries, &place)) {
        const struct mem_entry *entry = mem_entries_at(&user->entries, place);
        if (mem_entry_ts(entry) < since)
            break;
        if (mem_entry_is_keyed(entry))
            keyed[count++] = (struct memtable_keyed){mem_entry_ts(entry),
                                                     memtable_key_hash(table->key_seed, record_key(entry->record))};
    }
    return count;
}
