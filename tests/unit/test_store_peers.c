/* Pages of one conversation and of all conversations from runs, against what was put into them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "storage/memtable/memtable.h"
#include "storage/runs/manifest.h"
#include "storage/runs/peer_index.h"
#include "store_fixture.h"

#define ENTRIES_MAX 450000u
#define PEERS_MAX 300u

static const struct span alice = {"alice", 5};

struct entry {
    uint64_t ts;
    uint32_t peer; /* PEERS_MAX: alice herself */
    bool is_received;
};

/* What was put into the runs of a store, by ts. */
struct truth {
    struct fixture fixture;
    struct record_heap *heap;
    struct entry *entries;
    uint32_t count;
    uint64_t ts;
    uint64_t random;
    struct seen_marks marks[PEERS_MAX];
};

static uint64_t draw(struct truth *truth, uint64_t below)
{
    truth->random = truth->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (truth->random >> 33) % below;
}

static struct span name_of(uint32_t peer, char name[16])
{
    if (peer == PEERS_MAX)
        return alice;
    return (struct span){name, (size_t)snprintf(name, 16, "p%u", peer)};
}

static void truth_open(struct truth *truth)
{
    *truth = (struct truth){.ts = 1000, .random = 7};
    truth->fixture = fixture_open();
    truth->entries = calloc(ENTRIES_MAX, sizeof *truth->entries);
    cr_assert_eq(record_heap_open(&truth->heap, 512u << 20), 0);
}

static void truth_close(struct truth *truth)
{
    fixture_close(&truth->fixture);
    record_heap_close(&truth->heap);
    free(truth->entries);
}

static struct memtable *table_open(struct truth *truth)
{
    struct memtable *table;
    cr_assert_eq(memtable_open(&table, truth->heap, (struct hash_key){1, 2}, (struct hash_key){3, 4}), 0);
    return table;
}

static void put(struct truth *truth, struct memtable *table, const struct entry *entry)
{
    char name[16];
    struct span peer = name_of(entry->peer, name);
    bool is_received = entry->is_received;
    struct record *record = record_heap_take(truth->heap, is_received ? peer : alice, is_received ? alice : peer,
                                             SPAN_LITERAL(""), SPAN_LITERAL("text"));
    record->ts_from = is_received ? entry->ts + 5 : entry->ts;
    record->ts_to = is_received ? entry->ts : entry->ts + 5;
    enum role role = entry->peer == PEERS_MAX ? ROLE_SELF : is_received ? ROLE_RECEIVED : ROLE_SENT;
    cr_assert_eq(memtable_insert(table, record, role), 0);
    record_heap_unref(truth->heap, &record);
}

static void write_table(struct truth *truth, struct memtable *table)
{
    struct run_source *source;
    struct store_error error;
    memtable_freeze(table);
    cr_assert_eq(memtable_source_open(&source, table), 0);
    struct store_position applied = {++truth->fixture.generation, 4096};
    cr_assert_eq(store_add_run(truth->fixture.store, source, applied, truth->ts, &error), 0, "%s", error.text);
    run_source_close(&source);
    memtable_close(&table);
}

/* A run of `count` more entries with the first `peers` peers, and of marks. Others have entries and marks too. */
static void add_run(struct truth *truth, uint32_t count, uint32_t peers)
{
    struct memtable *table = table_open(truth);
    struct record *other = record_heap_take(truth->heap, SPAN_LITERAL("alicf"), SPAN_LITERAL("al"), SPAN_LITERAL(""),
                                            SPAN_LITERAL("text"));
    other->ts_from = other->ts_to = truth->ts;
    cr_assert_eq(memtable_insert(table, other, ROLE_SENT), 0);
    cr_assert_eq(memtable_insert(table, other, ROLE_RECEIVED), 0);
    record_heap_unref(truth->heap, &other);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t peer = (uint32_t)draw(truth, peers + 1);
        truth->ts += 1 + draw(truth, 300);
        struct entry entry = {truth->ts, peer == peers ? PEERS_MAX : peer, peer < peers && draw(truth, 3) > 0};
        cr_assert_lt(truth->count, ENTRIES_MAX);
        truth->entries[truth->count++] = entry;
        put(truth, table, &entry);
    }
    for (uint32_t i = 0; i < 10 && count > 0; i++) {
        char name[16];
        uint32_t peer = (uint32_t)draw(truth, peers);
        struct seen_marks marks = {truth->ts - draw(truth, truth->ts), truth->ts - draw(truth, truth->ts)};
        seen_marks_raise(&truth->marks[peer], marks);
        cr_assert_eq(memtable_mark(table, alice, name_of(peer, name), marks), 0);
        cr_assert_eq(memtable_mark(table, SPAN_LITERAL("al"), name_of(peer, name), marks), 0);
    }
    write_table(truth, table);
}

