#include "storage/memtable/memtable.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

static struct record_heap *heap;
static struct memtable *table;
static const struct hash_key seed = {1, 2}, key_seed = {3, 4};

static void open_table(void)
{
    cr_assert_eq(record_heap_open(&heap, 256u << 20), 0);
    cr_assert_eq(memtable_open(&table, heap, seed, key_seed), 0);
}

static void close_table(void)
{
    memtable_close(&table);
    cr_assert_null(table);
    record_heap_close(&heap); /* asserts that no reference is left */
}

TestSuite(memtable, .init = open_table, .fini = close_table);

static struct record *make(const char *from, const char *to, uint64_t ts_from, uint64_t ts_to, const char *key)
{
    struct record *record = record_heap_take(heap, span_of(from), span_of(to), span_of(key), SPAN_LITERAL("text"));
    cr_assert_not_null(record);
    record->ts_from = ts_from;
    record->ts_to = ts_to;
    return record;
}

static void put(const char *user, uint64_t ts, const char *key)
{
    struct record *record = make(user, "peer", ts, ts + 1, key);
    cr_assert_eq(memtable_insert(table, record, ROLE_SENT), 0);
    record_heap_unref(heap, &record);
}

static const char *range(const char *user, uint64_t after, uint64_t before, bool oldest_first, uint32_t max)
{
    static char text[4096];
    struct memtable_hit hits[128];
    size_t at = 0;
    uint32_t count = memtable_range(table, span_of(user), after, before, oldest_first, hits, max);
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(hits[i].record->ts_from, hits[i].ts);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", i > 0 ? " " : "", (unsigned long long)hits[i].ts);
    }
    return text;
}

Test(memtable, an_empty_one_has_nothing)
{
    struct memtable_hit hit;
    cr_assert_str_eq(range("alice", 0, UINT64_MAX, true, 10), "");
    cr_assert_eq(memtable_newest(table, SPAN_LITERAL("alice"), UINT64_MAX), 0);
    cr_assert_not(memtable_find(table, SPAN_LITERAL("alice"), 5, &hit));
    cr_assert_eq(memtable_entry_count(table), 0);
}

Test(memtable, ranges_are_exclusive_ascending_and_from_the_end_that_is_asked_for)
{
    for (uint64_t ts = 10; ts <= 50; ts += 10)
        put("alice", ts, "");
    put("bob", 25, "");
    cr_assert_str_eq(range("alice", 10, 50, true, 10), "20 30 40");
    cr_assert_str_eq(range("alice", 0, 60, true, 2), "10 20");
    cr_assert_str_eq(range("alice", 0, 60, false, 2), "40 50");
    cr_assert_str_eq(range("alice", 20, 40, false, 9), "30");
    cr_assert_str_eq(range("alice", 30, 31, true, 9), "");
    cr_assert_str_eq(range("alice", 40, 20, true, 9), "");
    cr_assert_str_eq(range("carol", 0, 60, true, 9), "");
    cr_assert_eq(memtable_newest(table, SPAN_LITERAL("alice"), UINT64_MAX), 50);
    cr_assert_eq(memtable_newest(table, SPAN_LITERAL("alice"), 50), 40);
    cr_assert_eq(memtable_newest(table, SPAN_LITERAL("alice"), 10), 0);
}

Test(memtable, each_role_stands_at_its_own_ts_in_its_own_timeline)
{
    struct memtable_hit hit;
    struct record *record = make("alice", "bob", 5, 9, "k");
    cr_assert_eq(memtable_insert(table, record, ROLE_SENT), 0);
    cr_assert_eq(memtable_insert(table, record, ROLE_RECEIVED), 0);
    cr_assert(memtable_find(table, SPAN_LITERAL("alice"), 5, &hit) && hit.role == ROLE_SENT && hit.record == record);
    cr_assert(memtable_find(table, SPAN_LITERAL("bob"), 9, &hit) && hit.role == ROLE_RECEIVED && hit.record == record);
    cr_assert_not(memtable_find(table, SPAN_LITERAL("alice"), 9, &hit));
    cr_assert_eq(record->refs, 1, "the table holds it, and has no reference");
    record_heap_unref(heap, &record);
    cr_assert(memtable_find(table, SPAN_LITERAL("bob"), 9, &hit) && hit.record->refs == 0);
}

Test(memtable, the_same_entry_twice_is_kept_once)
{
    struct record *record = make("alice", "bob", 5, 9, "k");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(memtable_insert(table, record, ROLE_SENT), 0);
    cr_assert_eq(memtable_entry_count(table), 1);
    cr_assert_eq(record->refs, 1);
    record_heap_unref(heap, &record);
}

