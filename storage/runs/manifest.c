#include "storage/runs/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "storage/page_guard.h"
#include "storage/runs/peer_index.h"

#define MANIFEST_VERSION 1u
#define MANIFEST_MAP_BYTES (UINT64_C(64) << 20)
#define LOCK_FILE_BYTES 8192 /* what LMDB takes for its default of readers */
#define RUN_KEY_BYTES 16u    /* run-NNNNNNNNNNNN */
#define MARKS_KEY "marks"
#define ASSIGNED_KEY "wal-files"
#define CUT_KEY "cut-" /* and the user */
#define CUT_KEY_BYTES (sizeof CUT_KEY - 1)

/* Values, little endian: u32 CRC of what follows, u32 level or version, u64 each. */
enum {
    VALUE_CRC = 0,
    VALUE_WORD = 4,
    VALUE_NUMBERS = 8,
    RUN_NUMBERS = 10,
    RUN_NUMBERS_OLD = 7, /* of a version without marks and the index by peer */
    MARKS_NUMBERS = 5,
    CUT_NUMBERS = 2,
    RUN_VALUE_BYTES = VALUE_NUMBERS + 8 * RUN_NUMBERS,
    MARKS_VALUE_BYTES = VALUE_NUMBERS + 8 * MARKS_NUMBERS,
    ASSIGNED_NUMBERS_MAX = 2 * WAL_ASSIGNED_MAX, /* generation and file of each segment; the word is their count */
    ASSIGNED_VALUE_BYTES_MAX = VALUE_NUMBERS + 8 * ASSIGNED_NUMBERS_MAX,
    CUT_VALUE_BYTES = VALUE_NUMBERS + 8 * CUT_NUMBERS,
};

struct manifest {
    MDB_env *env;
    MDB_dbi dbi;
    char *path; /* set while the manifest is open for reading only; else NULL */
    bool is_committing;
    bool is_in_doubt;
};

int manifest_errno(int lmdb_result)
{
    switch (lmdb_result) {
    case MDB_MAP_FULL: return -ENOSPC;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_NOTFOUND:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE: return -EBADMSG;
    case MDB_SUCCESS: return 0;
    default: return lmdb_result > 0 ? -lmdb_result : -EIO;
    }
}

static void value_write(uint8_t *out, uint32_t word, const uint64_t *numbers, uint32_t count)
{
    bytes_store_le32(out + VALUE_WORD, word);
    for (uint32_t i = 0; i < count; i++)
        bytes_store_le64(out + VALUE_NUMBERS + 8 * i, numbers[i]);
    bytes_store_le32(out + VALUE_CRC, hash_crc32c(0, out + VALUE_WORD, 4 + 8 * count));
}

static int value_read(const MDB_val *value, uint32_t *word_r, uint64_t *numbers_r, uint32_t count)
{
    const uint8_t *in = value->mv_data;
    if (value->mv_size != VALUE_NUMBERS + 8 * count)
        return -EBADMSG;
    if (bytes_load_le32(in + VALUE_CRC) != hash_crc32c(0, in + VALUE_WORD, 4 + 8 * count))
        return -EBADMSG;
    *word_r = bytes_load_le32(in + VALUE_WORD);
    for (uint32_t i = 0; i < count; i++)
        numbers_r[i] = bytes_load_le64(in + VALUE_NUMBERS + 8 * i);
    return 0;
}

static int put_marks(struct manifest *manifest, MDB_txn *txn, const struct manifest_marks *marks)
{
    uint8_t bytes[MARKS_VALUE_BYTES];
    uint64_t numbers[MARKS_NUMBERS] = {marks->last_ts, marks->applied.generation, marks->applied.bytes, marks->next_id,
                                       marks->next_seq};
    value_write(bytes, MANIFEST_VERSION, numbers, MARKS_NUMBERS);
    MDB_val key = {sizeof MARKS_KEY - 1, (void *)MARKS_KEY};
    MDB_val value = {sizeof bytes, bytes};
    return mdb_put(txn, manifest->dbi, &key, &value, 0);
}