/* The same entries again in another run, as a crash leaves them. */
static void add_again(struct truth *truth, uint32_t first, uint32_t count)
{
    struct memtable *table = table_open(truth);
    for (uint32_t i = first; i < first + count; i++)
        put(truth, table, &truth->entries[i]);
    write_table(truth, table);
}

static void merge_all(struct truth *truth)
{
    struct store_error error;
    while (store_merge_is_due(truth->fixture.store))
        cr_assert_eq(store_merge_run(truth->fixture.store, NULL, NULL, &error), 0, "%s", error.text);
}

/* -- pages of one conversation -- */

static bool is_wanted(const struct entry *entry, uint32_t peer, const struct store_range *range, bool only_received)
{
    return entry->peer == peer && entry->ts > range->after && entry->ts < range->before
           && (entry->is_received || !only_received);
}

/* Reads the whole range in pages of rows_max, and compares it with the truth. */
static void expect_with(struct truth *truth, uint32_t peer, struct store_range range, bool only_received)
{
    char name[16];
    struct store_with with = {name_of(peer, name), only_received};
    struct store_page *page = truth->fixture.page;
    const bool oldest_first = range.oldest_first;
    uint32_t at = oldest_first ? 0 : truth->count;
    uint64_t bound;
    bool more = true;
    range.bytes_max = 1 << 20;
    struct store_range whole = range;
    while (more) {
        cr_assert_eq(store_reader_with(truth->fixture.reader, alice, &with, &range, page, &bound, &more), 0);
        uint32_t count = store_page_count(page);
        cr_assert_leq(count, range.rows_max);
        for (uint32_t i = 0; i < count; i++) {
            struct message message = store_page_message(page, oldest_first ? i : count - 1 - i);
            const struct entry *entry;
            do {
                cr_assert(oldest_first ? at < truth->count : at > 0, "an entry that was not put there");
                entry = &truth->entries[oldest_first ? at++ : --at];
            } while (!is_wanted(entry, peer, &whole, only_received));
            cr_assert_eq(message.ts, entry->ts);
            cr_assert_eq(message.other_ts, peer == PEERS_MAX ? entry->ts : entry->ts + 5);
            cr_assert(span_equal(message_other(&message), with.peer));
        }
        *(oldest_first ? &range.after : &range.before) = bound;
    }
    while (oldest_first ? at < truth->count : at > 0)
        cr_assert_not(is_wanted(&truth->entries[oldest_first ? at++ : --at], peer, &whole, only_received),
                      "an entry is missing");
}

static void expect_all_with(struct truth *truth, uint32_t peers)
{
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t peer = i % 4 == 0 ? PEERS_MAX : (uint32_t)draw(truth, peers + 2);
        struct store_range range = {.before = i % 3 == 0 ? UINT64_MAX : draw(truth, truth->ts + 400),
                                    .after = i % 5 < 2 ? 0 : draw(truth, truth->ts),
                                    .oldest_first = i % 2 == 0,
                                    .rows_max = 1 + (uint32_t)draw(truth, 120)};
        expect_with(truth, peer, range, i % 7 == 0);
    }
}

/* -- pages of conversations -- */

struct expected {
    uint32_t peer;
    uint64_t newest;
};

static int compare_expected(const void *a, const void *b)
{
    const struct expected *x = a, *y = b;
    return x->newest > y->newest ? -1 : x->newest < y->newest;
}

static uint32_t expect_list(const struct truth *truth, const struct store_peers_query *query,
                            struct expected list[PEERS_MAX + 1])
{
    uint64_t newest[PEERS_MAX + 1] = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < truth->count; i++)
        if (truth->entries[i].ts > query->after && truth->entries[i].ts < query->bound)
            newest[truth->entries[i].peer] = truth->entries[i].ts;
    for (uint32_t peer = 0; peer <= PEERS_MAX; peer++)
        if (newest[peer] > 0 && newest[peer] < query->before)
            list[count++] = (struct expected){peer, newest[peer]};
    qsort(list, count, sizeof list[0], compare_expected);
    return count;
}

