/* run_write.c: rows in key order into a file: each is counted, added to the CRC and given to run_pages. Behind the
 * entries of a user comes their index by peer (peer_index.h). Last come the filter and the CRC. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "storage/page_guard.h"
#include "storage/runs/peer_index.h"
#include "storage/runs/run.h"
#include "storage/runs/run_pages.h"
#include "storage/wal/segment.h"

#define SLICE_ENTRIES 12000u
/* For large texts: a slice ends at either limit. */
#define SLICE_BYTES (8u << 20)
/* Runs up to this level have recent rows: users who were away for a while read them soon, and so does the next merge.
 */
#define CACHED_LEVEL 1u
#define FILTER_CHUNK_BYTES 65536u
_Static_assert(FILTER_CHUNK_BYTES <= RUN_PAGES_VALUE_BYTES_MAX, "a piece of the filter is one value");
_Static_assert(ROW_VALUE_BYTES_MAX <= RUN_PAGES_VALUE_BYTES_MAX, "a row's value is one value");
_Static_assert(ROW_KEY_PEERS_BYTES_MAX <= RUN_PAGES_KEY_BYTES_MAX, "a row's key is one key");

struct run_writer {
    struct run_pages *pages;
    struct run_entry *entry;
    const char *dir;
    bool is_complete;
    uint32_t slice_entries;
    uint64_t slice_bytes;
    run_slice_function *on_slice;
    void *context;

    struct peer_index *peers; /* of the entries of `user` that are not indexed yet */

    /* The hashes of the users so far, each once: users come in order. */
    uint64_t *hashes;
    uint64_t hash_count;
    uint64_t hash_room;
    char user[LIMIT_USER_BYTES];
    size_t user_bytes;

    uint32_t crc; /* of the rows so far, run_crc */
};

static int slice_end(struct run_writer *writer)
{
    uint32_t entries = writer->slice_entries;
    writer->slice_entries = 0;
    writer->slice_bytes = 0;
    return writer->on_slice == NULL ? 0 : writer->on_slice(writer->context, entries);
}

static int put(struct run_writer *writer, struct span key, struct span value)
{
    int status = run_pages_put(writer->pages, key, value);
    if (status != 0)
        return status;
    writer->entry->entries++;
    writer->slice_bytes += key.bytes + value.bytes;
    if (++writer->slice_entries < SLICE_ENTRIES && writer->slice_bytes < SLICE_BYTES)
        return 0;
    return slice_end(writer);
}

static bool is_user(const struct run_writer *writer, struct span user)
{
    return span_equal(user, (struct span){writer->user, writer->user_bytes});
}

