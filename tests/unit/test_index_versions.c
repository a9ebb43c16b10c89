/* peer_index.h: a run whose index by peer is of version 1, without places, gives the same pages. */
#include <lmdb.h>

#include "storage/runs/manifest.h"
#include "storage/runs/peer_index.h"
#include "storage/runs/run.h"
#include "storage/runs/run_pages.h"
#include "store_fixture.h"

#define MESSAGES 900u
#define PEERS 7u

static const struct span alice = {"alice", 5};

static void add_run(struct fixture *fixture)
{
    struct store_error error;
    struct rows *rows = rows_open();
    for (uint32_t i = 0; i < MESSAGES; i++) {
        rows_add(rows, "alice", 1000 + 7 * (uint64_t)i, 0);
        snprintf(rows->rows[i].to, sizeof rows->rows[i].to, "p%u", i * i % PEERS);
    }
    struct store_position applied = {++fixture->generation, 4096};
    cr_assert_eq(store_add_run(fixture->store, &rows->source, applied, 9000, &error), 0, "%s", error.text);
    run_source_close(&(struct run_source *){&rows->source});
}

/* What the new file is made of. */
struct copy {
    struct run_pages *pages;
    struct peer_index *index;
    uint64_t entries;
    uint32_t crc;
};

static void copy_row(struct copy *copy, struct span key, struct span value)
{
    copy->entries++;
    cr_assert_eq(run_pages_put(copy->pages, key, value), 0);
    if (key.data[0] != (char)RUN_FILTER_PREFIX)
        copy->crc = run_crc(copy->crc, key, value);
}

static void copy_index(struct copy *copy)
{
    struct span key, value;
    cr_assert_eq(peer_index_begin_rows(copy->index, alice, true), 0);
    while (peer_index_next(copy->index, &key, &value))
        copy_row(copy, key, value);
}

static void copy_rows(struct copy *copy, MDB_cursor *cursor)
{
    MDB_val key, value;
    bool has_index = false;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        struct span row_key = {key.mv_data, key.mv_size}, row_value = {value.mv_data, value.mv_size};
        struct row_key_fields row;
        enum role role;
        struct span other;
        bool is_row = row_key_parse(row_key, &row) == 0;
        if (!is_row && !has_index)
            copy_index(copy);
        has_index |= !is_row;
        if (span_equal(row_key, SPAN_LITERAL(RUN_CRC_KEY))) {
            uint8_t crc[4];
            bytes_store_le32(crc, copy->crc);
            copy_row(copy, row_key, (struct span){(const char *)crc, sizeof crc});
        } else if (!is_row || row.kind == ROW_ENTRY) {
            copy_row(copy, row_key, row_value);
        }
        if (is_row && row.kind == ROW_ENTRY) {
            cr_assert_eq(row_decode_peer(row_value, &role, &other), 0);
            cr_assert_eq(peer_index_add(copy->index, row.ts, other, role == ROLE_RECEIVED, 0), 0);
        }
    }
}

/* Writes the run anew, with the index of a version 1. */
static void rewrite(const char *dir, struct run_entry *entry)
{
    char path[RUN_PATH_BYTES], new_path[RUN_PATH_BYTES + 4];
    struct run *run;
    struct store_error error;
    struct copy copy = {.crc = 0};
    MDB_cursor *cursor;
    run_path(path, dir, entry->id);
    snprintf(new_path, sizeof new_path, "%s.new", path);
    cr_assert_eq(run_open(&run, dir, entry, &error), 0, "%s", error.text);
    cr_assert_eq(run_slot_cursor(run, 0, &cursor), 0);
    cr_assert_eq(run_pages_open(&copy.pages, new_path, false), 0);
    cr_assert_eq(peer_index_open(&copy.index, 1), 0);
    copy_rows(&copy, cursor);
    cr_assert_eq(run_pages_finish(copy.pages, &entry->file_bytes), 0);
    run_pages_close(&copy.pages);
    peer_index_close(&copy.index);
    run_close(&run);
    cr_assert_eq(rename(new_path, path), 0);
    entry->entries = copy.entries;
    entry->index_version = 1;
}

static void make_old(const struct fixture *fixture)
{
    char path[128];
    struct manifest *manifest;
    struct manifest_state state;
    struct store_error error;
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture->dir);
    cr_assert_eq(manifest_open(&manifest, path, &state, &error), 0, "%s", error.text);
    cr_assert_eq(state.count, 1);
    cr_assert_eq(state.entries[0].index_version, PEER_INDEX_VERSION);
    uint64_t id = state.entries[0].id, bytes = state.entries[0].file_bytes;
    rewrite(fixture->dir, &state.entries[0]);
    cr_assert_leq(state.entries[0].file_bytes, bytes);
    cr_assert_eq(manifest_commit(manifest, &state.marks, &state.entries[0], &id, 1), 0);
    manifest_state_fini(&state);
    manifest_close(&manifest);
}

