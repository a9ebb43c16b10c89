/* Rows with any keys and values as a run's file. Written by run_write they are refused, or read again in order, with
 * all users in the filter and the CRC of the rows; another size or number of entries is refused. Written as pages with
 * a filter of any bytes, the file is opened or refused, and what it has is read. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/list.h"
#include "fuzz.h"
#include "storage/runs/run.h"
#include "storage/runs/run_pages.h"
#include "storage/runs/run_peers.h"
#include "storage/runs/run_source.h"
#include "storage/runs/run_walk.h"

#define ROWS_MAX 64u
#define PATH_BYTES 256u

struct row {
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
    size_t key_bytes;
    struct span value;
};

struct rows {
    struct run_source source;
    struct row rows[ROWS_MAX];
    uint32_t count;
    uint32_t at;
};

static struct span key_of(const struct row *row)
{
    return (struct span){(const char *)row->key, row->key_bytes};
}

static int rows_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct rows *rows = container_of(base, struct rows, source);
    if (rows->at == rows->count)
        return 0;
    *key_r = key_of(&rows->rows[rows->at]);
    *value_r = rows->rows[rows->at++].value;
    return 1;
}

static void rows_close(struct run_source *base)
{
    (void)base;
}

static int compare_rows(const void *a, const void *b)
{
    return span_compare(key_of(a), key_of(b));
}

/* A key of a row of a timeline or of the key index, with a name of letters, or any bytes; then a value of up to 4 KB.
 */
static void take_row(struct row *row, struct fuzz_input *input)
{
    char letters[LIMIT_USER_BYTES];
    uint8_t kind = (uint8_t)fuzz_number(input, 1);
    struct span name = fuzz_span(input, 1 + fuzz_number(input, 1) % LIMIT_USER_BYTES);
    if (name.bytes == 0)
        name = SPAN_LITERAL("a");
    for (size_t i = 0; i < name.bytes; i++)
        letters[i] = (char)('!' + (uint8_t)name.data[i] % ('~' - '!' + 1));
    if (kind % 4 != 0)
        name.data = letters;
    if (kind % 8 == 1) {
        row->key_bytes =
            row_key_peers(name, fuzz_number(input, 2), SPAN_LITERAL("bob"), fuzz_number(input, 1), row->key);
    } else if (kind % 8 == 2) {
        row->key_bytes = row_key_marks(name, SPAN_LITERAL("bob"), row->key);
    } else if (kind % 4 == 0) {
        memcpy(row->key, name.data, name.bytes);
        row->key_bytes = name.bytes;
    } else if (kind % 4 == 1) {
        row->key_bytes = row_key_index(name, fuzz_number(input, 2), row->key);
    } else {
        row->key_bytes = row_key(name, fuzz_number(input, 2), row->key);
    }
    row->value = fuzz_span(input, fuzz_number(input, 2) % 4096);
}

static void take_rows(struct rows *rows, struct fuzz_input *input)
{
    uint32_t kept = 0;
    while (input->bytes > 0 && rows->count < ROWS_MAX)
        take_row(&rows->rows[rows->count++], input);
    qsort(rows->rows, rows->count, sizeof rows->rows[0], compare_rows);
    for (uint32_t i = 0; i < rows->count; i++)
        if (kept == 0 || compare_rows(&rows->rows[kept - 1], &rows->rows[i]) != 0)
            rows->rows[kept++] = rows->rows[i];
    rows->count = kept;
}

static bool is_row(const struct row *row, struct row_key_fields *fields_r)
{
    return row_key_parse(key_of(row), fields_r) == 0;
}

/* No user's name begins so (PROTOCOL.md). */
static bool has_filter_prefix(const struct rows *rows)
{
    return rows->count > 0 && rows->rows[rows->count - 1].key[0] == RUN_FILTER_PREFIX;
}

static bool are_rows(const struct rows *rows)
{
    struct row_key_fields fields;
    bool all = true;
    for (uint32_t i = 0; i < rows->count; i++)
        all = all && is_row(&rows->rows[i], &fields);
    return all;
}

static bool is_of_peers(struct span key)
{
    struct row_key_fields fields;
    return row_key_parse(key, &fields) == 0 && fields.kind == ROW_PEERS;
}

/* The walk gives all rows up to the first whose key has the prefix of the filter, and any row may be decoded. A writer
 * (`is_written`) leaves out rows of an index by peer, and makes its own. */
static void check_walk(struct run *run, const struct rows *rows, bool is_written)
{
    struct run_walk walk;
    struct row_key_fields fields;
    struct message message;
    uint32_t i = 0;
    int result = run_walk_open(&walk, run, (struct span){NULL, 0});
    for (; result == 0 && !walk.is_at_end; result = run_walk_step(&walk)) {
        if (is_written && is_of_peers(walk.key))
            continue;
        while (is_written && i < rows->count && is_of_peers(key_of(&rows->rows[i])))
            i++;
        ASSERT(i < rows->count);
        ASSERT(span_equal(walk.key, key_of(&rows->rows[i])) && span_equal(walk.value, rows->rows[i].value));
        if (is_row(&rows->rows[i], &fields) && fields.kind == ROW_ENTRY)
            (void)row_decode(fields.user, 1, walk.value, &message);
        i++;
    }
    while (is_written && i < rows->count && is_of_peers(key_of(&rows->rows[i])))
        i++;
    ASSERT(result == 0);
    ASSERT(i == rows->count || rows->rows[i].key[0] == RUN_FILTER_PREFIX);
    run_walk_close(&walk);
}

