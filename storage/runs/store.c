/* store.c: open, the list of runs, commits, checkpoints. */
#include "storage/runs/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"
#include "storage/runs/store_private.h"
#include "storage/wal/segment.h"

#define NAME_BYTES_MAX 64 /* of the store's files in the directory */

int store_set_error(struct store_error *error_r, int status, const char *dir, const char *what)
{
    snprintf(error_r->text, sizeof error_r->text, "%s: %s: %s", dir, what, strerror(-status));
    return status;
}

static struct run_list *list_make(uint32_t count)
{
    struct run_list *list = malloc(sizeof *list + count * sizeof(struct run *));
    if (list != NULL)
        *list = (struct run_list){.refs = 1, .count = 0};
    return list;
}

struct run_list *store_ref_list(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    struct run_list *list = store->list;
    list->refs++;
    pthread_mutex_unlock(&store->lock);
    return list;
}

/* Under the lock. */
static void run_unref(struct store *store, struct run *run)
{
    ASSERT(run->refs > 0);
    if (--run->refs > 0)
        return;
    run->next_dead = store->dead;
    store->dead = run;
}

/* Under the lock. */
static void list_unref(struct store *store, struct run_list *list)
{
    ASSERT(list->refs > 0);
    if (--list->refs > 0)
        return;
    for (uint32_t i = 0; i < list->count; i++)
        run_unref(store, list->runs[i]);
    free(list);
}

void store_ref_run(struct store *store, struct run *run)
{
    pthread_mutex_lock(&store->lock);
    ASSERT(run->refs > 0);
    run->refs++;
    pthread_mutex_unlock(&store->lock);
}

void store_unref_run(struct store *store, struct run *run)
{
    pthread_mutex_lock(&store->lock);
    run_unref(store, run);
    pthread_mutex_unlock(&store->lock);
}

void store_count_bytes(struct store *store, uint64_t run_bytes, uint64_t merge_bytes)
{
    pthread_mutex_lock(&store->lock);
    store->run_bytes += run_bytes;
    store->merge_bytes += merge_bytes;
    pthread_mutex_unlock(&store->lock);
}

void store_set_throttle(struct store *store, const struct store_throttle *throttle)
{
    store->throttle = *throttle;
}

void store_unref_list(struct store *store, struct run_list *list)
{
    pthread_mutex_lock(&store->lock);
    list_unref(store, list);
    pthread_mutex_unlock(&store->lock);
}

bool store_has_dead(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    bool has_dead = store->dead != NULL;
    pthread_mutex_unlock(&store->lock);
    return has_dead;
}

uint32_t store_take_dead(struct store *store, uint64_t *ids_r, uint32_t ids_max)
{
    uint32_t count = 0;
    pthread_mutex_lock(&store->lock);
    struct run *run = store->dead;
    store->dead = NULL;
    pthread_mutex_unlock(&store->lock);
    while (run != NULL) {
        struct run *next = run->next_dead;
        if (count < ids_max)
            ids_r[count++] = run->entry.id;
        run_close(&run);
        run = next;
    }
    return count;
}

uint64_t store_take_id(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t id = store->marks.next_id++;
    pthread_mutex_unlock(&store->lock);
    return id;
}

struct manifest_marks store_marks(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    struct manifest_marks marks = store->marks;
    pthread_mutex_unlock(&store->lock);
    return marks;
}

static bool is_among(const struct run *run, struct run *const *runs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (runs[i] == run)
            return true;
    return false;
}

/* A new list: `old` with the change, in order of time. NULL: no memory. */
static struct run_list *list_changed(const struct run_list *old, struct run *added, struct run *const *removed,
                                     uint32_t removed_count)
{
    struct run_list *list = list_make(old->count + 1);
    if (list == NULL)
        return NULL;
    for (uint32_t i = 0; i < old->count; i++) {
        struct run *run = old->runs[i];
        if (added != NULL && added->entry.seq_first <= run->entry.seq_first) {
            list->runs[list->count++] = added;
            added = NULL;
        }
        if (!is_among(run, removed, removed_count))
            list->runs[list->count++] = run;
    }
    if (added != NULL)
        list->runs[list->count++] = added;
    return list;
}