static int take_marks(const MDB_val *value, struct manifest_marks *marks_r)
{
    uint64_t numbers[MARKS_NUMBERS];
    uint32_t version;
    if (value_read(value, &version, numbers, MARKS_NUMBERS) != 0 || version != MANIFEST_VERSION)
        return -EBADMSG;
    *marks_r = (struct manifest_marks){
        .applied = {numbers[1], numbers[2]}, .last_ts = numbers[0], .next_id = numbers[3], .next_seq = numbers[4]};
    return 0;
}

static int put_assigned(struct manifest *manifest, MDB_txn *txn, const struct wal_assigned *assigned)
{
    uint8_t bytes[ASSIGNED_VALUE_BYTES_MAX];
    uint64_t numbers[ASSIGNED_NUMBERS_MAX];
    ASSERT(assigned->count <= WAL_ASSIGNED_MAX);
    for (uint32_t i = 0; i < assigned->count; i++) {
        numbers[2 * i] = assigned->segments[i].generation;
        numbers[2 * i + 1] = assigned->segments[i].file;
    }
    value_write(bytes, assigned->count, numbers, 2 * assigned->count);
    MDB_val key = {sizeof ASSIGNED_KEY - 1, (void *)ASSIGNED_KEY};
    MDB_val value = {VALUE_NUMBERS + 16 * assigned->count, bytes};
    return mdb_put(txn, manifest->dbi, &key, &value, 0);
}

static int take_assigned(const MDB_val *value, struct wal_assigned *assigned_r)
{
    uint64_t numbers[ASSIGNED_NUMBERS_MAX];
    uint32_t count = value->mv_size < VALUE_NUMBERS ? 0 : (uint32_t)((value->mv_size - VALUE_NUMBERS) / 16);
    uint32_t word;
    if (count > WAL_ASSIGNED_MAX || value_read(value, &word, numbers, 2 * count) != 0 || word != count)
        return -EBADMSG;
    assigned_r->count = count;
    for (uint32_t i = 0; i < count; i++) {
        assigned_r->segments[i].generation = numbers[2 * i];
        assigned_r->segments[i].file = numbers[2 * i + 1];
    }
    return 0;
}

static void run_key(uint64_t id, char out[RUN_KEY_BYTES + 1])
{
    ASSERT(id < UINT64_C(1000000000000));
    snprintf(out, RUN_KEY_BYTES + 1, "run-%012" PRIu64, id);
}

static int put_run(struct manifest *manifest, MDB_txn *txn, const struct run_entry *entry)
{
    char name[RUN_KEY_BYTES + 1];
    uint8_t bytes[RUN_VALUE_BYTES];
    uint64_t numbers[RUN_NUMBERS] = {entry->seq_first,    entry->seq_last,     entry->rows,       entry->entries,
                                     entry->ts_min,       entry->ts_max,       entry->file_bytes, entry->marks,
                                     entry->marks_ts_max, entry->index_version};
    value_write(bytes, entry->level, numbers, RUN_NUMBERS);
    run_key(entry->id, name);
    MDB_val key = {RUN_KEY_BYTES, name};
    MDB_val value = {sizeof bytes, bytes};
    return mdb_put(txn, manifest->dbi, &key, &value, MDB_NOOVERWRITE);
}

