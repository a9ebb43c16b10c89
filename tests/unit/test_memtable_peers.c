#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "storage/memtable/memtable.h"

static struct record_heap *heap;
static struct memtable *table;
static const struct hash_key seed = {1, 2}, key_seed = {3, 4};

static void open_table(void)
{
    cr_assert_eq(record_heap_open(&heap, 64u << 20), 0);
    cr_assert_eq(memtable_open(&table, heap, seed, key_seed), 0);
}

static void close_table(void)
{
    memtable_close(&table);
    record_heap_close(&heap);
}

TestSuite(memtable_peers, .init = open_table, .fini = close_table);

/* An entry of alice at `ts`. */
static void put(enum role role, const char *peer, uint64_t ts)
{
    struct span from = span_of(role == ROLE_RECEIVED ? peer : "alice");
    struct span to = span_of(role == ROLE_RECEIVED ? "alice" : role == ROLE_SELF ? "alice" : peer);
    struct record *record = record_heap_take(heap, from, to, SPAN_LITERAL(""), SPAN_LITERAL("text"));
    record->ts_from = role == ROLE_RECEIVED ? ts + 1000000 : ts;
    record->ts_to = role == ROLE_SENT ? ts + 1000000 : ts;
    cr_assert_eq(memtable_insert(table, record, role), 0);
    record_heap_unref(heap, &record);
}

static const struct span alice = {"alice", 5};

static const char *with(const char *peer, uint64_t after, uint64_t before, bool oldest_first, uint32_t max)
{
    static char text[4096];
    struct memtable_hit hits[64];
    size_t at = 0;
    uint32_t count = memtable_peer_range(table, alice, span_of(peer), after, before, oldest_first, hits, max);
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", i > 0 ? " " : "", (unsigned long long)hits[i].ts);
    return text;
}

static const char *unseen(const char *peer, uint64_t after, uint64_t before, uint32_t max)
{
    static char text[4096];
    uint64_t ts[64];
    size_t at = 0;
    uint32_t count = memtable_peer_unseen(table, alice, span_of(peer), after, before, ts, max);
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", i > 0 ? " " : "", (unsigned long long)ts[i]);
    return text;
}

Test(memtable_peers, each_has_the_entries_with_them_and_no_others)
{
    struct memtable_hit hit;
    put(ROLE_SENT, "bob", 10);
    put(ROLE_RECEIVED, "bob", 20);
    put(ROLE_RECEIVED, "bobby", 25);
    put(ROLE_RECEIVED, "bob", 30);
    put(ROLE_SELF, "alice", 40);
    put(ROLE_SENT, "bob", 50);
    cr_assert_eq(memtable_index_peers(table, alice, 100), 1);
    cr_assert_str_eq(with("bob", 0, UINT64_MAX, true, 9), "10 20 30 50");
    cr_assert_str_eq(with("bob", 10, 50, false, 1), "30");
    cr_assert_str_eq(with("bobby", 0, 26, false, 9), "25");
    cr_assert_str_eq(with("alice", 0, UINT64_MAX, false, 9), "40");
    cr_assert_str_eq(with("bo", 0, UINT64_MAX, false, 9), "");
    cr_assert_str_eq(unseen("bob", 0, UINT64_MAX, 9), "30 20");
    cr_assert_str_eq(unseen("bob", 20, UINT64_MAX, 9), "30");
    cr_assert_str_eq(unseen("bob", 0, 30, 9), "20");
    cr_assert_str_eq(unseen("bob", 0, UINT64_MAX, 1), "30");
    cr_assert_str_eq(unseen("alice", 0, UINT64_MAX, 9), "", "a message to oneself is not received");
    cr_assert(memtable_peer_received(table, alice, SPAN_LITERAL("bob"), UINT64_MAX, &hit) && hit.ts == 30);
    cr_assert(memtable_peer_received(table, alice, SPAN_LITERAL("bob"), 30, &hit) && hit.ts == 20);
    cr_assert_not(memtable_peer_received(table, alice, SPAN_LITERAL("bob"), 20, &hit));
}