Test(memtable, a_users_place_stands_from_before_his_first_entry)
{
    struct mem_user *alice = memtable_user(table, SPAN_LITERAL("alice"));
    struct mem_user *bob = memtable_user(table, SPAN_LITERAL("bob"));
    cr_assert(alice != NULL && bob != NULL && alice != bob);
    cr_assert_eq(memtable_newest(table, SPAN_LITERAL("alice"), UINT64_MAX), 0, "no entry yet");
    for (uint64_t ts = 10; ts < 10000; ts += 10) {
        struct record *record = make("alice", "bob", ts, ts + 1, "");
        cr_assert_eq(memtable_insert_at(table, alice, record, ROLE_SENT), 0);
        cr_assert_eq(memtable_insert_at(table, bob, record, ROLE_RECEIVED), 0);
        record_heap_unref(heap, &record);
    }
    cr_assert_eq(memtable_user(table, SPAN_LITERAL("alice")), alice);
    cr_assert_eq(memtable_newest(table, SPAN_LITERAL("alice"), UINT64_MAX), 9990);
    cr_assert_eq(memtable_newest(table, SPAN_LITERAL("bob"), UINT64_MAX), 9991);
    cr_assert_eq(memtable_entry_count(table), 2 * 999);
}

Test(memtable, a_users_cost_adds_up_to_its_limit_and_is_of_one_generation)
{
    struct memtable *next;
    struct mem_user *alice = memtable_user(table, SPAN_LITERAL("alice"));
    cr_assert_eq(memtable_find_user(table, SPAN_LITERAL("bob")), NULL);
    cr_assert_eq(memtable_user_cost(alice), 0);
    memtable_user_add_cost(alice, 5);
    memtable_user_add_cost(alice, 7);
    cr_assert_eq(memtable_user_cost(memtable_find_user(table, SPAN_LITERAL("alice"))), 12);
    memtable_user_add_cost(alice, UINT64_MAX);
    cr_assert_eq(memtable_user_cost(alice), UINT32_MAX);
    memtable_user_add_cost(alice, 1);
    cr_assert_eq(memtable_user_cost(alice), UINT32_MAX);
    cr_assert_eq(memtable_open(&next, heap, seed, key_seed), 0);
    cr_assert_eq(memtable_user_cost(memtable_user(next, SPAN_LITERAL("alice"))), 0);
    memtable_close(&next);
}

Test(memtable, keyed_sends_are_given_newest_first_and_only_those)
{
    struct memtable_keyed keyed[8];
    for (uint64_t ts = 1; ts <= 9; ts++) {
        char key[8] = "";
        if (ts % 2 == 1)
            snprintf(key, sizeof key, "k%llu", (unsigned long long)ts);
        put("alice", ts, key);
    }
    cr_assert_eq(memtable_keyed(table, SPAN_LITERAL("alice"), 4, keyed, 8), 3);
    cr_assert(keyed[0].ts == 9 && keyed[1].ts == 7 && keyed[2].ts == 5);
    cr_assert_eq(keyed[0].hash, memtable_key_hash(key_seed, SPAN_LITERAL("k9")));
    cr_assert_eq(memtable_keyed(table, SPAN_LITERAL("alice"), 0, keyed, 2), 2);
    cr_assert_eq(memtable_keyed(table, SPAN_LITERAL("peer"), 0, keyed, 8), 0);
}

/* Against a plain array: entries in random order, users with few and with very many. */
Test(memtable, random_inserts_agree_with_a_sorted_array)
{
    enum { USERS = 5, TS_MAX = 20000 };
    static bool stands[USERS][TS_MAX + 1];
    uint64_t count = 0;
    srand(3);
    for (uint32_t i = 0; i < 60000; i++) {
        uint32_t user = (uint32_t)(rand() % 16) < 12 ? 0 : (uint32_t)rand() % USERS;
        uint64_t near_end = i / 3 > 50 ? i / 3 - (uint64_t)(rand() % 50) : 1 + i / 3;
        uint64_t ts = rand() % 4 == 0 ? 1 + (uint64_t)rand() % TS_MAX : near_end == 0 ? 1 : near_end;
        char name[8];
        snprintf(name, sizeof name, "u%u", user);
        put(name, ts, "");
        count += !stands[user][ts];
        stands[user][ts] = true;
    }
    cr_assert_eq(memtable_entry_count(table), count);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t user = (uint32_t)rand() % USERS, max = 1 + (uint32_t)rand() % 40, found = 0;
        uint64_t after = (uint64_t)rand() % TS_MAX, before = (uint64_t)rand() % (TS_MAX + 2);
        bool oldest_first = rand() % 2 == 0;
        struct memtable_hit hits[64];
        uint64_t wanted[64];
        char name[8];
        snprintf(name, sizeof name, "u%u", user);
        if (oldest_first) {
            for (uint64_t ts = after + 1; ts < before && ts <= TS_MAX && found < max; ts++)
                if (stands[user][ts])
                    wanted[found++] = ts;
        } else {
            for (uint64_t ts = before < TS_MAX + 1 ? before : TS_MAX + 1; ts-- > after + 1 && found < max;)
                if (stands[user][ts])
                    wanted[found++] = ts;
        }
        cr_assert_eq(memtable_range(table, span_of(name), after, before, oldest_first, hits, max), found);
        for (uint32_t k = 0; k < found; k++)
            cr_assert_eq(hits[k].ts, wanted[oldest_first ? k : found - 1 - k]);
    }
}