/* The filter of a block has the peers from whom something was received, and hardly another. */
Test(index_versions, a_block_with_many_peers_has_a_filter_of_those_who_sent)
{
    struct peer_index *index;
    struct span key, value;
    struct row_key_fields row;
    struct peer_row head;
    struct peer_block block;
    char name[16];
    uint32_t filters = 0, wrong = 0;
    cr_assert_eq(peer_index_open(&index, PEER_INDEX_VERSION), 0);
    for (uint32_t i = 0; i < 400; i++) {
        struct span peer = {name, (size_t)snprintf(name, sizeof name, "p%u", i / 2)};
        cr_assert_eq(peer_index_add(index, 10 + i, peer, i / 2 % 4 == 0 && i % 2 == 0, 600 + i), 0);
    }
    cr_assert_eq(peer_index_begin_rows(index, alice, true), 0);
    while (peer_index_next(index, &key, &value)) {
        cr_assert_eq(row_key_parse(key, &row), 0);
        if (!row.is_filter)
            continue;
        filters++;
        cr_assert_eq(peer_row_open(&head, PEER_INDEX_VERSION, value, row.ts, &block), 0);
        cr_assert(block.oldest == 10 && block.last == 409);
        struct filter filter = {(uint8_t *)(uintptr_t)head.rest.data, head.rest.bytes / FILTER_BLOCK_BYTES};
        for (uint32_t i = 0; i < 200; i++) {
            struct span peer = {name, (size_t)snprintf(name, sizeof name, "p%u", i)};
            bool may = filter_may_contain(&filter, filter_hash(peer));
            cr_assert(i % 4 != 0 || may, "who has sent is in the filter");
            wrong += i % 4 != 0 && may;
        }
    }
    cr_assert_eq(filters, 1);
    cr_assert_lt(wrong, 15);
    peer_index_close(&index);
}

static void expect_with(struct fixture *fixture, uint32_t peer)
{
    char name[16];
    struct store_with with = {{name, (size_t)snprintf(name, sizeof name, "p%u", peer)}, false};
    struct store_range range = {.before = UINT64_MAX, .rows_max = MESSAGES, .bytes_max = 1 << 20, .oldest_first = true};
    uint64_t bound;
    bool more;
    uint32_t at = 0;
    cr_assert_eq(store_reader_with(fixture->reader, alice, &with, &range, fixture->page, &bound, &more), 0);
    cr_assert_not(more);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        if (i * i % PEERS != peer)
            continue;
        cr_assert_lt(at, store_page_count(fixture->page));
        struct message message = store_page_message(fixture->page, at++);
        cr_assert_eq(message.ts, 1000 + 7 * (uint64_t)i);
        cr_assert(span_equal(message.to, with.peer));
    }
    cr_assert_eq(at, store_page_count(fixture->page));
}

static void expect_peers(struct fixture *fixture)
{
    struct store_peers *peers;
    struct store_peer peer;
    struct store_peers_query query = {.bound = UINT64_MAX, .before = UINT64_MAX, .limit = 50};
    cr_assert_eq(store_peers_open(&peers, fixture->store, alice, &query), 0);
    cr_assert_eq(store_peers_step(peers, fixture->reader), 0);
    cr_assert_eq(store_peers_count(peers), 4, "the squares modulo 7");
    for (uint32_t i = 0; i < 4; i++) {
        store_peers_get(peers, i, &peer);
        cr_assert_eq(peer.last->ts, peer.newest);
        cr_assert(span_equal(peer.last->to, peer.name));
    }
    store_peers_close(&peers);
}

static void expect_all(struct fixture *fixture)
{
    for (uint32_t peer = 0; peer < PEERS; peer++)
        expect_with(fixture, peer);
    expect_peers(fixture);
}

Test(index_versions, a_run_of_version_1_gives_the_same_pages_and_a_merge_makes_it_new)
{
    struct store_error error;
    struct fixture fixture = fixture_open();
    add_run(&fixture);
    expect_all(&fixture);
    fixture_stop(&fixture);
    make_old(&fixture);
    fixture_start(&fixture);
    expect_all(&fixture);
    cr_assert_not(store_merge_is_due(fixture.store), "nothing is rewritten only for that");
    cr_assert_eq(store_compact(fixture.store, &error), 0, "%s", error.text);
    expect_all(&fixture);
    fixture_close(&fixture);
}