static uint32_t expect_unseen(const struct truth *truth, const struct store_peers_query *query, uint32_t peer,
                              uint64_t seen)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < truth->count; i++) {
        const struct entry *entry = &truth->entries[i];
        count += entry->peer == peer && entry->is_received && entry->ts > seen && entry->ts > query->after
                 && entry->ts < query->bound;
    }
    return count < STORE_UNSEEN_MAX ? count : STORE_UNSEEN_MAX;
}

static void step_all(struct truth *truth, struct store_peers *peers)
{
    int more;
    do {
        more = store_peers_step(peers, truth->fixture.reader);
        cr_assert_geq(more, 0);
    } while (more == 1);
}

static struct store_peers *peers_of(struct truth *truth, const struct store_peers_query *query)
{
    struct store_peers *peers;
    cr_assert_eq(store_peers_open(&peers, truth->fixture.store, alice, query), 0);
    step_all(truth, peers);
    return peers;
}

/* The page of the query. Returns the `before` of the next one; 0: there is none. */
static uint64_t expect_page(const struct truth *truth, const struct store_peers_query *asked, struct store_peers *peers)
{
    struct store_peers_query query = *asked;
    struct expected list[PEERS_MAX + 1];
    uint32_t total = expect_list(truth, &query, list);
    uint32_t count = store_peers_count(peers);
    cr_assert_eq(count, total < query.limit ? total : query.limit);
    cr_assert_eq(store_peers_more(peers), total > count);
    for (uint32_t i = 0; i < count; i++) {
        struct store_peer peer;
        char name[16];
        store_peers_get(peers, i, &peer);
        cr_assert(span_equal(peer.name, name_of(list[i].peer, name)), "%u: %.*s instead of %s", i, (int)peer.name.bytes,
                  peer.name.data, name);
        cr_assert_eq(peer.newest, list[i].newest);
        cr_assert_not_null(peer.last);
        cr_assert_eq(peer.last->ts, list[i].newest);
        cr_assert(span_equal(message_other(peer.last), peer.name));
        struct seen_marks marks = list[i].peer == PEERS_MAX ? (struct seen_marks){0, 0} : truth->marks[list[i].peer];
        cr_assert(peer.marks.seen == marks.seen && peer.marks.seen_by == marks.seen_by);
        uint64_t seen = marks.seen > query.after ? marks.seen : query.after;
        cr_assert_eq(store_peers_unseen(peers, i, seen, NULL, 0), expect_unseen(truth, &query, list[i].peer, seen));
        seen += 20000;
        cr_assert_eq(store_peers_unseen(peers, i, seen, NULL, 0), expect_unseen(truth, &query, list[i].peer, seen));
    }
    return total > count ? list[count - 1].newest : 0;
}

static void expect_peers(struct truth *truth, struct store_peers_query query)
{
    struct store_peers *peers = peers_of(truth, &query);
    expect_page(truth, &query, peers);
    store_peers_close(&peers);
}

/* All pages of a walk, of limits that vary, from one struct. Returns how many. */
static uint32_t expect_walk(struct truth *truth, struct store_peers_query query)
{
    struct store_peers *peers = peers_of(truth, &query);
    uint32_t pages = 1;
    while ((query.before = expect_page(truth, &query, peers)) != 0) {
        query.limit = 1 + (query.limit * 7 + pages) % 60;
        store_peers_rest(peers);
        cr_assert(store_peers_is_of(peers, alice) && !store_peers_is_of(peers, SPAN_LITERAL("alic")));
        cr_assert_gt(store_peers_bytes(peers), sizeof(struct run *));
        cr_assert_eq(store_peers_resume(peers, query.before, query.limit), 1);
        step_all(truth, peers);
        pages++;
    }
    store_peers_close(&peers);
    return pages;
}

