#include "storage/offline/run_check.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "storage/memtable/memtable.h"
#include "storage/runs/peer_index.h"
#include "storage/runs/run_walk.h"

#define REPORTED_MAX 20u

/* Two cursors read the same file side by side: `index` the key index, the cursor of check_all all rows. Both are in
 * order of user and ts. */
struct pass {
    struct run *run;
    struct run_check *check;
    MDB_cursor *index;
    MDB_val index_key, index_value;
    bool index_is_over;
    uintptr_t rows_ahead, index_ahead; /* run_read_ahead */

    /* The index by peer that the entries so far ought to have. */
    struct peer_index *peers;
    bool is_giving;      /* its rows are next */
    const void *row_key; /* of the present row, in the map */
    uint32_t slot;       /* its number on its page */
    size_t indexed_user_bytes;
    char indexed_user[LIMIT_USER_BYTES];

    struct run_entry seen;
    uint32_t crc;
    uint32_t reported;
    uint8_t last_key[ROW_KEY_PEERS_BYTES_MAX];
    size_t last_key_bytes;
    struct span filtered_user; /* the last user that was looked up in the filter */
    char user[LIMIT_USER_BYTES];
};

static struct span span_of_val(MDB_val value)
{
    return (struct span){value.mv_data, value.mv_size};
}

#define REPORT(pass, ...)                                                                                              \
    do {                                                                                                               \
        if ((pass)->reported++ < REPORTED_MAX)                                                                         \
            problems_add((pass)->check->problems, __VA_ARGS__);                                                        \
    } while (0)

static void check_order(struct pass *pass, struct span key)
{
    struct span last = {(const char *)pass->last_key, pass->last_key_bytes};
    if (pass->last_key_bytes > 0 && span_compare(last, key) >= 0)
        REPORT(pass, "%s: its keys are not in order at row %" PRIu64, pass->check->path, pass->seen.entries);
    pass->last_key_bytes = key.bytes < sizeof pass->last_key ? key.bytes : sizeof pass->last_key;
    memcpy(pass->last_key, key.data, pass->last_key_bytes);
}

static void check_user(struct pass *pass, struct span user, uint64_t ts)
{
    const struct run_check *check = pass->check;
    if (span_equal(user, pass->filtered_user))
        return;
    ASSERT(user.bytes <= sizeof pass->user);
    memcpy(pass->user, user.data, user.bytes);
    pass->filtered_user = (struct span){pass->user, user.bytes};
    if (!filter_may_contain(&pass->run->filter, filter_hash(user)))
        REPORT(pass, "%s: its filter does not have %.*s, who has a row at ts %" PRIu64, check->path, (int)user.bytes,
               user.data, ts);
    if (datadir_shard_of(check->datadir, user) != check->shard)
        REPORT(pass, "%s: %.*s does not belong to shard %u", check->path, (int)user.bytes, user.data, check->shard);
}

/* Moves to the next row of the key index, if there is one. */
static void index_step(struct pass *pass, MDB_cursor_op op)
{
    int result = mdb_cursor_get(pass->index, &pass->index_key, &pass->index_value, op);
    pass->index_is_over = result != 0 || pass->index_key.mv_size == 0
                          || *(const uint8_t *)pass->index_key.mv_data != ROW_KEY_INDEX_PREFIX;
    pass->check->keyed_r += !pass->index_is_over;
    if (!pass->index_is_over)
        run_read_ahead(&pass->index_ahead, pass->index_key.mv_data);
}

/* Moves to the row `wanted` of the key index, and reports the rows below it, which have no timeline row. True: it
 * exists. */
static bool index_catch_up(struct pass *pass, struct span wanted)
{
    while (!pass->index_is_over) {
        int order = span_compare(span_of_val(pass->index_key), wanted);
        if (order >= 0)
            return order == 0;
        REPORT(pass, "%s: its key index has a row without a keyed send", pass->check->path);
        index_step(pass, MDB_NEXT);
    }
    return false;
}

static void check_index(struct pass *pass, struct span user, const struct message *message)
{
    uint8_t key[ROW_KEY_BYTES_MAX];
    if (message->key.bytes == 0)
        return;
    uint32_t bytes = row_key_index(user, message->ts, key);
    uint64_t hash = memtable_key_hash(datadir_key_seed(pass->check->datadir), message->key);
    if (!index_catch_up(pass, (struct span){(const char *)key, bytes})) {
        REPORT(pass, "%s: the keyed send of %.*s at %" PRIu64 " is not in its key index", pass->check->path,
               (int)user.bytes, user.data, message->ts);
        return;
    }
    if (pass->index_value.mv_size != 8 || bytes_load_le64(pass->index_value.mv_data) != hash)
        REPORT(pass, "%s: the key of %.*s at %" PRIu64 " is not the one of its key index", pass->check->path,
               (int)user.bytes, user.data, message->ts);
    index_step(pass, MDB_NEXT);
}