Test(memtable_peers, a_user_without_entries_is_indexed_and_has_no_peers)
{
    struct memtable_peer_walk walk = {NULL};
    struct memtable_peer peer;
    struct memtable_hit hit;
    cr_assert_eq(memtable_index_peers(table, alice, 1), 1);
    cr_assert_not(memtable_peer_next(table, alice, &walk, UINT64_MAX, &peer));
    cr_assert_not(memtable_peer_received(table, alice, SPAN_LITERAL("bob"), UINT64_MAX, &hit));
    cr_assert_str_eq(with("bob", 0, UINT64_MAX, true, 9), "");
}

Test(memtable_peers, an_index_that_is_made_in_slices_has_what_comes_between_them)
{
    for (uint64_t ts = 100; ts < 200; ts += 10)
        put(ROLE_RECEIVED, "bob", ts);
    cr_assert_eq(memtable_index_peers(table, alice, 4), 0);
    put(ROLE_RECEIVED, "bob", 105); /* below what is indexed, at it, and above */
    put(ROLE_SENT, "bob", 131);
    put(ROLE_RECEIVED, "carol", 300);
    int done = 0;
    for (int i = 0; i < 9 && done == 0; i++)
        done = memtable_index_peers(table, alice, 4);
    cr_assert_eq(done, 1);
    cr_assert_str_eq(with("bob", 0, 150, true, 20), "100 105 110 120 130 131 140");
    cr_assert_str_eq(with("carol", 0, UINT64_MAX, true, 20), "300");
}

Test(memtable_peers, inserts_keep_an_index_up_to_date_in_any_order_and_once)
{
    put(ROLE_RECEIVED, "bob", 50);
    cr_assert_eq(memtable_index_peers(table, alice, 9), 1);
    put(ROLE_RECEIVED, "bob", 20);
    put(ROLE_RECEIVED, "bob", 70);
    put(ROLE_RECEIVED, "bob", 20);
    cr_assert_eq(memtable_index_peers(table, alice, 0), 1);
    cr_assert_str_eq(with("bob", 0, UINT64_MAX, true, 9), "20 50 70");
}

Test(memtable_peers, a_frozen_generation_may_be_indexed)
{
    put(ROLE_RECEIVED, "bob", 50);
    memtable_freeze(table);
    cr_assert_eq(memtable_index_peers(table, alice, 9), 1);
    cr_assert_str_eq(with("bob", 0, UINT64_MAX, true, 9), "50");
}

Test(memtable_peers, those_of_many_are_each_found_with_their_newest_entry_below_a_bound)
{
    char name[24];
    uint64_t sum = 0;
    uint32_t count = 0;
    struct memtable_peer_walk walk = {NULL};
    struct memtable_peer peer;
    for (uint64_t i = 0; i < 30000; i++) {
        snprintf(name, sizeof name, "peer-%llu", (unsigned long long)(i % 10000));
        put(i % 2 == 0 ? ROLE_SENT : ROLE_RECEIVED, name, 1 + i);
    }
    while (memtable_index_peers(table, alice, 1000) == 0)
        continue;
    while (memtable_peer_next(table, alice, &walk, 20001, &peer)) {
        cr_assert(peer.newest > 10000 && peer.newest <= 20000);
        count++;
        sum += peer.newest;
    }
    cr_assert_eq(count, 10000);
    cr_assert_eq(sum, UINT64_C(10000) * 10001 / 2 + UINT64_C(100000000));
    walk = (struct memtable_peer_walk){NULL};
    cr_assert(memtable_peer_next(table, alice, &walk, 2, &peer) && peer.newest == 1 && peer.name.bytes == 6);
    cr_assert_not(memtable_peer_next(table, alice, &walk, 2, &peer));
}

/* -- marks -- */

