#include "storage/runs/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "storage/page_guard.h"

void run_path(char out[RUN_PATH_BYTES], const char *dir, uint64_t id)
{
    int bytes = snprintf(out, RUN_PATH_BYTES, "%s/run-%012" PRIu64 ".mdb", dir, id);
    ASSERT(bytes > 0 && (uint32_t)bytes < RUN_PATH_BYTES);
}

uint32_t run_crc(uint32_t crc, struct span key, struct span value)
{
    uint8_t lengths[8];
    bytes_store_le32(lengths, (uint32_t)key.bytes);
    bytes_store_le32(lengths + 4, (uint32_t)value.bytes);
    crc = hash_crc32c(crc, lengths, sizeof lengths);
    crc = hash_crc32c(crc, key.data, key.bytes);
    return hash_crc32c(crc, value.data, value.bytes);
}

static int set_error(struct store_error *error_r, int status, const char *path, const char *what)
{
    if (status == -EBADMSG)
        snprintf(error_r->text, sizeof error_r->text, "%s %s: damaged; restore the data directory from a backup", path,
                 what);
    else
        snprintf(error_r->text, sizeof error_r->text, "%s: %s", path, strerror(-status));
    return status;
}

static int check_file(const char *path, const struct run_entry *entry, struct store_error *error_r)
{
    char what[96];
    struct stat stat_now;
    if (stat(path, &stat_now) != 0) {
        int status = errno == ENOENT ? -EBADMSG : -errno;
        return set_error(error_r, status, path, "is missing, but the manifest names it");
    }
    if ((uint64_t)stat_now.st_size == entry->file_bytes)
        return 0;
    snprintf(what, sizeof what, "has %" PRIu64 " bytes instead of %" PRIu64, (uint64_t)stat_now.st_size,
             entry->file_bytes);
    return set_error(error_r, -EBADMSG, path, what);
}

static void find_map(MDB_cursor *cursor, struct run *run)
{
    MDB_val key, value;
    if (mdb_cursor_get(cursor, &key, &value, MDB_LAST) == 0)
        run_map_find(&run->map, key.mv_data, run->entry.file_bytes);
}

/* Collects the pieces of the filter, which are in order behind the rows. */
static int read_filter_chunks(MDB_cursor *cursor, struct run *run)
{
    uint8_t first[] = {RUN_FILTER_PREFIX};
    MDB_val key = {sizeof first, first}, value;
    uint8_t *bytes = NULL;
    size_t total = 0;
    int result = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    for (; result == 0 && key.mv_size == RUN_FILTER_KEY_BYTES;
         result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        uint8_t *grown = realloc(bytes, total + value.mv_size + 1);
        if (grown == NULL) {
            result = ENOMEM;
            break;
        }
        bytes = grown;
        memcpy(bytes + total, value.mv_data, value.mv_size);
        total += value.mv_size;
    }
    int status = result == MDB_NOTFOUND ? 0 : manifest_errno(result);
    if (status == 0 && total % FILTER_BLOCK_BYTES != 0)
        status = -EBADMSG;
    if (status == 0)
        status = filter_reserve(&run->filter, total);
    if (status == 0 && total > 0)
        memcpy(run->filter.bytes, bytes, total);
    free(bytes);
    return status;
}

/* Opens LMDB's main database, once for all later transactions, and reads the filter. */
static int read_filter(void *context)
{
    struct run *run = context;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_stat stat;
    int result = mdb_txn_begin(run->env, NULL, MDB_RDONLY, &txn);
    if (result != 0)
        return manifest_errno(result);
    result = mdb_dbi_open(txn, NULL, 0, &run->dbi);
    if (result == 0)
        result = mdb_stat(txn, run->dbi, &stat);
    if (result == 0 && stat.ms_entries != run->entry.entries)
        result = MDB_CORRUPTED;
    if (result == 0)
        result = mdb_cursor_open(txn, run->dbi, &cursor);
    int status = manifest_errno(result);
    if (status == 0) {
        find_map(cursor, run);
        status = read_filter_chunks(cursor, run);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return status;
}

int run_open(struct run **run_r, const char *dir, const struct run_entry *entry, struct store_error *error_r)
{
    char path[RUN_PATH_BYTES];
    run_path(path, dir, entry->id);
    int status = check_file(path, entry, error_r);
    if (status != 0)
        return status;
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL || mdb_env_create(&run->env) != 0) {
        free(run);
        return set_error(error_r, -ENOMEM, path, "");
    }
    run->entry = *entry;
    mdb_env_set_mapsize(run->env, entry->file_bytes);
    int result = mdb_env_open(run->env, path, MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR | MDB_NORDAHEAD | MDB_NOTLS, 0600);
    status = result == 0 ? page_guard_run(read_filter, run) : manifest_errno(result);
    if (status != 0) {
        run_close(&run);
        return set_error(error_r, status, path, "does not have what was written");
    }
    *run_r = run;
    return 0;
}

void run_slot_close(struct run *run, uint32_t slot)
{
    ASSERT(slot < RUN_READERS_MAX);
    struct run_slot *own = &run->slots[slot];
    if (own->cursor != NULL)
        mdb_cursor_close(own->cursor);
    if (own->txn != NULL)
        mdb_txn_abort(own->txn);
    *own = (struct run_slot){NULL, NULL};
}

void run_close(struct run **run)
{
    if (*run == NULL)
        return;
    for (uint32_t i = 0; i < RUN_READERS_MAX; i++)
        run_slot_close(*run, i);
    mdb_env_close((*run)->env);
    filter_fini(&(*run)->filter);
    free(*run);
    *run = NULL;
}

int run_slot_cursor(struct run *run, uint32_t slot, MDB_cursor **cursor_r)
{
    ASSERT(slot < RUN_READERS_MAX);
    struct run_slot *own = &run->slots[slot];
    int result = 0;
    if (own->txn == NULL)
        result = mdb_txn_begin(run->env, NULL, MDB_RDONLY, &own->txn);
    if (result == 0 && own->cursor == NULL)
        result = mdb_cursor_open(own->txn, run->dbi, &own->cursor);
    *cursor_r = own->cursor;
    return manifest_errno(result);
}
