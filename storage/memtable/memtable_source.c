/* memtable_source.c: the rows of a run from a frozen generation. The key index (0x01 …) sorts before every user name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "storage/memtable/memtable_private.h"

_Static_assert(ROW_KEY_INDEX_PREFIX < 0x21, "the key index comes first");

/* How far ahead records are prefetched (in groups, so that the processor translates their addresses in parallel), and
 * users with their chunks. */
#define FETCH_ENTRIES 12u
#define FETCH_AT_ONCE 8u
#define FETCH_USERS 16u

#define BEGIN_WORDS 2u

/* A user, and the beginning of their name as numbers that compare as the bytes do: the sort reads few names. */
struct sorted_user {
    uint64_t begin[BEGIN_WORDS];
    const struct mem_user *user;
};

struct place {
    uint32_t user;
    uint32_t chunk;
    uint32_t entry;
};

struct memtable_source {
    struct run_source source;
    const struct memtable *table;
    struct sorted_user *users; /* by name */
    struct place at;
    struct place ahead;  /* FETCH_ENTRIES entries after `at`, and more_ahead more */
    uint32_t more_ahead; /* 0 to FETCH_AT_ONCE */
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

/* Prefetches the struct of a user further ahead, and the first chunk of a nearer one. */
static void fetch_user(const struct memtable_source *source, uint32_t user)
{
    if (user + 2 * FETCH_USERS >= source->table->user_count)
        return;
    __builtin_prefetch(source->users[user + 2 * FETCH_USERS].user);
    __builtin_prefetch(source->users[user + FETCH_USERS].user->chunks[0]);
}

/* The entry at *place, which moves on, and its user; NULL at the end of the pass. The pass over the key index skips
 * users without keyed sends. */
static const struct mem_entry *step(const struct memtable_source *source, struct place *place,
                                    const struct mem_user **user_r)
{
    while (place->user < source->table->user_count) {
        const struct mem_user *user = source->users[place->user].user;
        bool is_wanted = source->is_index_done || user->keyed_count > 0;
        if (is_wanted && place->chunk < user->chunk_count) {
            const struct mem_chunk *chunk = user->chunks[place->chunk];
            if (place->entry < chunk->count) {
                *user_r = user;
                return &chunk->entries[place->entry++];
            }
            place->chunk++;
            place->entry = 0;
            continue;
        }
        *place = (struct place){.user = place->user + 1};
    }
    return NULL;
}

/* Records lie in the order of their arrival, not of a user's entries: they are prefetched before they are needed. */
static void fetch_next(struct memtable_source *source)
{
    const struct mem_user *user;
    uint32_t before = source->ahead.user;
    const struct mem_entry *entry = step(source, &source->ahead, &user);
    if (source->ahead.user != before)
        fetch_user(source, source->ahead.user);
    if (entry != NULL)
        record_prefetch(entry->record);
}

static void begin_pass(struct memtable_source *source)
{
    source->at = source->ahead = (struct place){0};
    source->more_ahead = 0;
    for (uint32_t i = 0; i < FETCH_ENTRIES; i++)
        fetch_next(source);
}

static const struct mem_entry *next_entry(struct memtable_source *source, const struct mem_user **user_r)
{
    if (source->more_ahead == 0)
        for (; source->more_ahead < FETCH_AT_ONCE; source->more_ahead++)
            fetch_next(source);
    source->more_ahead--;
    return step(source, &source->at, user_r);
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
        entry = next_entry(source, &user);
        if (entry == NULL) {
            source->is_index_done = true;
            begin_pass(source);
        } else if (mem_entry_is_keyed(entry)) {
            give_index_row(source, user, entry, key_r, value_r);
            return 1;
        }
    }
    entry = next_entry(source, &user);
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
    begin_pass(source);
    *source_r = &source->source;
    return 0;
}
