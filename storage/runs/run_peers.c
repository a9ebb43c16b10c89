#include "storage/runs/run_peers.h"

#include <errno.h>

#include "base/assert.h"
#include "storage/runs/manifest.h"
#include "storage/runs/run_pages.h"

#define LINE_BYTES 64u
/* Of the key of a first row: what follows the user's name. */
#define ROW_KEY_PEERS_FIRST_BYTES 10u /* 0x00, a ts, 0x01 */

static struct span span_of_val(MDB_val value)
{
    return (struct span){value.mv_data, value.mv_size};
}

static MDB_val val_of(const uint8_t *key, uint32_t bytes)
{
    return (MDB_val){bytes, (void *)(uintptr_t)key};
}

/* Whether the row is of the user's timeline or its index: 1 or 0. */
static int check_row(const struct run_peers *peers, struct span key, struct row_key_fields *row_r)
{
    if (row_key_parse(key, row_r) != 0) /* the filter, too */
        return 0;
    bool is_timeline = row_r->kind == ROW_ENTRY || row_r->kind == ROW_PEERS;
    return is_timeline && span_equal(row_r->user, peers->user) ? 1 : 0;
}

/* The row at `op`, if it is of the user's timeline or its index: 1; 0: another row, or none; or -errno. */
static int take_row(const struct run_peers *peers, MDB_cursor_op op, MDB_val key, struct row_key_fields *row_r,
                    struct span *value_r)
{
    MDB_val value;
    int result = mdb_cursor_get(peers->cursor, &key, &value, op);
    if (result != 0)
        return result == MDB_NOTFOUND ? 0 : manifest_errno(result);
    *value_r = span_of_val(value);
    return check_row(peers, span_of_val(key), row_r);
}

/* The row before `key`. As take_row. */
static int take_before(const struct run_peers *peers, MDB_val key, struct row_key_fields *row_r, struct span *value_r)
{
    MDB_val found = key, value;
    int result = mdb_cursor_get(peers->cursor, &found, &value, MDB_SET_RANGE);
    if (result != 0 && result != MDB_NOTFOUND)
        return manifest_errno(result);
    return take_row(peers, result == 0 ? MDB_PREV : MDB_LAST, (MDB_val){0, NULL}, row_r, value_r);
}

/* The row at a place. 1; or 0: not of the user, or none. */
static int take_place(const struct run_peers *peers, uint64_t place, struct row_key_fields *row_r, struct span *value_r)
{
    struct span key;
    return run_place_row(&peers->run->map, place, &key, value_r) ? check_row(peers, key, row_r) : 0;
}

/* -- what is known of the user -- */

/* The place of the row, whose key begins with the user's name. */
static uint64_t place_of_row(const struct run_peers *peers, const struct row_key_fields *row)
{
    return run_place_find(&peers->run->map, row->user.data);
}

static void keep_hint(const struct run_peers *peers)
{
    if (peers->hints != NULL && peers->hint.last > 0)
        run_hints_put(peers->hints, &peers->hint);
}

/* Searches the user's last row, which is before their marks, and finds the first of these. As take_row. */
static int search_last(struct run_peers *peers, struct row_key_fields *row_r, struct span *value_r)
{
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
    struct span prefix = {(const char *)key, row_key_marks(peers->user, (struct span){"", 0}, key)};
    MDB_val found = val_of(key, (uint32_t)prefix.bytes), value;
    int result = mdb_cursor_get(peers->cursor, &found, &value, MDB_SET_RANGE);
    if (result != 0 && result != MDB_NOTFOUND)
        return manifest_errno(result);
    bool has_marks = result == 0 && found.mv_size > prefix.bytes && memcmp(found.mv_data, key, prefix.bytes) == 0;
    peers->hint.marks = has_marks ? run_place_find(&peers->run->map, found.mv_data) : RUN_HINT_NONE;
    int more = take_row(peers, result == 0 ? MDB_PREV : MDB_LAST, (MDB_val){0, NULL}, row_r, value_r);
    if (more == 1) {
        peers->hint.last = place_of_row(peers, row_r);
        keep_hint(peers);
    }
    return more;
}