static void expect_all_peers(struct truth *truth)
{
    expect_peers(truth, (struct store_peers_query){0, UINT64_MAX, UINT64_MAX, LIMIT_PAGE_ENTRIES});
    expect_peers(truth, (struct store_peers_query){0, UINT64_MAX, UINT64_MAX, 3});
    expect_walk(truth, (struct store_peers_query){0, UINT64_MAX, UINT64_MAX, 2});
    expect_walk(truth, (struct store_peers_query){draw(truth, truth->ts), UINT64_MAX, UINT64_MAX, 50});
    for (uint32_t i = 0; i < 20; i++) {
        struct store_peers_query query = {.after = i % 3 == 0 ? 0 : draw(truth, truth->ts),
                                          .bound = i % 4 == 0 ? UINT64_MAX : draw(truth, truth->ts),
                                          .before = i % 2 == 0 ? UINT64_MAX : draw(truth, truth->ts),
                                          .limit = 1 + (uint32_t)draw(truth, 60)};
        expect_peers(truth, query);
    }
}

/* -- with whom there are entries -- */

static bool has_entry(const struct truth *truth, uint32_t peer, uint64_t ts, const struct store_range *range)
{
    for (uint32_t i = 0; i < truth->count; i++)
        if (is_wanted(&truth->entries[i], peer, range, false) && (ts == 0 || truth->entries[i].ts == ts))
            return true;
    return false;
}

/* Checks all peers, strangers, and alice herself, in calls of `looks_max`. Returns the number of calls. */
static uint32_t expect_check(struct truth *truth, const struct store_range *range, uint32_t looks_max)
{
    static char names[PEERS_MAX + 1][16];
    struct store_checked_peer checked[PEERS_MAX + 1];
    uint32_t calls = 0;
    int more;
    for (uint32_t peer = 0; peer <= PEERS_MAX; peer++)
        checked[peer] = (struct store_checked_peer){name_of(peer, names[peer]), 0};
    struct store_peer_check check = {alice, range->after, range->before, checked, PEERS_MAX + 1, looks_max};
    do {
        uint64_t before = check.before;
        more = store_reader_check_peers(truth->fixture.reader, &check);
        cr_assert(more == 0 || (more == 1 && check.before < before));
        calls++;
    } while (more == 1);
    for (uint32_t peer = 0; peer <= PEERS_MAX; peer++)
        cr_assert_eq(has_entry(truth, peer, checked[peer].ts, range), checked[peer].ts > 0, "peer %u, found at %llu",
                     peer, (unsigned long long)checked[peer].ts);
    return calls;
}

static void expect_all_checks(struct truth *truth)
{
    static const uint32_t looks_max[] = {1, 60, 8192};
    for (uint32_t i = 0; i < 12; i++) {
        struct store_range range = {.before = i % 3 == 0 ? UINT64_MAX : draw(truth, truth->ts + 400),
                                    .after = i % 4 < 2 ? 0 : draw(truth, truth->ts)};
        if (range.after >= range.before)
            range.after = 0;
        expect_check(truth, &range, looks_max[i % 3]);
    }
}

static void expect_all(struct truth *truth, uint32_t peers)
{
    expect_all_checks(truth);
    expect_all_with(truth, peers);
    expect_all_peers(truth);
}

Test(store_peers, conversations_of_many_small_runs_before_and_after_merges)
{
    struct truth truth;
    truth_open(&truth);
    for (uint32_t i = 0; i < 7; i++) {
        add_run(&truth, 4 + 40 * i, 30);
        expect_all(&truth, 30);
    }
    add_again(&truth, 100, 60);
    expect_all(&truth, 30);
    merge_all(&truth);
    cr_assert_lt(run_count(&truth.fixture), 5);
    expect_all(&truth, 30);
    truth_close(&truth);
}

Test(store_peers, a_user_of_several_blocks_who_has_them_merged)
{
    struct truth truth;
    truth_open(&truth);
    for (uint32_t i = 0; i < 3; i++)
        add_run(&truth, PEER_BLOCK_ENTRIES / 2 + 100 * i, 200);
    expect_all(&truth, 200);
    add_run(&truth, PEER_BLOCK_ENTRIES + 7, 250);
    expect_all(&truth, 250);
    merge_all(&truth);
    expect_all(&truth, 250);
    truth_close(&truth);
}

