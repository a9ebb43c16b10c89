/* memtable_source.c: the rows of a run from a frozen generation. The key index (0x01 …) sorts before every user name,
 * and the marks of a user behind their entries. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
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
    const struct mem_marks **marks; /* by user and peer */
    uint64_t mark_count;
    uint64_t mark_at;
    const struct mem_user *user;  /* of the last entry */
    const struct mem_entry *held; /* an entry of `user` that waits for the marks before it */
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
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
    __builtin_prefetch(source->users[user + FETCH_USERS].user->entries.chunks[0]);
}

/* The entry at *place, which moves on, and its user; NULL at the end of the pass. The pass over the key index skips
 * users without keyed sends. */
static const struct mem_entry *step(const struct memtable_source *source, struct place *place,
                                    const struct mem_user **user_r)
{
    while (place->user < source->table->user_count) {
        const struct mem_user *user = source->users[place->user].user;
        bool is_wanted = source->is_index_done || user->keyed_count > 0;
        if (is_wanted && place->chunk < user->entries.chunk_count) {
            const struct mem_chunk *chunk = user->entries.chunks[place->chunk];
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

static void give_marks(struct memtable_source *source, struct span *key_r, struct span *value_r)
{
    const struct mem_marks *marks = source->marks[source->mark_at++];
    uint32_t key_bytes = row_key_marks(mem_marks_user(marks), mem_marks_peer(marks), source->key);
    row_encode_marks(marks->marks, source->value);
    *key_r = (struct span){(const char *)source->key, key_bytes};
    *value_r = (struct span){(const char *)source->value, ROW_MARKS_BYTES};
}

/* Whether the next marks are of a user before that of the next entry. */
static bool are_marks_next(const struct memtable_source *source, const struct mem_entry *entry)
{
    if (source->mark_at == source->mark_count)
        return false;
    return entry == NULL
           || span_compare(mem_marks_user(source->marks[source->mark_at]), mem_user_name(source->user)) < 0;
}

/* The next row of a timeline or of marks. */
static int give_next(struct memtable_source *source, struct span *key_r, struct span *value_r)
{
    const struct mem_entry *entry = source->held;
    const struct mem_user *user = source->user;
    if (entry == NULL) {
        entry = next_entry(source, &user);
        bool is_of_next_user = entry == NULL || user != source->user;
        source->user = user;
        source->held = is_of_next_user ? entry : NULL;
        if (is_of_next_user && are_marks_next(source, entry)) {
            give_marks(source, key_r, value_r);
            return 1;
        }
    } else if (are_marks_next(source, entry)) {
        give_marks(source, key_r, value_r);
        return 1;
    }
    source->held = NULL;
    if (entry == NULL)
        return 0;
    give_row(source, user, entry, key_r, value_r);
    return 1;
}

static int source_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct memtable_source *source = container_of(base, struct memtable_source, source);
    const struct mem_user *user;
    while (!source->is_index_done) {
        const struct mem_entry *entry = next_entry(source, &user);
        if (entry == NULL) {
            source->is_index_done = true;
            begin_pass(source);
        } else if (mem_entry_is_keyed(entry)) {
            give_index_row(source, user, entry, key_r, value_r);
            return 1;
        }
    }
    return give_next(source, key_r, value_r);
}

static void source_close(struct run_source *base)
{
    struct memtable_source *source = container_of(base, struct memtable_source, source);
    free(source->users);
    free(source->marks);
    free(source);
}

static int compare_marks(const void *a, const void *b)
{
    const struct mem_marks *x = *(const struct mem_marks *const *)a, *y = *(const struct mem_marks *const *)b;
    int order = span_compare(mem_marks_user(x), mem_marks_user(y));
    return order != 0 ? order : span_compare(mem_marks_peer(x), mem_marks_peer(y));
}

static void sort_users(struct memtable_source *source)
{
    uint32_t count = 0;
    for (const struct mem_user *user = source->table->all_first; user != NULL; user = user->next_all)
        source->users[count++] = sorted_user(user);
    qsort(source->users, count, sizeof *source->users, compare_users);
}

static void sort_marks(struct memtable_source *source)
{
    if (FAULT(MARKS_LOST_AT_CHECKPOINT))
        return;
    for (const struct mem_marks *marks = source->table->marks_first; marks != NULL; marks = marks->next_all)
        source->marks[source->mark_count++] = marks;
    qsort(source->marks, source->mark_count, sizeof(struct mem_marks *), compare_marks);
}

int memtable_source_open(struct run_source **source_r, const struct memtable *table)
{
    ASSERT(table->is_frozen);
    struct memtable_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return -ENOMEM;
    source->users = malloc((table->user_count + 1) * sizeof *source->users);
    source->marks = malloc((table->mark_count + 1) * sizeof(struct mem_marks *));
    if (source->users == NULL || source->marks == NULL) {
        source_close(&source->source);
        return -ENOMEM;
    }
    source->source = (struct run_source){source_next, source_close};
    source->table = table;
    source->is_index_done = table->keyed_count == 0;
    sort_users(source);
    sort_marks(source);
    begin_pass(source);
    *source_r = &source->source;
    return 0;
}