/* -- the index by peer -- */

static void peers_end(struct pass *pass, bool is_end)
{
    struct span user = {pass->indexed_user, pass->indexed_user_bytes};
    ASSERT(!pass->is_giving);
    pass->is_giving = peer_index_begin_rows(pass->peers, user, is_end) == 0;
    if (!pass->is_giving)
        REPORT(pass, "%s: no memory to check its index by peer", pass->check->path);
}

/* No row of the index may be left when another row comes. */
static void peers_finish(struct pass *pass)
{
    struct span key, value;
    if (pass->is_giving && peer_index_next(pass->peers, &key, &value)) {
        REPORT(pass, "%s: its index by peer lacks entries of %.*s", pass->check->path, (int)pass->indexed_user_bytes,
               pass->indexed_user);
        while (peer_index_next(pass->peers, &key, &value))
            continue;
    }
    pass->is_giving = false;
}

static void check_peers_end(struct pass *pass)
{
    peers_finish(pass);
    if (pass->run->entry.index_version > 0 && pass->indexed_user_bytes > 0)
        peers_end(pass, true);
    peers_finish(pass);
    pass->indexed_user_bytes = 0;
}

static void check_peers_row(struct pass *pass, struct span key, struct span value)
{
    struct span wanted_key, wanted_value;
    if (!pass->is_giving && pass->run->entry.index_version > 0 && pass->indexed_user_bytes > 0)
        peers_end(pass, true);
    if (!pass->is_giving || !peer_index_next(pass->peers, &wanted_key, &wanted_value)) {
        pass->is_giving = false;
        REPORT(pass, "%s: its index by peer has a row without entries", pass->check->path);
    } else if (!span_equal(key, wanted_key) || !span_equal(value, wanted_value)) {
        REPORT(pass, "%s: its index by peer does not have the entries of %.*s", pass->check->path,
               (int)pass->indexed_user_bytes, pass->indexed_user);
    }
}

static void check_peers_entry(struct pass *pass, const struct row_key_fields *row, struct span value)
{
    enum role role;
    struct span other;
    if (pass->run->entry.index_version == 0)
        return;
    if (!span_equal(row->user, (struct span){pass->indexed_user, pass->indexed_user_bytes}))
        check_peers_end(pass);
    peers_finish(pass);
    ASSERT(row->user.bytes <= sizeof pass->indexed_user);
    memcpy(pass->indexed_user, row->user.data, row->user.bytes);
    pass->indexed_user_bytes = row->user.bytes;
    if (row_decode_peer(value, &role, &other) != 0)
        return;
    if (peer_index_add(pass->peers, row->ts, role == ROLE_SELF ? row->user : other, role == ROLE_RECEIVED,
                       run_place_of(pass->row_key, pass->slot))
        != 0)
        REPORT(pass, "%s: no memory to check its index by peer", pass->check->path);
    if (peer_index_is_full(pass->peers))
        peers_end(pass, false);
}

/* -- all rows -- */

static void check_marks(struct pass *pass, const struct row_key_fields *row, struct span value)
{
    struct seen_marks marks;
    check_peers_end(pass);
    pass->seen.marks++;
    if (row_decode_marks(value, &marks) != 0) {
        REPORT(pass, "%s: row %" PRIu64 " cannot be read", pass->check->path, pass->seen.entries);
        return;
    }
    uint64_t ts = marks.seen > marks.seen_by ? marks.seen : marks.seen_by;
    pass->seen.marks_ts_max = ts > pass->seen.marks_ts_max ? ts : pass->seen.marks_ts_max;
    check_user(pass, row->user, ts);
}

static void check_entry_row(struct pass *pass, const struct row_key_fields *row, struct span value)
{
    struct message message;
    uint64_t ts = row->ts;
    check_peers_entry(pass, row, value);
    if (row_decode(row->user, ts, value, &message) != 0 || ts == 0 || ts > LIMIT_TS_MAX) {
        REPORT(pass, "%s: row %" PRIu64 " cannot be read", pass->check->path, pass->seen.entries);
        return;
    }
    if (pass->seen.rows++ == 0)
        pass->seen.ts_min = ts;
    pass->seen.ts_min = ts < pass->seen.ts_min ? ts : pass->seen.ts_min;
    pass->seen.ts_max = ts > pass->seen.ts_max ? ts : pass->seen.ts_max;
    check_user(pass, row->user, ts);
    check_index(pass, row->user, &message);
}

