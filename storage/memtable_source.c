/* memtable_source.c: a frozen generation as the rows of a run: the key index (0x01 …) sorts before every user name. */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "storage/memtable_private.h"

_Static_assert(ROW_KEY_INDEX_PREFIX < 0x21, "the key index comes first");

/* Entries, and bytes of each record. */
#define FETCH_AHEAD 6u
#define FETCH_BYTES 192u
#define CACHE_LINE_BYTES 64u

struct memtable_source {
    struct run_source source;
    const struct memtable *table;
    const struct mem_user **users; /* by name */
    uint32_t user;
    uint32_t chunk;
    uint32_t entry;
    bool is_index_done;
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[ROW_VALUE_BYTES_MAX];
};

static int compare_users(const void *a, const void *b)
{
    const struct mem_user *const *x = a, *const *y = b;
    return span_compare(mem_user_name(*x), mem_user_name(*y));
}

/* Records lie in the order in which they came, not in a user's: they are asked for before they are needed. */
static void fetch_ahead(const struct mem_chunk *chunk, uint32_t entry)
{
    if (entry + FETCH_AHEAD >= chunk->count)
        return;
    const char *record = (const char *)chunk->entries[entry + FETCH_AHEAD].record;
    for (size_t at = 0; at < FETCH_BYTES; at += CACHE_LINE_BYTES)
        __builtin_prefetch(record + at);
}

/* The next entry and its user, NULL at the end of the pass. In the pass over the key index users without keys are
 * skipped. */
static const struct mem_entry *step(struct memtable_source *source, const struct mem_user **user_r)
{
    while (source->user < source->table->user_count) {
        const struct mem_user *user = source->users[source->user];
        bool is_wanted = source->is_index_done || user->keyed_count > 0;
        if (is_wanted && source->chunk < user->chunk_count) {
            const struct mem_chunk *chunk = user->chunks[source->chunk];
            if (source->entry < chunk->count) {
                *user_r = user;
                fetch_ahead(chunk, source->entry);
                return &chunk->entries[source->entry++];
            }
            source->chunk++;
            source->entry = 0;
            continue;
        }
        source->user++;
        source->chunk = 0;
        source->entry = 0;
    }
    return NULL;
}

static void give_index_row(struct memtable_source *source, const struct mem_user *user, const struct mem_entry *entry,
                           struct span *key_r, struct span *value_r)
{
    uint32_t key_bytes = row_key_index(mem_user_name(user), mem_entry_ts(entry), source->key);
    bytes_store_le64(source->value, memtable_key_hash(source->table->key_seed, record_key(entry->record)));
    *key_r = (struct span){(const char *)source->key, key_bytes};
    *value_r = (struct span){(const char *)source->value, 8};
}

static void give_row(struct memtable_source *source, const struct mem_user *user, const struct mem_entry *entry,
                     struct span *key_r, struct span *value_r)
{
    struct message message = record_view(entry->record, mem_entry_role(entry));
    uint32_t key_bytes = row_key(mem_user_name(user), mem_entry_ts(entry), source->key);
    *key_r = (struct span){(const char *)source->key, key_bytes};
    *value_r = (struct span){(const char *)source->value, row_encode(&message, source->value)};
}

static int source_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct memtable_source *source = container_of(base, struct memtable_source, source);
    const struct mem_user *user;
    const struct mem_entry *entry;
    while (!source->is_index_done) {
        entry = step(source, &user);
        if (entry == NULL) {
            source->is_index_done = true;
            source->user = 0;
        } else if (mem_entry_is_keyed(entry)) {
            give_index_row(source, user, entry, key_r, value_r);
            return 1;
        }
    }
    entry = step(source, &user);
    if (entry == NULL)
        return 0;
    give_row(source, user, entry, key_r, value_r);
    return 1;
}

static void source_close(struct run_source *base)
{
    struct memtable_source *source = container_of(base, struct memtable_source, source);
    free(source->users);
    free(source);
}

int memtable_source_open(struct run_source **source_r, const struct memtable *table)
{
    ASSERT(table->is_frozen);
    struct memtable_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return -ENOMEM;
    source->users = malloc((table->user_count + 1) * sizeof *source->users);
    if (source->users == NULL) {
        free(source);
        return -ENOMEM;
    }
    source->source = (struct run_source){source_next, source_close};
    source->table = table;
    source->is_index_done = table->keyed_count == 0;
    uint32_t count = 0;
    for (const struct mem_user *user = table->all_first; user != NULL; user = user->next_all)
        source->users[count++] = user;
    qsort(source->users, count, sizeof *source->users, compare_users);
    *source_r = &source->source;
    return 0;
}