/* Against a plain array: the newest, single entries and keyed sends, while entries come in random order. */
Test(memtable, random_keyed_sends_agree_with_a_plain_array)
{
    enum { TS_MAX = 12000, ROUNDS = 40, INSERTS = 400 };
    static uint8_t stands[TS_MAX + 2]; /* 1: without a key, 2: with one */
    srand(12);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < INSERTS; i++) {
            uint64_t ts = 1 + (uint64_t)rand() % TS_MAX;
            bool is_keyed = rand() % 3 == 0;
            put("alice", ts, is_keyed ? "k" : "");
            if (stands[ts] == 0) /* the first one is kept */
                stands[ts] = is_keyed ? 2 : 1;
        }
        for (uint32_t i = 0; i < 200; i++) {
            struct memtable_hit hit;
            struct memtable_keyed keyed[64];
            uint64_t ts = 1 + (uint64_t)rand() % TS_MAX, at = ts;
            uint32_t max = (uint32_t)rand() % 64;
            while (--at > 0 && stands[at] == 0)
                continue;
            cr_assert_eq(memtable_newest(table, SPAN_LITERAL("alice"), ts), at);
            cr_assert_eq(memtable_find(table, SPAN_LITERAL("alice"), ts, &hit), stands[ts] != 0);
            cr_assert(stands[ts] == 0 || (hit.ts == ts && hit.record->key_bytes == (stands[ts] == 2)));
            uint32_t count = memtable_keyed(table, SPAN_LITERAL("alice"), ts, keyed, max), found = 0;
            for (uint64_t k = TS_MAX; k >= ts && found < max; k--)
                if (stands[k] == 2)
                    cr_assert(found < count && keyed[found++].ts == k);
            cr_assert_eq(count, found);
        }
    }
    cr_assert_gt(memtable_entry_count(table), 2 * 4096, "it has several chunks");
}

/* A record is in the timelines of two users, and may be in two generations: each has a reference of its own. */
Test(memtable, generations_hold_their_records_apart)
{
    struct memtable *second;
    struct memtable_hit hit;
    struct record *record = make("alice", "bob", 5, 9, "k");
    cr_assert_eq(memtable_open(&second, heap, seed, key_seed), 0);
    cr_assert_eq(memtable_insert(table, record, ROLE_SENT), 0);
    cr_assert_eq(memtable_insert(second, record, ROLE_RECEIVED), 0);
    record_heap_unref(heap, &record);
    memtable_freeze(table);
    cr_assert(memtable_find(table, SPAN_LITERAL("alice"), 5, &hit), "frozen, it is read as before");
    cr_assert_not(memtable_find(second, SPAN_LITERAL("alice"), 5, &hit));
    memtable_close(&table);
    cr_assert(memtable_find(second, SPAN_LITERAL("bob"), 9, &hit));
    cr_assert(span_equal(record_text(hit.record), SPAN_LITERAL("text")));
    cr_assert_eq(hit.record->refs, 0);
    memtable_close(&second);
}

Test(memtable, it_accounts_for_the_bytes_of_its_records_and_its_index)
{
    uint64_t before = memtable_bytes(table);
    struct record *record = make("alice", "bob", 5, 9, "k");
    uint64_t record_bytes = sizeof *record + record_body_bytes(record);
    cr_assert_eq(memtable_insert(table, record, ROLE_SENT), 0);
    uint64_t first = memtable_bytes(table) - before;
    cr_assert_gt(first, record_bytes);
    cr_assert_eq(memtable_insert(table, record, ROLE_SENT), 0);
    cr_assert_eq(memtable_bytes(table) - before, first, "kept once, counted once");
    cr_assert_eq(memtable_insert(table, record, ROLE_RECEIVED), 0);
    cr_assert_geq(memtable_bytes(table) - before, first + record_bytes, "in full for each of its rows");
    record_heap_unref(heap, &record);
}