static int take_run(const MDB_val *key, const MDB_val *value, struct run_entry *entry_r)
{
    char name[RUN_KEY_BYTES + 1] = {0};
    uint64_t numbers[RUN_NUMBERS] = {0};
    uint32_t count = value->mv_size == VALUE_NUMBERS + 8 * RUN_NUMBERS_OLD ? RUN_NUMBERS_OLD : RUN_NUMBERS;
    if (key->mv_size != RUN_KEY_BYTES || memcmp(key->mv_data, "run-", 4) != 0)
        return -EBADMSG;
    memcpy(name, key->mv_data, RUN_KEY_BYTES);
    if (strspn(name + 4, "0123456789") != RUN_KEY_BYTES - 4 || value_read(value, &entry_r->level, numbers, count) != 0)
        return -EBADMSG;
    entry_r->id = strtoull(name + 4, NULL, 10);
    entry_r->seq_first = numbers[0];
    entry_r->seq_last = numbers[1];
    entry_r->rows = numbers[2];
    entry_r->entries = numbers[3];
    entry_r->ts_min = numbers[4];
    entry_r->ts_max = numbers[5];
    entry_r->file_bytes = numbers[6];
    entry_r->marks = numbers[7];
    entry_r->marks_ts_max = numbers[8];
    entry_r->index_version = numbers[9];
    if (entry_r->index_version > PEER_INDEX_VERSION)
        return -EBADMSG;
    return 0;
}

static int put_cut(struct manifest *manifest, MDB_txn *txn, const struct cut *cut)
{
    char name[CUT_KEY_BYTES + LIMIT_USER_BYTES] = CUT_KEY;
    uint8_t bytes[CUT_VALUE_BYTES];
    uint64_t numbers[CUT_NUMBERS] = {cut->ts, cut->since_id > cut->keys_id ? cut->since_id : cut->keys_id};
    memcpy(name + CUT_KEY_BYTES, cut->user, cut->user_bytes);
    value_write(bytes, MANIFEST_VERSION, numbers, CUT_NUMBERS);
    MDB_val key = {CUT_KEY_BYTES + cut->user_bytes, name};
    MDB_val value = {sizeof bytes, bytes};
    return mdb_put(txn, manifest->dbi, &key, &value, 0);
}

static bool is_cut(const MDB_val *key)
{
    return key->mv_size >= CUT_KEY_BYTES && memcmp(key->mv_data, CUT_KEY, CUT_KEY_BYTES) == 0;
}

static int take_cut(const MDB_val *key, const MDB_val *value, struct cuts *cuts)
{
    uint64_t numbers[CUT_NUMBERS];
    uint32_t version;
    struct span user = {(const char *)key->mv_data + CUT_KEY_BYTES, key->mv_size - CUT_KEY_BYTES};
    if (value_read(value, &version, numbers, CUT_NUMBERS) != 0 || version != MANIFEST_VERSION
        || user.bytes > LIMIT_USER_BYTES || numbers[0] == 0 || numbers[0] > LIMIT_TS_MAX)
        return -EBADMSG;
    int status = cuts_add(cuts, user, numbers[0], numbers[1]);
    if (status == 0)
        cuts_find(cuts, user)->is_saved = true;
    return status == -ENOSPC ? -EBADMSG : status;
}

void manifest_state_fini(struct manifest_state *state)
{
    free(state->entries);
    cuts_fini(&state->cuts);
    *state = (struct manifest_state){0};
}

static int compare_entries(const void *a, const void *b)
{
    const struct run_entry *x = a, *y = b;
    return x->seq_first < y->seq_first ? -1 : x->seq_first > y->seq_first;
}

static bool is_key(const MDB_val *key, const char *name)
{
    return key->mv_size == strlen(name) && memcmp(key->mv_data, name, key->mv_size) == 0;
}

static int take_rows(MDB_cursor *cursor, struct manifest_state *state)
{
    MDB_val key, value;
    bool has_marks = false;
    int status = 0;
    int result = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; result == 0 && status == 0; result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        if (is_key(&key, MARKS_KEY)) {
            has_marks = true;
            status = take_marks(&value, &state->marks);
            continue;
        }
        if (is_key(&key, ASSIGNED_KEY)) {
            status = take_assigned(&value, &state->assigned);
            continue;
        }
        if (is_cut(&key)) {
            status = take_cut(&key, &value, &state->cuts);
            continue;
        }
        struct run_entry *grown = realloc(state->entries, (state->count + 1) * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        state->entries = grown;
        status = take_run(&key, &value, &state->entries[state->count++]);
    }
    if (status == 0 && result != MDB_NOTFOUND)
        status = manifest_errno(result);
    if (status == 0 && !has_marks)
        status = -EBADMSG;
    if (state->count > 0)
        qsort(state->entries, state->count, sizeof *state->entries, compare_entries);
    return status;
}