Test(memtable_peers, marks_only_rise_and_a_pair_costs_memory_once)
{
    struct span bob = SPAN_LITERAL("bob");
    uint64_t bytes = memtable_bytes(table);
    cr_assert_eq(memtable_mark(table, alice, bob, (struct seen_marks){.seen = 7}), 0);
    cr_assert_gt(memtable_bytes(table), bytes, "marks count in the size of the generation");
    bytes = memtable_bytes(table);
    cr_assert_eq(memtable_mark(table, alice, bob, (struct seen_marks){.seen = 5, .seen_by = 9}), 0);
    cr_assert_eq(memtable_mark(table, alice, bob, (struct seen_marks){.seen = 6, .seen_by = 8}), 0);
    struct seen_marks marks = memtable_marks_of(table, alice, bob);
    cr_assert(marks.seen == 7 && marks.seen_by == 9);
    cr_assert_eq(memtable_bytes(table), bytes);
    cr_assert_eq(memtable_mark_count(table), 1);
    marks = memtable_marks_of(table, bob, alice);
    cr_assert(marks.seen == 0 && marks.seen_by == 0);
    cr_assert_eq(memtable_marks_of(table, SPAN_LITERAL("alicebo"), SPAN_LITERAL("b")).seen, 0);
}

Test(memtable_peers, marks_of_many_pairs_are_found_while_their_heads_are_split)
{
    char name[16];
    struct seen_marks marks;
    for (uint64_t i = 1; i <= 3000; i++) {
        struct span peer = {name, (size_t)snprintf(name, sizeof name, "peer%llu", (unsigned long long)i)};
        cr_assert_eq(memtable_mark(table, alice, peer, (struct seen_marks){.seen = i}), 0);
        for (uint64_t other = 1; other <= i + 1; other += 1 + i / 7) {
            peer.bytes = (size_t)snprintf(name, sizeof name, "peer%llu", (unsigned long long)other);
            marks = memtable_marks_of(table, alice, peer);
            cr_assert_eq(marks.seen, other <= i ? other : 0);
        }
    }
    cr_assert_eq(memtable_mark_count(table), 3000);
}

/* The rows of the frozen table as text. */
static const char *rows_of_table(void)
{
    static char text[4096];
    struct run_source *source;
    struct span key, value;
    struct row_key_fields row;
    struct seen_marks marks;
    size_t at = 0;
    text[0] = '\0';
    memtable_freeze(table);
    cr_assert_eq(memtable_source_open(&source, table), 0);
    while (run_source_next(source, &key, &value) == 1) {
        cr_assert_eq(row_key_parse(key, &row), 0);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", at > 0 ? " " : "", (int)row.user.bytes,
                               row.user.data);
        if (row.kind == ROW_MARKS) {
            cr_assert_eq(row_decode_marks(value, &marks), 0);
            at += (size_t)snprintf(text + at, sizeof text - at, "+%.*s=%llu/%llu", (int)row.peer.bytes, row.peer.data,
                                   (unsigned long long)marks.seen, (unsigned long long)marks.seen_by);
        } else {
            at += (size_t)snprintf(text + at, sizeof text - at, "@%llu", (unsigned long long)row.ts);
        }
    }
    run_source_close(&source);
    return text;
}

static void mark(const char *user, const char *peer, uint64_t seen, uint64_t seen_by)
{
    cr_assert_eq(memtable_mark(table, span_of(user), span_of(peer), (struct seen_marks){seen, seen_by}), 0);
}

Test(memtable_peers, marks_are_rows_behind_the_entries_of_their_user)
{
    put(ROLE_RECEIVED, "bob", 5);
    put(ROLE_RECEIVED, "bob", 6);
    mark("zoe", "alice", 1, 0);
    mark("alice", "bobby", 0, 2);
    mark("alice", "bob", 5, 0);
    mark("al", "bob", 3, 0);
    cr_assert_str_eq(rows_of_table(), "al+bob=3/0 alice@5 alice@6 alice+bob=5/0 alice+bobby=0/2 zoe+alice=1/0");
}

Test(memtable_peers, a_generation_of_marks_alone_has_rows)
{
    mark("alice", "bob", 5, 6);
    cr_assert_str_eq(rows_of_table(), "alice+bob=5/6");
}