Test(store_peers, a_walk_does_not_go_on_when_there_is_another_run_or_a_merge)
{
    struct truth truth;
    struct store_peers_query query = {0, UINT64_MAX, UINT64_MAX, 3};
    truth_open(&truth);
    for (uint32_t i = 0; i < 3; i++)
        add_run(&truth, 500, 40);
    cr_assert_gt(expect_walk(&truth, query), 2, "it goes on while the runs are the same");
    struct store_peers *before_run = peers_of(&truth, &query);
    store_peers_rest(before_run);
    add_run(&truth, 500, 40);
    cr_assert_eq(store_peers_resume(before_run, truth.ts, 3), 0);
    store_peers_close(&before_run);
    struct store_peers *before_merge = peers_of(&truth, &query);
    store_peers_rest(before_merge);
    cr_assert(store_merge_is_due(truth.fixture.store));
    merge_all(&truth);
    cr_assert_eq(store_peers_resume(before_merge, truth.ts, 3), 0);
    store_peers_close(&before_merge);
    truth_close(&truth);
}

/* A run of marks of conversations without an entry. */
static void write_other_marks(struct truth *truth, uint32_t first, uint32_t count)
{
    struct memtable *table = table_open(truth);
    for (uint32_t i = first; i < first + count; i++) {
        char name[16];
        struct span peer = {name, (size_t)snprintf(name, sizeof name, "p%ux", i)};
        cr_assert_eq(memtable_mark(table, alice, peer, (struct seen_marks){truth->ts, truth->ts}), 0);
    }
    write_table(truth, table);
}

Test(store_peers, a_walk_has_the_marks_of_many_conversations_without_entries_and_of_too_many)
{
    struct truth truth;
    struct store_peers_query query = {0, UINT64_MAX, UINT64_MAX, 3};
    truth_open(&truth);
    for (uint32_t i = 0; i < 3; i++)
        add_run(&truth, 500, 100);
    write_other_marks(&truth, 0, 3000);
    add_run(&truth, 500, 100);
    cr_assert_gt(expect_walk(&truth, query), 2, "marks of some pages of the file are read");
    write_other_marks(&truth, 3000, 9000);
    cr_assert_gt(expect_walk(&truth, query), 2, "marks of each page are read");
    merge_all(&truth);
    expect_walk(&truth, query);
    truth_close(&truth);
}

Test(store_peers, a_check_stops_at_the_first_entry_of_each_peer_and_reads_no_more_than_it_may)
{
    struct truth truth;
    char name[16];
    truth_open(&truth);
    for (uint32_t i = 0; i < 3; i++)
        add_run(&truth, 2000, 4);
    struct store_checked_peer checked[] = {{name_of(0, name), 0}, {alice, 0}};
    struct store_peer_check check = {alice, 0, UINT64_MAX, checked, 2, 8192};
    struct store_work before = store_reader_work(truth.fixture.reader);
    cr_assert_eq(store_reader_check_peers(truth.fixture.reader, &check), 0);
    struct store_work after = store_reader_work(truth.fixture.reader);
    cr_assert_eq(after.searches - before.searches, 2, "in the newest run alone");
    struct store_range whole = {.before = UINT64_MAX};
    before = after;
    expect_check(&truth, &whole, 8192);
    after = store_reader_work(truth.fixture.reader);
    cr_assert_leq(after.searches - before.searches, 3 * (PEERS_MAX + 1));
    cr_assert_eq(after.entries, 0, "all are indexed");
    truth_close(&truth);
}

Test(store_peers, a_check_of_entries_without_an_index_reads_them_in_calls)
{
    struct truth truth;
    truth_open(&truth);
    for (uint32_t i = 0; i < 3; i++)
        add_run(&truth, PEER_BLOCK_ENTRIES_MIN - 1, 40);
    add_again(&truth, 0, PEER_BLOCK_ENTRIES_MIN - 1); /* so the first run that is searched has old entries */
    struct store_range whole = {.before = UINT64_MAX};
    uint32_t calls = expect_check(&truth, &whole, 4 * 3);
    cr_assert_geq(calls, 5, "3 entries of each run in a call");
    cr_assert_leq(store_reader_work(truth.fixture.reader).entries, calls * 4 * 3);
    truth_close(&truth);
}

static struct seen_marks marks_of(struct truth *truth, const char *user, const char *peer)
{
    struct seen_marks marks;
    cr_assert_eq(store_reader_marks(truth->fixture.reader, span_of(user), span_of(peer), &marks), 0);
    return marks;
}

