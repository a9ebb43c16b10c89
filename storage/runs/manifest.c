#include "storage/runs/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/page_guard.h"
#include "storage/runs/manifest_rows.h"

#define MANIFEST_MAP_BYTES (UINT64_C(64) << 20)
#define LOCK_FILE_BYTES 8192 /* what LMDB takes for its default of readers */

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

void manifest_state_fini(struct manifest_state *state)
{
    free(state->entries);
    cuts_fini(&state->cuts);
    *state = (struct manifest_state){0};
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
    int status = result == 0 ? manifest_rows_take(cursor, state) : manifest_errno(result);
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
    return (uint64_t)stat.st_size / pages.ms_psize <= info.me_last_pgno ? -EBADMSG : 0;
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
        result = manifest_rows_put_marks(txn, manifest.dbi, making->marks);
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
    int result = manifest_rows_put_marks(txn, manifest->dbi, marks);
    for (uint32_t i = 0; i < removed_count && result == 0; i++)
        result = manifest_rows_delete_run(txn, manifest->dbi, removed_ids[i]);
    if (added != NULL && result == 0)
        result = manifest_rows_put_run(txn, manifest->dbi, added);
    return result;
}

static int put_cuts(struct manifest *manifest, MDB_txn *txn, const struct cuts *cuts)
{
    int result = 0;
    for (uint32_t i = 0; i < cuts->count && result == 0; i++)
        if (!cuts->list[i]->is_saved)
            result = manifest_rows_put_cut(txn, manifest->dbi, cuts->list[i]);
    return result;
}

static int delete_cuts(struct manifest *manifest, MDB_txn *txn, const struct cuts *cuts)
{
    int result = 0;
    for (uint32_t i = 0; i < cuts->count && result == 0; i++)
        result = manifest_rows_delete_cut(txn, manifest->dbi, cuts->list[i]);
    return result;
}

struct change {
    struct manifest *manifest;
    const struct cuts *cuts;    /* if not NULL: only these change */
    const struct cuts *dropped; /* the same */
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
    result = change->assigned != NULL ? manifest_rows_put_assigned(txn, manifest->dbi, change->assigned)
             : change->cuts != NULL   ? put_cuts(manifest, txn, change->cuts)
             : change->dropped != NULL
                 ? delete_cuts(manifest, txn, change->dropped)
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
    struct change change = {.manifest = manifest,
                            .marks = marks,
                            .added = added,
                            .removed_ids = removed_ids,
                            .removed_count = removed_count};
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

int manifest_drop_cuts(struct manifest *manifest, const struct cuts *cuts)
{
    struct change change = {.manifest = manifest, .dropped = cuts};
    return cuts->count == 0 ? 0 : make_change(manifest, &change);
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