static int load(struct manifest *manifest, struct manifest_state *state)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int result = mdb_txn_begin(manifest->env, NULL, MDB_RDONLY, &txn);
    if (result != 0)
        return manifest_errno(result);
    result = mdb_dbi_open(txn, NULL, 0, &manifest->dbi);
    if (result == 0)
        result = mdb_cursor_open(txn, manifest->dbi, &cursor);
    int status = result == 0 ? take_rows(cursor, state) : manifest_errno(result);
    if (result == 0)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return status;
}

/* A process that was killed while it read (a backup) leaves its entry in the lock file: LMDB would not use the pages of
 * that time again. */
static int remove_dead_readers(struct manifest *manifest)
{
    int dead;
    return mdb_reader_check(manifest->env, &dead);
}

struct loading {
    struct manifest *manifest;
    struct manifest_state *state;
};

static int load_guarded(void *context)
{
    const struct loading *loading = context;
    int result = remove_dead_readers(loading->manifest);
    if (result != 0)
        return manifest_errno(result);
    return load(loading->manifest, loading->state);
}

/* In a file that was cut short the first missing page would be a SIGBUS. */
static int check_size(struct manifest *manifest)
{
    struct stat stat;
    MDB_envinfo info;
    MDB_stat pages;
    int fd;
    if (mdb_env_get_fd(manifest->env, &fd) != 0 || fstat(fd, &stat) != 0)
        return -EIO;
    mdb_env_info(manifest->env, &info);
    mdb_env_stat(manifest->env, &pages);
    return (uint64_t)stat.st_size < (info.me_last_pgno + 1) * pages.ms_psize ? -EBADMSG : 0;
}

struct making {
    MDB_env *env;
    const char *path;
    const struct manifest_marks *marks;
};