static void write_marks(struct truth *truth, uint64_t seen, uint64_t seen_by)
{
    struct memtable *table = table_open(truth);
    struct seen_marks marks = {seen, seen_by};
    cr_assert_eq(memtable_mark(table, alice, SPAN_LITERAL("bob"), marks), 0);
    cr_assert_eq(memtable_mark(table, SPAN_LITERAL("zoe"), SPAN_LITERAL("bob"), marks), 0);
    write_table(truth, table);
}

Test(store_peers, marks_of_runs_without_entries_only_rise_and_merges_keep_the_greatest)
{
    struct truth truth;
    truth_open(&truth);
    write_marks(&truth, 500, 10);
    write_marks(&truth, 300, 20);
    cr_assert(marks_of(&truth, "alice", "bob").seen == 500 && marks_of(&truth, "alice", "bob").seen_by == 20);
    write_marks(&truth, 400, 15);
    merge_all(&truth);
    cr_assert_eq(run_count(&truth.fixture), 1);
    cr_assert(marks_of(&truth, "alice", "bob").seen == 500 && marks_of(&truth, "alice", "bob").seen_by == 20);
    cr_assert_eq(marks_of(&truth, "alice", "bo").seen, 0);
    fixture_stop(&truth.fixture);
    fixture_start(&truth.fixture);
    cr_assert_eq(marks_of(&truth, "zoe", "bob").seen, 500, "they stand after a start");
    truth_close(&truth);
}

Test(store_peers, an_erasure_takes_the_marks_and_the_index_of_its_user_along)
{
    struct truth truth;
    struct store_error error;
    truth_open(&truth);
    for (uint32_t i = 0; i < 3; i++) {
        add_run(&truth, 100, 5);
        write_marks(&truth, truth.ts, truth.ts);
        merge_all(&truth);
    }
    cr_assert_eq(store_cut(truth.fixture.store, alice, truth.ts), 0);
    cr_assert_eq(store_compact(truth.fixture.store, &error), 0, "%s", error.text);
    cr_assert(marks_of(&truth, "alice", "bob").seen == 0 && marks_of(&truth, "alice", "bob").seen_by == 0);
    cr_assert_eq(marks_of(&truth, "zoe", "bob").seen, truth.ts, "another user keeps theirs");
    truth.count = 0;
    memset(truth.marks, 0, sizeof truth.marks);
    expect_all(&truth, 5);
    truth_close(&truth);
}

/* Makes the manifest say of the only run what one of an older version says: its users have too few entries to be
 * indexed. Returns its number. */
static uint64_t forget_index(struct truth *truth, uint64_t index_version)
{
    char path[128];
    struct manifest *manifest;
    struct manifest_state state;
    struct store_error error;
    snprintf(path, sizeof path, "%s/manifest.mdb", truth->fixture.dir);
    cr_assert_eq(manifest_open(&manifest, path, &state, &error), 0, "%s", error.text);
    cr_assert_eq(state.count, 1);
    uint64_t id = state.entries[0].id;
    cr_assert_eq(state.entries[0].index_version, index_version);
    state.entries[0].index_version = 0;
    cr_assert_eq(manifest_commit(manifest, &state.marks, &state.entries[0], &id, 1), 0);
    manifest_state_fini(&state);
    manifest_close(&manifest);
    return id;
}

Test(store_peers, a_run_of_an_older_version_is_read_and_rewritten_once_when_nothing_else_is_due)
{
    struct truth truth;
    struct store_error error;
    truth_open(&truth);
    add_run(&truth, PEER_BLOCK_ENTRIES_MIN - 1, 3);
    fixture_stop(&truth.fixture);
    uint64_t id = forget_index(&truth, PEER_INDEX_VERSION);
    fixture_start(&truth.fixture);
    expect_all(&truth, 3);
    cr_assert(store_merge_is_due(truth.fixture.store));
    cr_assert_eq(store_merge_run(truth.fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    cr_assert_not(store_merge_is_due(truth.fixture.store));
    expect_all(&truth, 3);
    fixture_stop(&truth.fixture);
    cr_assert_gt(forget_index(&truth, PEER_INDEX_VERSION), id);
    truth_close(&truth);
}