/* The row before the directory, which is the user's last one: at the cursor, or at hint.last. */
static int take_before_directory(const struct run_peers *peers, bool is_at_cursor, struct row_key_fields *row_r,
                                 struct span *value_r)
{
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
    if (is_at_cursor)
        return take_row(peers, MDB_PREV, (MDB_val){0, NULL}, row_r, value_r);
    if (peers->hint.last % RUN_PLACE_SLOTS > 0)
        return take_place(peers, peers->hint.last - 1, row_r, value_r);
    uint32_t bytes = row_key_peers(peers->user, PEER_DIRECTORY_TS, (struct span){"", 0}, 0, key);
    return take_before(peers, val_of(key, bytes), row_r, value_r);
}

static int take_directory(struct run_peers *peers, struct span value, bool is_at_cursor)
{
    struct row_key_fields row;
    if (value.bytes == 0 || value.bytes % PEER_DIRECTORY_BLOCK_BYTES != 0)
        return -EBADMSG;
    peers->directory = value;
    peers->block_count = (uint32_t)(value.bytes / PEER_DIRECTORY_BLOCK_BYTES);
    int more = take_before_directory(peers, is_at_cursor, &row, &value);
    peers->newest = row.ts;
    peers->has_filter = more == 1 && row.is_filter;
    peers->filter = value;
    return more == 0 ? -EBADMSG : more;
}

int run_peers_open(struct run_peers *peers, const struct run *run, MDB_cursor *cursor, struct span user,
                   uint64_t user_hash, struct run_hints *hints)
{
    struct row_key_fields row;
    struct peer_row pieces;
    struct span value;
    struct run_hint *hint = &peers->hint;
    *peers = (struct run_peers){.run = run, .cursor = cursor, .user = user, .hints = hints};
    bool is_known = hints != NULL && run_hints_get(hints, run->entry.id, user_hash, hint)
                    && take_place(peers, hint->last, &row, &value) == 1;
    if (!is_known) {
        *hint = (struct run_hint){.run_id = run->entry.id, .user_hash = user_hash};
        int more = search_last(peers, &row, &value);
        if (more <= 0)
            return more;
    }
    peers->newest = row.ts;
    if (row.kind == ROW_ENTRY)
        return 1;
    if (row.ts == PEER_DIRECTORY_TS)
        return take_directory(peers, value, !is_known);
    peers->block_count = 1;
    peers->has_filter = row.is_filter;
    peers->filter = value;
    int status = peer_row_open(&pieces, run->entry.index_version, value, row.ts, &peers->one);
    return status == 0 ? 1 : status;
}

struct peer_block run_peers_block(const struct run_peers *peers, uint32_t at)
{
    ASSERT(at < peers->block_count);
    return peers->directory.bytes == 0 ? peers->one : peer_directory_block(peers->directory, at);
}

uint64_t run_peers_last(const struct run_peers *peers)
{
    return peers->block_count == 0 ? 0 : run_peers_block(peers, peers->block_count - 1).last;
}