static void swap_list(struct store *store, struct run_list *list, const struct manifest_marks *marks)
{
    pthread_mutex_lock(&store->lock);
    uint64_t next_id = store->marks.next_id;
    store->marks = *marks;
    store->marks.next_id = next_id;
    for (uint32_t i = 0; i < list->count; i++)
        list->runs[i]->refs++;
    list->number = store->list->number + 1;
    list_unref(store, store->list);
    store->list = list;
    if (list->count > store->run_count_most)
        store->run_count_most = list->count;
    pthread_mutex_unlock(&store->lock);
}

int store_commit(struct store *store, const struct manifest_marks *marks, struct run *added, struct run *const *removed,
                 uint32_t removed_count)
{
    ASSERT(!store->is_in_doubt);
    ASSERT(removed_count <= store->options.runs_max);
    uint64_t ids[removed_count + 1];
    for (uint32_t i = 0; i < removed_count; i++)
        ids[i] = removed[i]->entry.id;
    /* Only a thread that has commit_lock replaces the list, so it may be read here without the lock. */
    struct run_list *list = list_changed(store->list, added, removed, removed_count);
    if (list == NULL)
        return -ENOMEM;
    int status = manifest_commit(store->manifest, marks, added == NULL ? NULL : &added->entry, ids, removed_count);
    if (status != 0) {
        free(list);
        store->is_in_doubt = manifest_is_in_doubt(store->manifest);
        return status;
    }
    swap_list(store, list, marks);
    return 0;
}

/* The number in the name of a run's file; -1: it is another file. */
static int64_t id_of(const char *name)
{
    unsigned long long id;
    int end = 0;
    if (sscanf(name, "run-%12llu.mdb%n", &id, &end) != 1 || end == 0 || name[end] != 0)
        return -1;
    return (int64_t)id;
}

static bool is_named(const struct manifest_state *state, int64_t id)
{
    for (uint32_t i = 0; i < state->count; i++)
        if ((int64_t)state->entries[i].id == id)
            return true;
    return false;
}

/* Removes run files that a crash left. Without `state` there is no manifest: then run files mean that it was lost. */
static int remove_strays(const char *dir, const struct manifest_state *state, struct store_error *error_r)
{
    char path[RUN_PATH_BYTES];
    DIR *stream = opendir(dir);
    if (stream == NULL)
        return store_set_error(error_r, -errno, dir, "cannot be read");
    int status = 0;
    struct dirent *entry;
    for (errno = 0; status == 0 && (entry = readdir(stream)) != NULL; errno = 0) {
        int64_t id = id_of(entry->d_name);
        if (id < 0 || (state != NULL && is_named(state, id)))
            continue;
        if (state == NULL) {
            snprintf(error_r->text, sizeof error_r->text,
                     "%s has %s, but manifest.mdb is missing there: restore it from a backup", dir, entry->d_name);
            status = -EBADMSG;
            break;
        }
        run_path(path, dir, (uint64_t)id);
        if (unlink(path) != 0)
            status = store_set_error(error_r, -errno, path, "cannot be removed");
    }
    if (status == 0 && errno != 0)
        status = store_set_error(error_r, -errno, dir, "cannot be read");
    closedir(stream);
    return status;
}

static int open_runs(struct store *store, const struct manifest_state *state, struct store_error *error_r)
{
    store->list = list_make(state->count);
    if (store->list == NULL)
        return store_set_error(error_r, -ENOMEM, store->dir, "cannot be opened");
    for (uint32_t i = 0; i < state->count; i++) {
        struct run *run;
        int status = run_open(&run, store->dir, &state->entries[i], error_r);
        if (status != 0)
            return status;
        run->refs = 1;
        store->list->runs[store->list->count++] = run;
    }
    store->run_count_most = store->list->count;
    return 0;
}

/* A new store's manifest gets its name when it is complete and durable. */
static int make_manifest(const char *dir, const char *path, struct store_error *error_r)
{
    char made[RUN_PATH_BYTES];
    struct manifest_marks marks = {.next_id = 1, .next_seq = 1};
    int status = remove_strays(dir, NULL, error_r);
    if (status != 0)
        return status;
    snprintf(made, sizeof made, "%s/manifest.new", dir);
    if (unlink(made) != 0 && errno != ENOENT)
        status = -errno;
    if (status == 0)
        status = manifest_make(made, &marks);
    if (status == 0 && rename(made, path) != 0)
        status = -errno;
    return status == 0 ? 0 : store_set_error(error_r, status, dir, "cannot write manifest.mdb");
}