Test(memtable, of_an_empty_generation_the_source_has_no_row)
{
    struct run_source *source;
    struct span key, value;
    memtable_freeze(table);
    cr_assert_eq(memtable_source_open(&source, table), 0);
    cr_assert_eq(run_source_next(source, &key, &value), 0);
    run_source_close(&source);
    cr_assert_null(source);
}

Test(memtable, frozen_it_is_a_source_of_rows_in_key_order_the_key_index_first)
{
    struct run_source *source;
    struct span key, value;
    char last[ROW_KEY_BYTES_MAX + 1] = "";
    size_t last_bytes = 0;
    uint32_t rows = 0, index_rows = 0;
    static const char *const users[] = {"zoe", "al", "alice", "bob", "alice!"};
    for (uint64_t ts = 5000; ts > 0; ts--)
        put(users[ts % 5], ts, ts % 10 < 5 ? "k" : "");
    memtable_freeze(table);
    cr_assert_eq(memtable_source_open(&source, table), 0);
    int more;
    while ((more = run_source_next(source, &key, &value)) == 1) {
        struct row_key_fields row;
        struct message message;
        cr_assert(span_compare((struct span){last, last_bytes}, key) < 0, "strictly ascending");
        memcpy(last, key.data, key.bytes);
        last_bytes = key.bytes;
        cr_assert_eq(row_key_parse(key, &row), 0);
        cr_assert(span_equal(row.user, span_of(users[row.ts % 5])));
        if (row.kind == ROW_KEYED) {
            cr_assert_eq(bytes_load_le64(value.data), memtable_key_hash(key_seed, SPAN_LITERAL("k")));
            index_rows++;
        } else {
            cr_assert_eq(row_decode(row.user, row.ts, value, &message), 0);
            cr_assert(message.role == ROLE_SENT && message.other_ts == row.ts + 1);
            rows++;
        }
    }
    cr_assert_eq(more, 0);
    cr_assert_eq(rows, 5000);
    cr_assert_eq(index_rows, 2500);
    run_source_close(&source);
}

/* Names that are alike for longer than what the sort looks at first, and names that end early. */
Test(memtable, users_come_in_the_order_of_their_names_however_alike_they_are)
{
    static const char *const names[] = {
        "abcdefghijklmnop", "a", "abcdefghijklmnopq", "~", "abcdefghijklmnopa", "a!", "abcdefgh", "b", "abcdefghi",
        "abcdefg~~",        "A", "abcdefghijklmno~"};
    struct run_source *source;
    struct span key, value;
    char last[LIMIT_USER_BYTES + 1] = "", name[LIMIT_USER_BYTES + 1];
    struct row_key_fields row;
    uint32_t count = sizeof names / sizeof names[0], rows = 0;
    for (uint32_t i = 0; i < count; i++)
        put(names[i], 100 + i, "");
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "abcdefghijklmnop%02u", (i * 37) % 100);
        put(name, 1000 + i, "");
    }
    memtable_freeze(table);
    cr_assert_eq(memtable_source_open(&source, table), 0);
    while (run_source_next(source, &key, &value) == 1) {
        cr_assert_eq(row_key_parse(key, &row), 0);
        snprintf(name, sizeof name, "%.*s", (int)row.user.bytes, row.user.data);
        cr_assert_lt(strcmp(last, name), 0, "%s before %s", last, name);
        snprintf(last, sizeof last, "%s", name);
        rows++;
    }
    cr_assert_eq(rows, count + 100);
    run_source_close(&source);
}

Test(memtable, it_may_be_given_back_in_slices)
{
    for (uint64_t ts = 1; ts <= 60000; ts++)
        put(ts % 3 == 0 ? "alice" : "bob", ts, "");
    uint64_t blocks = record_heap_bytes_used(heap) / RECORD_HEAP_BLOCK_BYTES;
    cr_assert_geq(blocks, 4);
    uint64_t slices = 0;
    while (!memtable_close_some(&table, 1)) {
        cr_assert_not_null(table);
        cr_assert_geq(record_heap_bytes_used(heap) / RECORD_HEAP_BLOCK_BYTES + ++slices, blocks, "one a slice");
    }
    cr_assert_null(table);
    cr_assert_geq(slices, blocks);
    cr_assert_leq(record_heap_bytes_used(heap), RECORD_HEAP_BLOCK_BYTES, "all but the one that is filled");
    cr_assert(memtable_close_some(&table, 1), "it is gone already");
}