uint32_t run_peers_begun(const struct run_peers *peers, uint64_t ts)
{
    uint32_t low = 0, high = peers->block_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run_peers_block(peers, middle).oldest < ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t run_peers_ended(const struct run_peers *peers, uint64_t ts)
{
    uint32_t low = 0, high = peers->block_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run_peers_block(peers, middle).last <= ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int check_block_row(const struct row_key_fields *row, struct peer_block block)
{
    return row->kind == ROW_PEERS && row->ts == block.last ? 0 : -EBADMSG;
}

/* The place of the first row of the one block. 0: not known. */
static uint64_t find_first(struct run_peers *peers, struct peer_block block)
{
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
    struct row_key_fields row;
    struct span value;
    if (peers->directory.bytes > 0 || peers->hint.last == 0 || peers->hint.first > 0)
        return peers->hint.first;
    uint32_t bytes = row_key_peers(peers->user, block.last, (struct span){"", 0}, 0, key);
    if (take_row(peers, MDB_SET_KEY, val_of(key, bytes), &row, &value) == 1) { /* the key of the map, not this one */
        peers->hint.first = place_of_row(peers, &row);
        keep_hint(peers);
    }
    return peers->hint.first;
}

/* The last row of the block whose key is below `key`, or the first row, whose key has no peer: by places, in a block of
 * a few pages. 1; 0: it has to be searched. */
static int take_below(struct run_peers *peers, struct peer_block block, struct span key, struct row_key_fields *row_r,
                      struct span *value_r)
{
    uint64_t first = find_first(peers, block);
    bool is_first = key.bytes == peers->user.bytes + ROW_KEY_PEERS_FIRST_BYTES;
    peers->row_at = first == 0 || is_first ? first : run_place_below(&peers->run->map, first, peers->hint.last, key);
    if (peers->row_at > 0 && take_place(peers, peers->row_at, row_r, value_r) != 1)
        peers->row_at = 0;
    return peers->row_at > 0;
}

/* Its pieces are read one after the other, and each says where the next one is. */
static void prefetch_row(struct span value)
{
    for (size_t at = 0; at < value.bytes && at < PEER_ROW_BYTES_MAX; at += LINE_BYTES)
        __builtin_prefetch(value.data + at);
}

/* The last row of the block whose key is not above (peer, ts). */
int run_peers_seek_row(struct run_peers *peers, struct peer_block block, struct span peer, uint64_t ts,
                       struct peer_row *row_r)
{
    uint8_t bytes[ROW_KEY_PEERS_BYTES_MAX];
    struct row_key_fields row;
    struct span value;
    struct peer_block found;
    /* Nothing lies between (peer, ts) and the key of the ts after it. */
    uint32_t key_bytes = row_key_peers(peers->user, block.last, peer, peer.bytes == 0 ? 0 : ts + 1, bytes);
    struct span key = {(const char *)bytes, key_bytes};
    int more = take_below(peers, block, key, &row, &value);
    if (more == 0)
        more = peer.bytes == 0 ? take_row(peers, MDB_SET, val_of(bytes, key_bytes), &row, &value)
                               : take_before(peers, val_of(bytes, key_bytes), &row, &value);
    if (more < 0)
        return more;
    if (more == 0 || check_block_row(&row, block) != 0)
        return -EBADMSG;
    prefetch_row(value);
    return peer_row_open(row_r, peers->run->entry.index_version, value, block.last, &found);
}

int run_peers_seek(struct run_peers *peers, struct peer_block block, struct span peer, struct peer_row *row_r)
{
    return run_peers_seek_row(peers, block, peer, 0, row_r);
}

/* The row behind the one at row_at, or behind that of the cursor. As take_row. */
static int take_next(struct run_peers *peers, struct row_key_fields *row_r, struct span *value_r)
{
    struct span key;
    if (peers->row_at == 0)
        return take_row(peers, MDB_NEXT, (MDB_val){0, NULL}, row_r, value_r);
    if (peers->row_at == peers->hint.last)
        return 0;
    uint64_t next = run_place_next(&peers->run->map, peers->row_at);
    if (next > 0 && take_place(peers, next, row_r, value_r) == 1) {
        peers->row_at = next;
        return 1;
    }
    if (!run_place_row(&peers->run->map, peers->row_at, &key, value_r))
        return -EBADMSG;
    peers->row_at = 0;
    int more = take_row(peers, MDB_SET, (MDB_val){key.bytes, (void *)(uintptr_t)key.data}, row_r, value_r);
    return more == 1 ? take_row(peers, MDB_NEXT, (MDB_val){0, NULL}, row_r, value_r) : more;
}

int run_peers_step(struct run_peers *peers, struct peer_block block, struct peer_row *row_r, struct span *peer_r,
                   uint64_t *ts_r)
{
    struct row_key_fields row;
    struct span value;
    struct peer_block found;
    int more = take_next(peers, &row, &value);
    if (more <= 0 || check_block_row(&row, block) != 0 || row.is_filter)
        return more < 0 ? more : 0;
    *peer_r = row.peer;
    *ts_r = row.peer_ts;
    int status = peer_row_open(row_r, peers->run->entry.index_version, value, block.last, &found);
    return status == 0 ? 1 : status;
}

int run_peers_filter(const struct run_peers *peers, struct peer_block block, struct filter *filter_r)
{
    uint8_t bytes[ROW_KEY_PEERS_BYTES_MAX];
    struct peer_row row;
    struct peer_block found;
    struct span value = peers->filter;
    if (!peers->has_filter || block.last != run_peers_last(peers)) {
        MDB_val key = val_of(bytes, row_key_peers_filter(peers->user, block.last, bytes)), at;
        int result = peers->block_count == 1 ? MDB_NOTFOUND : mdb_cursor_get(peers->cursor, &key, &at, MDB_SET);
        if (result != 0)
            return result == MDB_NOTFOUND ? 0 : manifest_errno(result);
        value = span_of_val(at);
    }
    int status = peer_row_open(&row, peers->run->entry.index_version, value, block.last, &found);
    if (status != 0 || row.rest.bytes % FILTER_BLOCK_BYTES != 0)
        return -EBADMSG;
    *filter_r = (struct filter){(uint8_t *)(uintptr_t)row.rest.data, row.rest.bytes / FILTER_BLOCK_BYTES};
    return 1;
}

/* The oldest ts of a piece, or -EBADMSG as a ts of 0. */
static uint64_t piece_oldest(const struct peer_piece *piece)
{
    struct peer_entry entries[PEER_PIECE_ENTRIES];
    int count = peer_piece_read(piece, entries);
    return count <= 0 ? 0 : entries[count - 1].ts;
}

/* The last piece of the peer in the row that has an entry below `at`. */
static int find_below(struct peer_row *row, struct span peer, uint64_t at, struct peer_piece *piece_r)
{
    struct peer_piece piece;
    int more, found = 0;
    while ((more = peer_row_next(row, &piece)) == 1) {
        if (!span_equal(piece.peer, peer)) {
            if (found == 1)
                break;
            continue;
        }
        if (peer_piece_newest(&piece) >= at && piece_oldest(&piece) >= at)
            break;
        *piece_r = piece;
        found = 1;
    }
    return more < 0 ? more : found;
}

/* The first piece of the peer in the row that has an entry above `at`. */
static int find_above(struct peer_row *row, struct span peer, uint64_t at, struct peer_piece *piece_r)
{
    int more;
    while ((more = peer_row_next(row, piece_r)) == 1) {
        if (!span_equal(piece_r->peer, peer))
            continue;
        uint64_t newest = peer_piece_newest(piece_r);
        if (newest == 0)
            return -EBADMSG;
        if (newest > at)
            return 1;
    }
    return more;
}

int run_peers_find(struct run_peers *peers, struct peer_block block, struct span peer, uint64_t at, bool oldest_first,
                   struct peer_piece *piece_r)
{
    struct peer_row row;
    struct span first;
    uint64_t first_ts;
    int status = run_peers_seek_row(peers, block, peer, oldest_first ? at : at - 1, &row);
    if (status != 0)
        return status;
    if (!oldest_first)
        return find_below(&row, peer, at, piece_r);
    int more = find_above(&row, peer, at, piece_r);
    if (more != 0)
        return more;
    more = run_peers_step(peers, block, &row, &first, &first_ts);
    return more == 1 && span_equal(first, peer) ? find_above(&row, peer, at, piece_r) : more < 0 ? more : 0;
}

int run_peers_entry(const struct run_peers *peers, uint64_t at, bool oldest_first, bool is_there, uint64_t *ts_r,
                    struct span *value_r)
{
    uint8_t key[ROW_KEY_BYTES_MAX];
    struct row_key_fields row;
    int more;
    if (is_there)
        more = take_row(peers, oldest_first ? MDB_NEXT : MDB_PREV, (MDB_val){0, NULL}, &row, value_r);
    else if (oldest_first)
        more = take_row(peers, MDB_SET_RANGE, val_of(key, row_key(peers->user, at + 1, key)), &row, value_r);
    else
        more = take_before(peers, val_of(key, row_key(peers->user, at, key)), &row, value_r);
    if (more <= 0 || row.kind != ROW_ENTRY)
        return more < 0 ? more : 0;
    *ts_r = row.ts;
    return 1;
}

int run_peers_get(const struct run_peers *peers, uint64_t ts, uint64_t place, struct span *value_r)
{
    uint8_t bytes[ROW_KEY_BYTES_MAX];
    struct span key = {(const char *)bytes, row_key(peers->user, ts, bytes)};
    if (place > 0 && run_place_get(&peers->run->map, place, key, value_r))
        return 0;
    MDB_val found = val_of(bytes, (uint32_t)key.bytes), value;
    int result = mdb_cursor_get(peers->cursor, &found, &value, MDB_SET);
    if (result == 0)
        *value_r = span_of_val(value);
    return manifest_errno(result);
}

void run_peers_prefetch(const struct run_peers *peers, const struct peer_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        run_place_prefetch_page(&peers->run->map, entries[i].place);
    for (uint32_t i = 0; i < count; i++)
        run_place_prefetch_row(&peers->run->map, entries[i].place);
}