static int open_all(struct store *store, struct store_error *error_r)
{
    char path[RUN_PATH_BYTES];
    struct manifest_state state;
    snprintf(path, sizeof path, "%s/manifest.mdb", store->dir);
    int status = access(path, F_OK) == 0 ? 0 : -errno;
    if (status == -ENOENT)
        status = make_manifest(store->dir, path, error_r);
    else if (status != 0)
        store_set_error(error_r, status, path, "cannot be accessed");
    /* Makes its name durable too: a process that was killed may have renamed it just before. */
    if (status == 0 && (status = segment_sync_dir(store->dir)) != 0)
        store_set_error(error_r, status, store->dir, "cannot be synced");
    if (status == 0)
        status = manifest_open(&store->manifest, path, &state, error_r);
    if (status != 0)
        return status;
    store->marks = state.marks;
    store->assigned = state.assigned;
    store->cuts = state.cuts;
    atomic_store(&store->cut_count, state.cuts.count);
    for (uint32_t i = 0; i < state.cuts.count; i++)
        if (state.cuts.list[i]->ts > store->cut_ts_max)
            store->cut_ts_max = state.cuts.list[i]->ts;
    state.cuts = (struct cuts){0};
    status = remove_strays(store->dir, &state, error_r);
    if (status == 0)
        status = open_runs(store, &state, error_r);
    manifest_state_fini(&state);
    return status;
}

int store_open(struct store **store_r, const char *dir, const struct store_options *options,
               struct store_error *error_r)
{
    ASSERT(options->fan_out >= 2);
    ASSERT(options->fan_out <= STORE_FAN_OUT_MAX);
    ASSERT(options->runs_max >= options->fan_out);
    error_r->text[0] = 0;
    if (strlen(dir) + NAME_BYTES_MAX > RUN_PATH_BYTES)
        return store_set_error(error_r, -ENAMETOOLONG, dir, "cannot be opened");
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return store_set_error(error_r, -errno, dir, "cannot be made");
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return store_set_error(error_r, -ENOMEM, dir, "cannot be opened");
    store->options = *options;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->commit_lock, NULL);
    store->dir = strdup(dir);
    store->data_dir = options->data_dir == NULL ? NULL : strdup(options->data_dir);
    bool has_names = store->dir != NULL && (options->data_dir == NULL || store->data_dir != NULL);
    int status = !has_names ? store_set_error(error_r, -ENOMEM, dir, "cannot be opened") : open_all(store, error_r);
    if (status != 0) {
        store_close(&store);
        return status;
    }
    *store_r = store;
    return 0;
}

void store_close(struct store **store)
{
    struct store *closing = *store;
    if (closing == NULL)
        return;
    if (closing->list != NULL) {
        ASSERT(closing->list->refs == 1); /* no reader is left */
        list_unref(closing, closing->list);
    }
    (void)store_take_dead(closing, NULL, 0);
    manifest_close(&closing->manifest);
    cuts_fini(&closing->cuts);
    pthread_mutex_destroy(&closing->lock);
    pthread_mutex_destroy(&closing->commit_lock);
    free(closing->dir);
    free(closing->data_dir);
    free(closing);
    *store = NULL;
}

void store_info(struct store *store, struct store_info *info_r)
{
    *info_r = (struct store_info){0};
    pthread_mutex_lock(&store->lock);
    info_r->run_count = store->list->count;
    info_r->run_count_most = store->run_count_most;
    info_r->run_bytes = store->run_bytes;
    info_r->merge_bytes = store->merge_bytes;
    info_r->last_ts = store->marks.last_ts > store->cut_ts_max ? store->marks.last_ts : store->cut_ts_max;
    info_r->applied = store->marks.applied;
    for (uint32_t i = 0; i < store->list->count; i++) {
        const struct run_entry *entry = &store->list->runs[i]->entry;
        info_r->row_count += entry->rows;
        info_r->ts_max = entry->ts_max > info_r->ts_max ? entry->ts_max : info_r->ts_max;
    }
    pthread_mutex_unlock(&store->lock);
}

bool store_is_at_cap(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    bool is_at_cap = store->list->count >= store->options.runs_max;
    pthread_mutex_unlock(&store->lock);
    return is_at_cap;
}

/* The file is durable. The run is opened before the commit, so that nothing can fail after it. */
static int add_file(struct store *store, const struct run_entry *entry, struct manifest_marks *marks,
                    struct store_error *error_r)
{
    struct run *run = NULL;
    if (entry->entries > 0) {
        int status = run_open(&run, store->dir, entry, error_r);
        if (status != 0)
            return status;
        marks->next_seq = entry->seq_last + 1;
    }
    int status = store->is_in_doubt ? -EIO : store_commit(store, marks, run, NULL, 0);
    if (status != 0) {
        run_close(&run);
        return store_set_error(error_r, status, store->dir, "the manifest cannot be written");
    }
    return 0;
}

