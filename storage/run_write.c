/*
 * run_write.c: rows in key order into a file, by MDB_APPEND: pages are filled to the brim and written once. The kernel
 * is told to write each slice while the next one is made, so that the sync at the end has little to wait for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "storage/page_guard.h"
#include "storage/run.h"
#include "storage/segment.h"

#define SLICE_ENTRIES 12000u
/* Of large texts: LMDB keeps what a transaction writes in memory until its commit. */
#define SLICE_BYTES (8u << 20)
#define FILTER_CHUNK_BYTES 65536u

struct writer {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    struct run_entry *entry;
    uint32_t slice_entries;
    uint64_t slice_bytes;
    run_slice_function *on_slice;
    void *context;

    /* What the kernel has been told to write. */
    off_t told_begin;
    off_t told_end;

    /* The users so far, each once: they come in order. */
    uint64_t *hashes;
    uint64_t hash_count;
    uint64_t hash_room;
    char user[LIMIT_USER_BYTES];
    size_t user_bytes;

    uint32_t crc; /* of the rows so far, run_crc */
};

static int slice_begin(struct writer *writer)
{
    int result = mdb_txn_begin(writer->env, NULL, 0, &writer->txn);
    if (result == 0)
        result = mdb_dbi_open(writer->txn, NULL, 0, &writer->dbi);
    if (result == 0)
        result = mdb_cursor_open(writer->txn, writer->dbi, &writer->cursor);
    writer->slice_entries = 0;
    writer->slice_bytes = 0;
    return manifest_errno(result);
}

/* Waits for the slice before this one, starts this one. */
static int tell_kernel(struct writer *writer)
{
    struct stat stat;
    int fd;
    if (mdb_env_get_fd(writer->env, &fd) != 0 || fstat(fd, &stat) != 0)
        return -EIO;
    if (writer->told_end > writer->told_begin
        && sync_file_range(fd, writer->told_begin, writer->told_end - writer->told_begin,
                           SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
               != 0)
        return -errno;
    writer->told_begin = writer->told_end;
    writer->told_end = stat.st_size;
    if (writer->told_end > writer->told_begin
        && sync_file_range(fd, writer->told_begin, writer->told_end - writer->told_begin, SYNC_FILE_RANGE_WRITE) != 0)
        return -errno;
    return 0;
}

static int slice_end(struct writer *writer)
{
    mdb_cursor_close(writer->cursor);
    writer->cursor = NULL;
    int result = mdb_txn_commit(writer->txn);
    writer->txn = NULL;
    int status = result == 0 ? tell_kernel(writer) : manifest_errno(result);
    if (status == 0 && writer->on_slice != NULL)
        status = writer->on_slice(writer->context, writer->slice_entries);
    return status;
}

static int put(struct writer *writer, struct span key, struct span value)
{
    MDB_val mdb_key = {key.bytes, (void *)key.data};
    MDB_val mdb_value = {value.bytes, (void *)value.data};
    int result = mdb_cursor_put(writer->cursor, &mdb_key, &mdb_value, MDB_APPEND);
    if (result != 0)
        return manifest_errno(result);
    writer->entry->entries++;
    writer->slice_bytes += key.bytes + value.bytes;
    if (++writer->slice_entries < SLICE_ENTRIES && writer->slice_bytes < SLICE_BYTES)
        return 0;
    int status = slice_end(writer);
    return status == 0 ? slice_begin(writer) : status;
}

static int note_user(struct writer *writer, struct span user)
{
    if (user.bytes == writer->user_bytes && memcmp(user.data, writer->user, user.bytes) == 0)
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

static int note_row(struct writer *writer, struct span key)
{
    struct span user;
    uint64_t ts;
    bool is_index;
    int status = row_key_parse(key, &user, &ts, &is_index);
    if (status != 0 || is_index)
        return status;
    struct run_entry *entry = writer->entry;
    if (entry->rows++ == 0)
        entry->ts_min = entry->ts_max = ts;
    entry->ts_min = ts < entry->ts_min ? ts : entry->ts_min;
    entry->ts_max = ts > entry->ts_max ? ts : entry->ts_max;
    return note_user(writer, user);
}

static int put_crc(struct writer *writer)
{
    uint8_t value[4];
    bytes_store_le32(value, writer->crc);
    return put(writer, SPAN_LITERAL(RUN_CRC_KEY), (struct span){(const char *)value, sizeof value});
}

static int put_filter(struct writer *writer)
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

/* What put_all takes. `key` and `value` are the first row. */
struct rows {
    struct writer *writer;
    struct run_source *source;
    struct span key;
    struct span value;
};

static int put_all(void *context)
{
    struct rows *rows = context;
    struct writer *writer = rows->writer;
    struct run_source *source = rows->source;
    struct span key = rows->key, value = rows->value;
    int status = slice_begin(writer);
    int more = 1;
    while (status == 0 && more == 1) {
        status = note_row(writer, key);
        writer->crc = run_crc(writer->crc, key, value);
        if (status == 0)
            status = put(writer, key, value);
        if (status == 0)
            more = run_source_next(source, &key, &value);
    }
    if (status == 0 && more < 0)
        status = more;
    if (status == 0)
        status = put_filter(writer);
    if (status == 0)
        status = put_crc(writer);
    return status == 0 ? slice_end(writer) : status;
}

/* Guarded: a merge reads old runs, and LMDB what it has written. */
static int write_file(struct writer *writer, const char *path, struct rows *rows)
{
    int result = mdb_env_create(&writer->env);
    if (result != 0)
        return manifest_errno(result);
    mdb_env_set_mapsize(writer->env, RUN_MAP_BYTES);
    result = mdb_env_open(writer->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NORDAHEAD | MDB_NOTLS, 0600);
    int status = result == 0 ? page_guard_run(put_all, rows) : manifest_errno(result);
    if (writer->cursor != NULL)
        mdb_cursor_close(writer->cursor);
    if (writer->txn != NULL)
        mdb_txn_abort(writer->txn);
    if (status == 0 && !FAULT(RUN_NOT_SYNCED))
        status = manifest_errno(mdb_env_sync(writer->env, 1));
    mdb_env_close(writer->env);
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
    struct stat stat_now;
    struct writer writer = {.entry = entry, .on_slice = on_slice, .context = context};
    struct rows rows = {.writer = &writer, .source = source};
    entry->rows = entry->entries = entry->ts_min = entry->ts_max = entry->file_bytes = 0;
    int more = page_guard_run(first_row, &rows);
    if (more <= 0)
        return more;
    run_path(path, dir, entry->id);
    if (unlink(path) != 0 && errno != ENOENT)
        return -errno;
    int status = write_file(&writer, path, &rows);
    if (status == 0)
        status = stat(path, &stat_now) == 0 ? segment_sync_dir(dir) : -errno;
    if (status != 0) {
        (void)unlink(path);
        return status;
    }
    entry->file_bytes = (uint64_t)stat_now.st_size;
    return 0;
}