static void check_crc(struct run *run)
{
    MDB_cursor *cursor;
    MDB_val key = {sizeof RUN_CRC_KEY - 1, (void *)(uintptr_t)RUN_CRC_KEY}, value;
    struct run_walk walk;
    uint32_t crc = 0;
    int result = run_walk_open(&walk, run, (struct span){NULL, 0});
    for (; result == 0 && !walk.is_at_end; result = run_walk_step(&walk))
        crc = run_crc(crc, walk.key, walk.value);
    run_walk_close(&walk);
    ASSERT(run_slot_cursor(run, 0, &cursor) == 0);
    ASSERT(mdb_cursor_get(cursor, &key, &value, MDB_SET) == 0);
    ASSERT(value.mv_size == 4 && bytes_load_le32(value.mv_data) == crc);
}

static void check_filter(const struct run *run, const struct rows *rows)
{
    struct row_key_fields fields;
    for (uint32_t i = 0; i < rows->count; i++)
        if (is_row(&rows->rows[i], &fields) && fields.kind != ROW_KEYED)
            ASSERT(filter_may_contain(&run->filter, filter_hash(fields.user)));
}

/* What a piece has does not depend on how much of it is read. */
static void read_piece(const struct peer_piece *piece, uint64_t after)
{
    struct peer_entry entries[PEER_PIECE_ENTRIES];
    uint64_t ts[PEER_PIECE_ENTRIES];
    int count = peer_piece_read(piece, entries), wanted = 0;
    int received = peer_piece_received(piece, after, ts);
    if (count <= 0)
        return;
    ASSERT(peer_piece_newest(piece) == entries[0].ts);
    ASSERT(!piece->has_places || peer_piece_newest_place(piece) == entries[0].place);
    for (int i = 0; i < count; i++) {
        if (!entries[i].is_received || entries[i].ts <= after)
            continue;
        ASSERT(wanted < received && ts[wanted] == entries[i].ts);
        wanted++;
    }
    ASSERT(wanted == received);
}

/* The index of each user is looked at, with what the cursor finds: that may be of any bytes. */
static void check_peers(struct run *run, const struct rows *rows)
{
    struct run_peers peers;
    struct peer_piece piece;
    struct row_key_fields fields;
    struct span value;
    MDB_cursor *cursor;
    uint64_t ts;
    ASSERT(run_slot_cursor(run, 0, &cursor) == 0);
    for (uint32_t i = 0; i < rows->count; i++) {
        if (!is_row(&rows->rows[i], &fields) || run_peers_open(&peers, run, cursor, fields.user, 0, NULL) != 1)
            continue;
        for (uint32_t block = 0; block < peers.block_count && block < 8; block++)
            if (run_peers_find(&peers, run_peers_block(&peers, block), SPAN_LITERAL("bob"), fields.ts | 1,
                               block % 2 == 0, &piece)
                == 1)
                read_piece(&piece, fields.ts);
        (void)run_peers_entry(&peers, fields.ts | 1, i % 2 == 0, false, &ts, &value);
    }
}

static void check_refused(const char *dir, struct run_entry entry)
{
    struct run *run;
    struct store_error error;
    entry.entries++;
    ASSERT(run_open(&run, dir, &entry, &error) == -EBADMSG);
    entry.entries--;
    entry.file_bytes += RUN_PAGE_BYTES;
    ASSERT(run_open(&run, dir, &entry, &error) == -EBADMSG);
}

/* As a checkpoint writes them. */
static void check_written(const char *dir, const char *path, struct rows *rows)
{
    struct run_entry entry = {.id = 1};
    struct run *run;
    struct store_error error;
    rows->at = 0;
    int status = run_write(dir, &rows->source, &entry, NULL, NULL);
    ASSERT(status == (rows->count == 0 || are_rows(rows) ? 0 : -EBADMSG));
    if (status != 0 || rows->count == 0) {
        ASSERT(access(path, F_OK) != 0 && errno == ENOENT);
        return;
    }
    ASSERT(run_open(&run, dir, &entry, &error) == 0);
    check_walk(run, rows, true);
    check_filter(run, rows);
    check_peers(run, rows);
    check_crc(run);
    run_close(&run);
    check_refused(dir, entry);
    ASSERT(unlink(path) == 0);
}

/* As they are, the pieces of a filter too. */
static void check_raw(const char *dir, const char *path, const struct rows *rows)
{
    struct run_entry entry = {.id = 1, .entries = rows->count};
    struct run_pages *pages;
    struct run *run;
    struct store_error error;
    ASSERT(run_pages_open(&pages, path, true) == 0);
    for (uint32_t i = 0; i < rows->count; i++)
        ASSERT(run_pages_put(pages, key_of(&rows->rows[i]), rows->rows[i].value) == 0);
    ASSERT(run_pages_finish(pages, &entry.file_bytes) == 0);
    run_pages_close(&pages);
    int status = run_open(&run, dir, &entry, &error);
    ASSERT(status == 0 || status == -EBADMSG);
    if (status == 0) {
        check_walk(run, rows, false);
        check_peers(run, rows);
        for (uint32_t i = 0; i < rows->count; i++)
            (void)filter_may_contain(&run->filter, filter_hash(key_of(&rows->rows[i])));
        run_close(&run);
    }
    ASSERT(unlink(path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct rows rows;
    struct fuzz_input input = {data, bytes};
    char dir[PATH_BYTES], path[RUN_PATH_BYTES];
    const char *parent = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/fuzz-XXXXXX", parent == NULL ? "/tmp" : parent);
    ASSERT(mkdtemp(dir) != NULL);
    run_path(path, dir, 1);
    rows = (struct rows){.source = {rows_next, rows_close}};
    take_rows(&rows, &input);
    if (!has_filter_prefix(&rows))
        check_written(dir, path, &rows);
    if (rows.count > 0)
        check_raw(dir, path, &rows);
    ASSERT(rmdir(dir) == 0);
    return 0;
}