int store_check_doubt(struct store *store, struct store_error *error_r)
{
    pthread_mutex_lock(&store->commit_lock);
    bool is_in_doubt = store->is_in_doubt;
    pthread_mutex_unlock(&store->commit_lock);
    if (!is_in_doubt)
        return 0;
    snprintf(error_r->text, sizeof error_r->text,
             "%s/manifest.mdb: a commit failed and may or may not be on the disk, so no more runs are written: look at "
             "the disk and "
             "restart",
             store->dir);
    return -EIO;
}

int store_assign(struct store *store, const struct wal_assigned *assigned, struct store_error *error_r)
{
    if (store_check_doubt(store, error_r) != 0)
        return -EIO;
    pthread_mutex_lock(&store->commit_lock);
    int status = store->is_in_doubt ? -EIO : manifest_assign(store->manifest, assigned);
    if (status == 0)
        store->assigned = *assigned;
    else
        store->is_in_doubt = store->is_in_doubt || manifest_is_in_doubt(store->manifest);
    pthread_mutex_unlock(&store->commit_lock);
    return status == 0 ? 0 : store_set_error(error_r, status, store->dir, "the manifest cannot be written");
}

const struct wal_assigned *store_assigned(const struct store *store)
{
    return &store->assigned;
}

int store_save_cuts(struct store *store, struct store_error *error_r)
{
    struct cuts cuts;
    int status = store_copy_cuts(store, true, &cuts);
    if (status == 0 && !FAULT(CUT_LOST_AT_CHECKPOINT))
        status = manifest_save_cuts(store->manifest, &cuts);
    store->is_in_doubt |= status != 0 && manifest_is_in_doubt(store->manifest);
    for (uint32_t i = 0; i < cuts.count && status == 0; i++) {
        const struct cut *saved = cuts.list[i];
        pthread_mutex_lock(&store->lock);
        struct cut *cut = cuts_find(&store->cuts, cut_user(saved));
        cut->is_saved = cut->ts == saved->ts && cut->since_id == saved->since_id && cut->keys_id == saved->keys_id;
        pthread_mutex_unlock(&store->lock);
    }
    cuts_fini(&cuts);
    return status == 0 ? 0 : store_set_error(error_r, status, store->dir, "the manifest cannot be written");
}

static int on_slice(void *context, uint64_t rows)
{
    const struct store_throttle *throttle = context;
    if (throttle->on_checkpoint_slice != NULL)
        throttle->on_checkpoint_slice(throttle->context, rows);
    return 0;
}

int store_add_run(struct store *store, struct run_source *source, struct store_position applied, uint64_t last_ts,
                  struct store_error *error_r)
{
    char path[RUN_PATH_BYTES];
    if (store_check_doubt(store, error_r) != 0)
        return -EIO;
    struct run_entry entry = {.id = store_take_id(store)};
    if (store_is_at_cap(store))
        return store_set_error(error_r, -EAGAIN, store->dir, "too many runs: a merge must come first");
    struct cutting cutting;
    run_path(path, store->dir, entry.id);
    int status = store_cutting_open(store, source, &cutting);
    if (status == 0) {
        status = run_write(store->dir, cutting.source, &entry, on_slice, &store->throttle);
        store_cutting_close(store, &cutting, status == 0 ? entry.id : 0);
    }
    if (status != 0)
        return store_set_error(error_r, status, path, "cannot be written");
    store_count_bytes(store, entry.file_bytes, 0);
    pthread_mutex_lock(&store->commit_lock);
    struct manifest_marks marks = store_marks(store);
    entry.seq_first = entry.seq_last = marks.next_seq;
    marks.applied = applied;
    marks.last_ts = last_ts;
    status = store->is_in_doubt ? store_set_error(error_r, -EIO, store->dir, "the manifest cannot be written")
                                : store_save_cuts(store, error_r);
    if (status == 0)
        status = add_file(store, &entry, &marks, error_r);
    if (status != 0 && entry.entries > 0 && !store->is_in_doubt)
        (void)unlink(path);
    pthread_mutex_unlock(&store->commit_lock);
    return status;
}