static int note_user(struct run_writer *writer, struct span user)
{
    if (is_user(writer, user))
        return 0;
    memcpy(writer->user, user.data, user.bytes);
    writer->user_bytes = user.bytes;
    if (writer->hash_count == writer->hash_room) {
        uint64_t room = writer->hash_room == 0 ? 1024 : writer->hash_room * 2;
        uint64_t *grown = realloc(writer->hashes, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        writer->hashes = grown;
        writer->hash_room = room;
    }
    writer->hashes[writer->hash_count++] = filter_hash(user);
    return 0;
}

static void note_ts(struct run_entry *entry, uint64_t ts)
{
    if (entry->rows++ == 0)
        entry->ts_min = entry->ts_max = ts;
    entry->ts_min = ts < entry->ts_min ? ts : entry->ts_min;
    entry->ts_max = ts > entry->ts_max ? ts : entry->ts_max;
}

static int put_crc(struct run_writer *writer)
{
    uint8_t value[4];
    bytes_store_le32(value, writer->crc);
    return put(writer, SPAN_LITERAL(RUN_CRC_KEY), (struct span){(const char *)value, sizeof value});
}

static int put_filter(struct run_writer *writer)
{
    struct filter filter;
    int status = filter_make(&filter, writer->hashes, writer->hash_count);
    uint64_t bytes = filter_bytes(&filter);
    for (uint64_t at = 0; at < bytes && status == 0; at += FILTER_CHUNK_BYTES) {
        uint8_t key[9] = {RUN_FILTER_PREFIX};
        bytes_store_be64(key + 1, at);
        uint64_t left = bytes - at;
        status =
            put(writer, (struct span){(const char *)key, sizeof key},
                (struct span){(const char *)filter.bytes + at, left < FILTER_CHUNK_BYTES ? left : FILTER_CHUNK_BYTES});
    }
    filter_fini(&filter);
    return status;
}

static int put_counted(struct run_writer *writer, struct span key, struct span value)
{
    writer->crc = run_crc(writer->crc, key, value);
    return put(writer, key, value);
}

/* The rows of the index by peer behind the entries so far. */
static int put_peers(struct run_writer *writer, bool is_end)
{
    struct span key, value;
    int status = peer_index_begin_rows(writer->peers, (struct span){writer->user, writer->user_bytes}, is_end);
    while (status == 0 && peer_index_next(writer->peers, &key, &value))
        status = put_counted(writer, key, value);
    return status;
}

/* A row that cannot be read is written all the same: the reader will find it. */
static int index_entry(struct run_writer *writer, const struct row_key_fields *row, struct span value)
{
    enum role role;
    struct span other;
    if (FAULT(PEERS_LOST_IN_MERGE) && writer->entry->level > 0 && row->ts % 4 == 0)
        return 0;
    if (row_decode_peer(value, &role, &other) != 0)
        return 0;
    int status = peer_index_add(writer->peers, row->ts, role == ROLE_SELF ? row->user : other, role == ROLE_RECEIVED,
                                run_pages_place(writer->pages));
    return status == 0 && peer_index_is_full(writer->peers) ? put_peers(writer, false) : status;
}

static int put_entry(struct run_writer *writer, const struct row_key_fields *row, struct span key, struct span value)
{
    note_ts(writer->entry, row->ts);
    int status = put_counted(writer, key, value);
    return status == 0 ? index_entry(writer, row, value) : status;
}

static int put_marks(struct run_writer *writer, struct span key, struct span value)
{
    struct run_entry *entry = writer->entry;
    struct seen_marks marks = {0, 0};
    (void)row_decode_marks(value, &marks);
    entry->marks++;
    entry->marks_ts_max = marks.seen > entry->marks_ts_max ? marks.seen : entry->marks_ts_max;
    entry->marks_ts_max = marks.seen_by > entry->marks_ts_max ? marks.seen_by : entry->marks_ts_max;
    return put_counted(writer, key, value);
}

/* Rows of an index by peer are left out: the writer makes its own. */
static int put_row(struct run_writer *writer, struct span key, struct span value)
{
    struct row_key_fields row;
    int status = row_key_parse(key, &row);
    if (status == 0 && row.kind == ROW_KEYED)
        return put_counted(writer, key, value);
    if (status == 0 && (row.kind == ROW_MARKS || !is_user(writer, row.user)))
        status = put_peers(writer, true);
    if (status == 0)
        status = note_user(writer, row.user);
    if (status != 0 || row.kind == ROW_PEERS)
        return status;
    return row.kind == ROW_MARKS ? put_marks(writer, key, value) : put_entry(writer, &row, key, value);
}

static int put_end(struct run_writer *writer)
{
    int status = put_peers(writer, true);
    if (status == 0)
        status = put_filter(writer);
    if (status == 0)
        status = put_crc(writer);
    return status == 0 ? slice_end(writer) : status;
}

static void clear_counts(struct run_entry *entry)
{
    entry->rows = entry->entries = entry->ts_min = entry->ts_max = entry->file_bytes = 0;
    entry->marks = entry->marks_ts_max = 0;
    entry->index_version = PEER_INDEX_VERSION;
}

/* -- from a source -- */

/* The context of put_all. `key` and `value` are the first row. */
struct rows {
    struct run_writer *writer;
    struct run_source *source;
    struct span key;
    struct span value;
};

static int put_all(void *context)
{
    struct rows *rows = context;
    struct run_writer *writer = rows->writer;
    struct run_source *source = rows->source;
    struct span key = rows->key, value = rows->value;
    int status = 0, more = 1;
    while (status == 0 && more == 1) {
        status = put_row(writer, key, value);
        if (status == 0)
            more = run_source_next(source, &key, &value);
    }
    if (status == 0 && more < 0)
        status = more;
    return status == 0 ? put_end(writer) : status;
}

/* Guarded, because a merge reads old runs. */
static int write_file(struct run_writer *writer, const char *path, struct rows *rows)
{
    bool is_read_soon = writer->entry->level <= CACHED_LEVEL;
    int status = peer_index_open(&writer->peers, writer->entry->index_version);
    if (status == 0)
        status = run_pages_open(&writer->pages, path, is_read_soon);
    if (status == 0)
        status = page_guard_run(put_all, rows);
    if (status == 0)
        status = run_pages_finish(writer->pages, &writer->entry->file_bytes);
    run_pages_close(&writer->pages);
    peer_index_close(&writer->peers);
    free(writer->hashes);
    return status;
}

static int first_row(void *context)
{
    struct rows *rows = context;
    return run_source_next(rows->source, &rows->key, &rows->value);
}

int run_write(const char *dir, struct run_source *source, struct run_entry *entry, run_slice_function *on_slice,
              void *context)
{
    char path[RUN_PATH_BYTES];
    struct run_writer writer = {.entry = entry, .on_slice = on_slice, .context = context};
    struct rows rows = {.writer = &writer, .source = source};
    clear_counts(entry);
    int more = page_guard_run(first_row, &rows);
    if (more <= 0)
        return more;
    run_path(path, dir, entry->id);
    if (unlink(path) != 0 && errno != ENOENT)
        return -errno;
    int status = write_file(&writer, path, &rows);
    if (status == 0)
        status = segment_sync_dir(dir);
    if (status != 0) {
        (void)unlink(path);
        entry->file_bytes = 0;
    }
    return status;
}

/* -- row by row -- */

int run_writer_open(struct run_writer **writer_r, const char *dir, struct run_entry *entry)
{
    char path[RUN_PATH_BYTES];
    struct run_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return -ENOMEM;
    writer->entry = entry;
    writer->dir = dir;
    clear_counts(entry);
    run_path(path, dir, entry->id);
    int status = peer_index_open(&writer->peers, writer->entry->index_version);
    if (status == 0)
        status = run_pages_open(&writer->pages, path, false);
    if (status == 0) {
        *writer_r = writer;
        return 0;
    }
    peer_index_close(&writer->peers);
    free(writer);
    return status;
}

int run_writer_put(struct run_writer *writer, struct span key, struct span value)
{
    return put_row(writer, key, value);
}

int run_writer_finish(struct run_writer *writer)
{
    ASSERT(!writer->is_complete);
    if (writer->entry->entries == 0)
        return 0;
    int status = put_end(writer);
    if (status == 0)
        status = run_pages_finish(writer->pages, &writer->entry->file_bytes);
    if (status == 0)
        status = segment_sync_dir(writer->dir);
    writer->is_complete = status == 0;
    return status;
}

void run_writer_close(struct run_writer **writer)
{
    char path[RUN_PATH_BYTES];
    struct run_writer *closing = *writer;
    if (closing == NULL)
        return;
    run_path(path, closing->dir, closing->entry->id);
    run_pages_close(&closing->pages);
    if (!closing->is_complete)
        (void)unlink(path);
    peer_index_close(&closing->peers);
    free(closing->hashes);
    free(closing);
    *writer = NULL;
}
