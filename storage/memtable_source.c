/* memtable_source.c: a frozen generation as the rows of a run: the key index (0x01 …) sorts before every user name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "storage/memtable_private.h"

_Static_assert(ROW_KEY_INDEX_PREFIX < 0x21, "the key index comes first");

/* Entries, and bytes of each record. */
#define FETCH_AHEAD 6u
#define FETCH_BYTES 192u
#define CACHE_LINE_BYTES 64u

#define BEGIN_WORDS 2u

/* A user with the beginning of his name as a number that compares as it does: sorting looks into few structs. */
struct sorted_user {
    uint64_t begin[BEGIN_WORDS];
    const struct mem_user *user;
};

struct memtable_source {
    struct run_source source;
    const struct memtable *table;
    struct sorted_user *users; /* by name */
    uint32_t user;
    uint32_t chunk;
    uint32_t entry;
    bool is_index_done;
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[ROW_VALUE_BYTES_MAX];
};

static int compare_users(const void *a, const void *b)
{
    const struct sorted_user *x = a, *y = b;
    for (size_t i = 0; i < BEGIN_WORDS; i++)
        if (x->begin[i] != y->begin[i])
            return x->begin[i] < y->begin[i] ? -1 : 1;
    return span_compare(mem_user_name(x->user), mem_user_name(y->user));
}

static struct sorted_user sorted_user(const struct mem_user *user)
{
    struct sorted_user sorted = {.user = user};
    uint8_t begin[sizeof sorted.begin] = {0};
    memcpy(begin, user->name, user->name_bytes < sizeof begin ? user->name_bytes : sizeof begin);
    for (size_t i = 0; i < BEGIN_WORDS; i++)
        sorted.begin[i] = bytes_load_be64(begin + 8 * i);
    return sorted;
}

/* Records lie in the order in which they came, not in a user's: they are asked for before they are needed. */
static void fetch_record(const struct mem_chunk *chunk, uint32_t entry)
{
    if (entry >= chunk->count)
        return;
    const char *record = (const char *)chunk->entries[entry].record;
    for (size_t at = 0; at < FETCH_BYTES; at += CACHE_LINE_BYTES)
        __builtin_prefetch(record + at);
}

/* And so for users of few entries each: the farthest one's struct, the nearer one's chunk, the nearest one's record. */
static void fetch_users_ahead(const struct memtable_source *source)
{
    const struct sorted_user *users = source->users + source->user;
    if (source->user + 3 * FETCH_AHEAD >= source->table->user_count)
        return;
    __builtin_prefetch(users[3 * FETCH_AHEAD].user);
    __builtin_prefetch(users[2 * FETCH_AHEAD].user->chunks[0]);
    if (users[FETCH_AHEAD].user->chunk_count > 0)
        fetch_record(users[FETCH_AHEAD].user->chunks[0], 0);
}

/* The next entry and its user, NULL at the end of the pass. In the pass over the key index users without keys are
 * skipped. */
static const struct mem_entry *step(struct memtable_source *source, const struct mem_user **user_r)
{
    while (source->user < source->table->user_count) {
        const struct mem_user *user = source->users[source->user].user;
        bool is_wanted = source->is_index_done || user->keyed_count > 0;
        if (is_wanted && source->chunk < user->chunk_count) {
            const struct mem_chunk *chunk = user->chunks[source->chunk];
            if (source->entry < chunk->count) {
                *user_r = user;
                fetch_record(chunk, source->entry + FETCH_AHEAD);
                return &chunk->entries[source->entry++];
            }
            source->chunk++;
            source->entry = 0;
            continue;
        }
        source->user++;
        source->chunk = 0;
        source->entry = 0;
        fetch_users_ahead(source);
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
        source->users[count++] = sorted_user(user);
    qsort(source->users, count, sizeof *source->users, compare_users);
    *source_r = &source->source;
    return 0;
}
