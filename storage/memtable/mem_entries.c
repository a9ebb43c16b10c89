/* mem_entries.c: a sorted list of entries in chunks. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "storage/memtable/memtable_private.h"

static struct mem_chunk *chunk_make(struct memtable *table, uint32_t room)
{
    struct mem_chunk *chunk = memtable_take(table, sizeof *chunk + room * sizeof chunk->entries[0]);
    if (chunk != NULL)
        chunk->room = room;
    return chunk;
}

/* Makes place `at` of the directory free for another chunk. */
static int directory_open(struct memtable *table, struct mem_entries *list, uint32_t at)
{
    ASSERT(at <= list->chunk_count);
    if (list->chunk_count == list->chunk_room) {
        struct mem_chunk **chunks = memtable_take(table, 2 * (size_t)list->chunk_room * sizeof *chunks);
        if (chunks == NULL)
            return -ENOMEM;
        memcpy(chunks, list->chunks, list->chunk_count * sizeof *chunks);
        list->chunks = chunks;
        list->chunk_room *= 2;
    }
    memmove(&list->chunks[at + 1], &list->chunks[at], (list->chunk_count - at) * sizeof *list->chunks);
    list->chunk_count++;
    return 0;
}

static int chunk_grow(struct memtable *table, struct mem_entries *list, uint32_t at)
{
    struct mem_chunk *chunk = list->chunks[at];
    struct mem_chunk *larger = chunk_make(table, chunk->room * 2);
    if (larger == NULL)
        return -ENOMEM;
    larger->count = chunk->count;
    memcpy(larger->entries, chunk->entries, chunk->count * sizeof chunk->entries[0]);
    list->chunks[at] = larger;
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
static uint32_t directory_seek(const struct mem_entries *list, uint64_t ts)
{
    uint32_t low = 0;
    uint32_t high = list->chunk_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (mem_entry_ts(&list->chunks[middle]->entries[0]) <= ts)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* An entry's place is searched one by one among the last so many entries. */
#define NEAR_END_ENTRIES 16u

struct mem_place mem_entries_seek(const struct mem_entries *list, uint64_t ts)
{
    uint32_t chunk = directory_seek(list, ts);
    return (struct mem_place){chunk, chunk_seek(list->chunks[chunk], ts)};
}

/* The place to insert at: most entries come in order, and those from other shards only a little later. */
static struct mem_place seek_near_end(const struct mem_entries *list, uint64_t ts)
{
    uint32_t last = list->chunk_count - 1;
    const struct mem_chunk *chunk = list->chunks[last];
    if (ts > list->newest)
        return (struct mem_place){last, chunk->count};
    uint32_t lowest = chunk->count > NEAR_END_ENTRIES ? chunk->count - NEAR_END_ENTRIES : 0;
    for (uint32_t entry = chunk->count; entry > lowest; entry--)
        if (mem_entry_ts(&chunk->entries[entry - 1]) < ts)
            return (struct mem_place){last, entry};
    return mem_entries_seek(list, ts);
}

static bool is_at(const struct mem_entries *list, struct mem_place place, uint64_t ts)
{
    const struct mem_chunk *chunk = list->chunks[place.chunk];
    return place.entry < chunk->count && mem_entry_ts(&chunk->entries[place.entry]) == ts;
}

/* A full chunk becomes two: at the end of the timeline a new one begins, elsewhere the chunk is halved. *place is
 * updated. */
static int chunk_split(struct memtable *table, struct mem_entries *list, struct mem_place *place)
{
    struct mem_chunk *chunk = list->chunks[place->chunk];
    ASSERT(chunk->count == MEMTABLE_CHUNK_ENTRIES);
    struct mem_chunk *fresh = chunk_make(table, MEMTABLE_CHUNK_ENTRIES);
    if (fresh == NULL || directory_open(table, list, place->chunk + 1) != 0)
        return -ENOMEM;
    bool at_end = place->chunk + 2 == list->chunk_count && place->entry == chunk->count;
    uint32_t keep = at_end ? chunk->count : chunk->count / 2;
    fresh->count = chunk->count - keep;
    memcpy(fresh->entries, &chunk->entries[keep], fresh->count * sizeof fresh->entries[0]);
    chunk->count = keep;
    list->chunks[place->chunk + 1] = fresh;
    if (place->entry >= keep)
        *place = (struct mem_place){place->chunk + 1, place->entry - keep};
    return 0;
}

/* Makes room for one more entry at *place, which is updated. */
static int make_room(struct memtable *table, struct mem_entries *list, struct mem_place *place)
{
    const struct mem_chunk *chunk = list->chunks[place->chunk];
    if (chunk->count < chunk->room)
        return 0;
    return chunk->room < MEMTABLE_CHUNK_ENTRIES ? chunk_grow(table, list, place->chunk)
                                                : chunk_split(table, list, place);
}

static int make_first_room(struct memtable *table, struct mem_entries *list)
{
    struct mem_chunk *chunk = chunk_make(table, MEMTABLE_CHUNK_ENTRIES_FIRST);
    if (chunk == NULL)
        return -ENOMEM;
    list->chunks[list->chunk_count++] = chunk;
    return 0;
}

static void entry_put(struct mem_entries *list, struct mem_place place, struct mem_entry put)
{
    struct mem_chunk *chunk = list->chunks[place.chunk];
    ASSERT(chunk->count < chunk->room);
    ASSERT(place.entry <= chunk->count);
    struct mem_entry *entry = &chunk->entries[place.entry];
    if (mem_entry_ts(&put) > list->newest)
        list->newest = mem_entry_ts(&put);
    else
        memmove(entry + 1, entry, (chunk->count - place.entry) * sizeof *entry);
    *entry = put;
    chunk->count++;
}

int mem_entries_insert(struct memtable *table, struct mem_entries *list, struct mem_entry put)
{
    if (list->chunk_count == 0 && make_first_room(table, list) != 0)
        return -ENOMEM;
    struct mem_place place = seek_near_end(list, mem_entry_ts(&put));
    if (is_at(list, place, mem_entry_ts(&put)))
        return 0;
    if (make_room(table, list, &place) != 0)
        return -ENOMEM;
    entry_put(list, place, put);
    return 1;
}

/* -- reads -- */

bool mem_entries_back(const struct mem_entries *list, struct mem_place *place)
{
    while (place->entry == 0) {
        if (place->chunk == 0)
            return false;
        place->chunk--;
        place->entry = list->chunks[place->chunk]->count;
    }
    place->entry--;
    return true;
}

bool mem_entries_find(const struct mem_entries *list, struct mem_place *place)
{
    while (place->entry == list->chunks[place->chunk]->count) {
        if (place->chunk + 1 == list->chunk_count)
            return false;
        place->chunk++;
        place->entry = 0;
    }
    return true;
}

struct memtable_hit mem_entries_hit(const struct mem_entries *list, struct mem_place place)
{
    const struct mem_entry *entry = &list->chunks[place.chunk]->entries[place.entry];
    return (struct memtable_hit){mem_entry_ts(entry), entry->record, mem_entry_role(entry)};
}

static uint32_t range_oldest(const struct mem_entries *list, uint64_t after, uint64_t before, struct memtable_hit *hits,
                             uint32_t hits_max)
{
    uint32_t count = 0;
    struct mem_place place = mem_entries_seek(list, after + 1);
    while (count < hits_max && mem_entries_find(list, &place)) {
        struct memtable_hit hit = mem_entries_hit(list, place);
        if (hit.ts >= before)
            break;
        hits[count++] = hit;
        place.entry++;
    }
    return count;
}

static uint32_t range_newest(const struct mem_entries *list, uint64_t after, uint64_t before, struct memtable_hit *hits,
                             uint32_t hits_max)
{
    uint32_t count = 0;
    struct mem_place place = mem_entries_seek(list, before);
    while (count < hits_max && mem_entries_back(list, &place)) {
        struct memtable_hit hit = mem_entries_hit(list, place);
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

uint32_t mem_entries_range(const struct mem_entries *list, uint64_t after, uint64_t before, bool oldest_first,
                           struct memtable_hit *hits, uint32_t hits_max)
{
    if (list->chunk_count == 0 || after >= before)
        return 0;
    if (oldest_first)
        return range_oldest(list, after, before, hits, hits_max);
    return range_newest(list, after, before, hits, hits_max);
}