/* Guarded: if the disk did not take a write, the map has a page that cannot be read. */
static int make_in(void *context)
{
    const struct making *making = context;
    struct manifest manifest = {.env = making->env};
    MDB_env *env = making->env;
    MDB_txn *txn;
    mdb_env_set_mapsize(env, MANIFEST_MAP_BYTES);
    int result = mdb_env_open(env, making->path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    if (result == 0)
        result = mdb_txn_begin(env, NULL, 0, &txn);
    if (result != 0)
        return manifest_errno(result);
    result = mdb_dbi_open(txn, NULL, 0, &manifest.dbi);
    if (result == 0)
        result = put_marks(&manifest, txn, making->marks);
    if (result == 0)
        return manifest_errno(mdb_txn_commit(txn));
    mdb_txn_abort(txn);
    return manifest_errno(result);
}

int manifest_make(const char *path, const struct manifest_marks *marks)
{
    MDB_env *env;
    if (mdb_env_create(&env) != 0)
        return -ENOMEM;
    int status = page_guard_run(make_in, &(struct making){env, path, marks});
    mdb_env_close(env);
    return status;
}

static int open_file(struct manifest **manifest_r, const char *path, unsigned flags, struct manifest_state *state_r,
                     struct store_error *error_r)
{
    struct manifest *manifest = calloc(1, sizeof *manifest);
    *state_r = (struct manifest_state){0};
    if (manifest == NULL || mdb_env_create(&manifest->env) != 0) {
        free(manifest);
        snprintf(error_r->text, sizeof error_r->text, "%s: %s", path, strerror(ENOMEM));
        return -ENOMEM;
    }
    mdb_env_set_mapsize(manifest->env, MANIFEST_MAP_BYTES);
    int result = mdb_env_open(manifest->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);
    /* The last commit of a process that was killed may be in the page cache only. */
    if (result == 0 && (flags & MDB_RDONLY) == 0)
        result = mdb_env_sync(manifest->env, 1);
    int status = result == 0 ? check_size(manifest) : manifest_errno(result);
    if (status == 0)
        status = page_guard_run(load_guarded, &(struct loading){manifest, state_r});
    if (status == 0) {
        *manifest_r = manifest;
        return 0;
    }
    manifest_state_fini(state_r);
    snprintf(error_r->text, sizeof error_r->text,
             status == -EBADMSG ? "%s is damaged: restore it from a backup of the data directory" : "%s: %s", path,
             strerror(-status));
    manifest_close(&manifest);
    return status;
}

/* LMDB writes into its mapped lock file, where a missing block of a full disk would be a SIGBUS. */
static int reserve_lock_file(const char *path)
{
    char lock_path[PATH_MAX];
    int bytes = snprintf(lock_path, sizeof lock_path, "%s-lock", path);
    if (bytes < 0 || (size_t)bytes >= sizeof lock_path)
        return -ENAMETOOLONG;
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int status = -posix_fallocate(fd, 0, LOCK_FILE_BYTES);
    close(fd);
    return status;
}

static bool is_no_room(int status)
{
    return status == -ENOSPC || status == -EDQUOT;
}

int manifest_open(struct manifest **manifest_r, const char *path, struct manifest_state *state_r,
                  struct store_error *error_r)
{
    if (!is_no_room(reserve_lock_file(path)))
        return open_file(manifest_r, path, 0, state_r, error_r);
    int status = open_file(manifest_r, path, MDB_RDONLY | MDB_NOLOCK, state_r, error_r);
    if (status != 0)
        return status;
    (*manifest_r)->path = strdup(path);
    if ((*manifest_r)->path != NULL)
        return 0;
    manifest_close(manifest_r);
    manifest_state_fini(state_r);
    snprintf(error_r->text, sizeof error_r->text, "%s: no memory", path);
    return -ENOMEM;
}

/* Opens a manifest for writing that was opened for reading only. */
static int open_again(struct manifest *manifest)
{
    struct manifest *writable;
    struct manifest_state state;
    struct store_error error;
    int status = reserve_lock_file(manifest->path);
    if (status == 0)
        status = open_file(&writable, manifest->path, 0, &state, &error);
    if (status != 0)
        return status;
    manifest_state_fini(&state);
    mdb_env_close(manifest->env);
    free(manifest->path);
    *manifest = *writable;
    free(writable);
    return 0;
}

int manifest_read(const char *path, bool is_live, struct manifest_state *state_r, struct store_error *error_r)
{
    struct manifest *manifest = NULL;
    int status = open_file(&manifest, path, MDB_RDONLY | (is_live ? 0 : MDB_NOLOCK), state_r, error_r);
    if (status == -ENOENT) {
        snprintf(error_r->text, sizeof error_r->text, "%s is missing: restore it from a backup of the data directory",
                 path);
        status = -EBADMSG;
    }
    manifest_close(&manifest);
    return status;
}

void manifest_close(struct manifest **manifest)
{
    if (*manifest == NULL)
        return;
    mdb_env_close((*manifest)->env);
    free((*manifest)->path);
    free(*manifest);
    *manifest = NULL;
}

static int put_changes(struct manifest *manifest, MDB_txn *txn, const struct manifest_marks *marks,
                       const struct run_entry *added, const uint64_t *removed_ids, uint32_t removed_count)
{
    char name[RUN_KEY_BYTES + 1];
    int result = put_marks(manifest, txn, marks);
    for (uint32_t i = 0; i < removed_count && result == 0; i++) {
        run_key(removed_ids[i], name);
        MDB_val key = {RUN_KEY_BYTES, name};
        result = mdb_del(txn, manifest->dbi, &key, NULL);
    }
    if (added != NULL && result == 0)
        result = put_run(manifest, txn, added);
    return result;
}

static int put_cuts(struct manifest *manifest, MDB_txn *txn, const struct cuts *cuts)
{
    int result = 0;
    for (uint32_t i = 0; i < cuts->count && result == 0; i++)
        if (!cuts->list[i]->is_saved)
            result = put_cut(manifest, txn, cuts->list[i]);
    return result;
}

struct change {
    struct manifest *manifest;
    const struct cuts *cuts; /* if not NULL: only these change */
    const struct manifest_marks *marks;
    const struct run_entry *added;
    const uint64_t *removed_ids;
    uint32_t removed_count;
    const struct wal_assigned *assigned; /* else NULL: then only this is changed */
};

static int commit(void *context)
{
    const struct change *change = context;
    struct manifest *manifest = change->manifest;
    MDB_txn *txn;
    int result = remove_dead_readers(manifest);
    if (result == 0)
        result = mdb_txn_begin(manifest->env, NULL, 0, &txn);
    if (result == MDB_PANIC)
        manifest->is_in_doubt = true;
    if (result != 0)
        return manifest_errno(result);
    result = change->assigned != NULL ? put_assigned(manifest, txn, change->assigned)
             : change->cuts != NULL
                 ? put_cuts(manifest, txn, change->cuts)
                 : put_changes(manifest, txn, change->marks, change->added, change->removed_ids, change->removed_count);
    if (result != 0) {
        mdb_txn_abort(txn);
        return manifest_errno(result);
    }
    return manifest_errno(mdb_txn_commit(txn));
}

static int commit_guarded(void *context)
{
    const struct change *change = context;
    int status = commit(context);
    change->manifest->is_committing = false;
    return status;
}

/* A page that cannot be read ends the commit without a return: is_committing stays set, and LMDB's own lock may be
 * held.
 */
static int make_change(struct manifest *manifest, struct change *change)
{
    ASSERT(!manifest->is_committing || manifest->is_in_doubt);
    if (manifest->is_in_doubt)
        return -EIO;
    int status = manifest->path == NULL ? 0 : open_again(manifest);
    if (status != 0)
        return status;
    manifest->is_committing = true;
    status = page_guard_run(commit_guarded, change);
    if (manifest->is_committing)
        manifest->is_in_doubt = true;
    return status;
}

int manifest_commit(struct manifest *manifest, const struct manifest_marks *marks, const struct run_entry *added,
                    const uint64_t *removed_ids, uint32_t removed_count)
{
    struct change change = {manifest, NULL, marks, added, removed_ids, removed_count, NULL};
    return make_change(manifest, &change);
}

int manifest_assign(struct manifest *manifest, const struct wal_assigned *assigned)
{
    struct change change = {.manifest = manifest, .assigned = assigned};
    return make_change(manifest, &change);
}

int manifest_save_cuts(struct manifest *manifest, struct cuts *cuts)
{
    struct change change = {.manifest = manifest, .cuts = cuts};
    uint32_t unsaved = 0;
    for (uint32_t i = 0; i < cuts->count; i++)
        unsaved += !cuts->list[i]->is_saved;
    int status = unsaved == 0 ? 0 : make_change(manifest, &change);
    for (uint32_t i = 0; i < cuts->count && status == 0; i++)
        cuts->list[i]->is_saved = true;
    return status;
}

/* LMDB begins no transaction after a meta page that may or may not have been written. */
bool manifest_is_in_doubt(struct manifest *manifest)
{
    MDB_txn *txn;
    if (manifest->is_in_doubt || manifest->path != NULL)
        return manifest->is_in_doubt;
    if (mdb_txn_begin(manifest->env, NULL, 0, &txn) != 0)
        manifest->is_in_doubt = true;
    else
        mdb_txn_abort(txn);
    return manifest->is_in_doubt;
}