static void check_row(struct pass *pass, struct span key, struct span value)
{
    struct row_key_fields row;
    if (row_key_parse(key, &row) != 0) {
        REPORT(pass, "%s: row %" PRIu64 " cannot be read", pass->check->path, pass->seen.entries);
        return;
    }
    switch (row.kind) {
    case ROW_KEYED: return;
    case ROW_PEERS: check_peers_row(pass, key, value); return;
    case ROW_MARKS: check_marks(pass, &row, value); return;
    case ROW_ENTRY: check_entry_row(pass, &row, value); return;
    }
}

static void check_crc(struct pass *pass, MDB_cursor *cursor)
{
    MDB_val key = {sizeof RUN_CRC_KEY - 1, (void *)RUN_CRC_KEY}, value;
    if (mdb_cursor_get(cursor, &key, &value, MDB_SET) != 0 || value.mv_size != 4)
        REPORT(pass, "%s: it has no checksum", pass->check->path);
    else if (bytes_load_le32(value.mv_data) != pass->crc)
        REPORT(pass, "%s: its rows do not have the checksum that they were written with: " RUN_ADVICE,
               pass->check->path);
}

static void check_entry(struct pass *pass)
{
    const struct run_entry *named = &pass->run->entry, *seen = &pass->seen;
    if (seen->rows != named->rows || seen->ts_min != named->ts_min || seen->ts_max != named->ts_max)
        REPORT(pass,
               "%s: it has %" PRIu64 " rows from ts %" PRIu64 " to %" PRIu64 ", the manifest says %" PRIu64
               " from %" PRIu64 " to %" PRIu64,
               pass->check->path, seen->rows, seen->ts_min, seen->ts_max, named->rows, named->ts_min, named->ts_max);
}

static void check_marks_count(struct pass *pass)
{
    const struct run_entry *named = &pass->run->entry, *seen = &pass->seen;
    if (seen->marks != named->marks || seen->marks_ts_max != named->marks_ts_max)
        REPORT(pass, "%s: it has marks of %" PRIu64 " conversations, the manifest says %" PRIu64, pass->check->path,
               seen->marks, named->marks);
}

static void check_all(struct pass *pass, MDB_cursor *cursor)
{
    MDB_val key, value;
    index_step(pass, MDB_FIRST);
    int result = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; result == 0; result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        run_read_ahead(&pass->rows_ahead, key.mv_data);
        pass->slot = pass->row_key != NULL && run_place_is_same_page(pass->row_key, key.mv_data) ? pass->slot + 1 : 0;
        pass->row_key = key.mv_data;
        check_order(pass, span_of_val(key));
        pass->seen.entries++;
        if (key.mv_size > 0 && *(const uint8_t *)key.mv_data == RUN_FILTER_PREFIX)
            continue;
        pass->crc = run_crc(pass->crc, span_of_val(key), span_of_val(value));
        check_row(pass, span_of_val(key), span_of_val(value));
    }
    if (result != MDB_NOTFOUND)
        REPORT(pass, "%s: it cannot be read: %s: " RUN_ADVICE, pass->check->path, mdb_strerror(result));
    if (!pass->index_is_over)
        REPORT(pass, "%s: its key index has a row without a keyed send", pass->check->path);
    check_peers_end(pass);
    check_crc(pass, cursor);
    check_entry(pass);
    check_marks_count(pass);
}

static int check_cursors(struct pass *pass, MDB_txn *txn)
{
    MDB_cursor *cursor;
    int result = mdb_cursor_open(txn, pass->run->dbi, &cursor);
    if (result != 0)
        return result;
    result = mdb_cursor_open(txn, pass->run->dbi, &pass->index);
    if (result == 0) {
        check_all(pass, cursor);
        mdb_cursor_close(pass->index);
    }
    mdb_cursor_close(cursor);
    return result;
}

void run_check(struct run *run, struct run_check *check)
{
    ASSERT(check->shard < datadir_shards(check->datadir));
    struct pass pass = {.run = run, .check = check};
    MDB_txn *txn;
    uint64_t version = run->entry.index_version;
    if (peer_index_open(&pass.peers, version > 0 ? version : PEER_INDEX_VERSION) != 0) {
        problems_add(check->problems, "%s: no memory to check it", check->path);
        return;
    }
    int result = mdb_txn_begin(run->env, NULL, MDB_RDONLY, &txn);
    if (result == 0) {
        result = check_cursors(&pass, txn);
        mdb_txn_abort(txn);
    }
    if (result != 0)
        problems_add(check->problems, "%s: it cannot be read: %s", check->path, mdb_strerror(result));
    peer_index_close(&pass.peers);
}
