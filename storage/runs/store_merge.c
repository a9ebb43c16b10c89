/* store_merge.c: several runs, adjacent in time, become one of the next level. */
#include <errno.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"
#include "storage/datadir/backup_lock.h"
#include "storage/runs/merge_rule.h"
#include "storage/runs/run_remove.h"
#include "storage/runs/store_private.h"

/* The caller of store_merge_run. */
struct caller {
    bool (*should_stop)(void *context);
    void *context;
    struct store_error *error_r;
};

/* An unfinished merge. */
struct merge {
    struct store *store;
    const struct caller *caller;
    struct merge_outer size;
    bool is_gone; /* nothing of the one input is to stay: it is dropped unread */
    uint32_t count;
    struct run *inputs[STORE_FAN_OUT_MAX]; /* referenced, and marked is_taken */
};

static struct merge_choice choose(const struct store *store, const struct run_list *list,
                                  const struct merge_outer *outer)
{
    struct merge_options options = {store->options.runs_max, store->options.fan_out, RUN_BYTES_MAX};
    struct merge_run runs[list->count + 1];
    for (uint32_t i = 0; i < list->count; i++) {
        const struct run *run = list->runs[i];
        runs[i] = (struct merge_run){run->entry.level, run->entry.rows, run->entry.file_bytes, run->is_taken};
    }
    return merge_rule_choose(runs, list->count, &options, outer);
}

/* A run of a version without the index by peer, borrowed from the list; NULL: none. */
static struct run *find_unindexed(const struct run_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->runs[i]->entry.index_version == 0 && !list->runs[i]->is_taken)
            return list->runs[i];
    return NULL;
}

bool store_merge_is_due(struct store *store)
{
    struct run_list *list = store_ref_list(store);
    bool is_due =
        choose(store, list, NULL).count > 0 || atomic_load(&store->kept_count) > 0 || find_unindexed(list) != NULL;
    store_unref_list(store, list);
    return is_due || store_has_dead(store) || store_look_is_due(store);
}

/* Chooses the runs to merge next, refs and marks them. False: there are none. */
static bool merge_begin(struct merge *merge, const struct merge_outer *outer)
{
    struct run_list *list = store_ref_list(merge->store);
    struct merge_choice choice = choose(merge->store, list, outer);
    ASSERT(choice.count <= STORE_FAN_OUT_MAX);
    for (uint32_t i = 0; i < choice.count; i++) {
        struct run *run = list->runs[choice.begin + i];
        store_ref_run(merge->store, run);
        run->is_taken = true;
        merge->inputs[merge->count++] = run;
        merge->size.rows += run->entry.rows;
        merge->size.level = run->entry.level > merge->size.level ? run->entry.level : merge->size.level;
    }
    store_unref_list(merge->store, list);
    return merge->count > 0;
}

/* The one input is `run`, whose reference becomes the merge's. */
static void merge_begin_one(struct merge *merge, struct run *run)
{
    run->is_taken = true;
    merge->inputs[merge->count++] = run;
    merge->size = (struct merge_outer){run->entry.level, run->entry.rows};
    merge->is_gone = store_run_is_gone(merge->store, run);
}

static void merge_end(struct merge *merge)
{
    for (uint32_t i = 0; i < merge->count; i++) {
        ASSERT(merge->inputs[i]->is_taken);
        merge->inputs[i]->is_taken = false;
        store_unref_run(merge->store, merge->inputs[i]);
    }
}

static struct run_entry entry_of(struct store *store, struct run *const *inputs, uint32_t count)
{
    ASSERT(count >= 1);
    struct run_entry entry = {.id = store_take_id(store),
                              .seq_first = inputs[0]->entry.seq_first,
                              .seq_last = inputs[count - 1]->entry.seq_last};
    bool is_one_level = count > 1; /* a run that is rewritten alone keeps its level */
    for (uint32_t i = 0; i < count; i++) {
        is_one_level &= inputs[i]->entry.level == inputs[0]->entry.level;
        entry.level = inputs[i]->entry.level > entry.level ? inputs[i]->entry.level : entry.level;
    }
    entry.level += is_one_level;
    return entry;
}

/* The state after a slice. A row rises to the highest level that a run has or that is being written. */
static struct store_slice slice_of(struct store *store, uint64_t rows)
{
    struct store_slice slice = {.rows = rows, .levels = 1, .runs_max = store->options.runs_max};
    struct run_list *list = store_ref_list(store);
    slice.run_count = list->count;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t level = list->runs[i]->entry.level + list->runs[i]->is_taken;
        slice.levels = level > slice.levels ? level : slice.levels;
    }
    store_unref_list(store, list);
    return slice;
}

static int merge_next(struct store *store, const struct caller *caller, const struct merge_outer *outer);

/* Between two slices: calls the throttle, and does the shorter merges that have become due. */
static int on_slice(void *context, uint64_t rows)
{
    struct merge *merge = context;
    const struct caller *caller = merge->caller;
    const struct store_throttle *throttle = &merge->store->throttle;
    int status = 1;
    if (caller->should_stop != NULL && caller->should_stop(caller->context))
        return -ECANCELED;
    if (throttle->on_merge_slice != NULL) {
        struct store_slice slice = slice_of(merge->store, rows);
        throttle->on_merge_slice(throttle->context, &slice);
    }
    while (status == 1)
        status = merge_next(merge->store, caller, &merge->size);
    return status;
}

static int write_merged(struct merge *merge, struct run_entry *entry)
{
    struct run_source *source;
    struct cutting cutting;
    if (merge->is_gone)
        return 0;
    int status = merge_source_open(&source, merge->inputs, merge->count);
    if (status != 0)
        return status;
    status = store_cutting_open(merge->store, source, &cutting);
    if (status == 0) {
        struct run_source *from = FAULT(CUT_IGNORED_BY_MERGE) ? source : cutting.source;
        status = run_write(merge->store->dir, from, entry, on_slice, merge);
        store_cutting_close(merge->store, &cutting, status == 0 ? entry->id : 0);
    }
    run_source_close(&source);
    return status;
}

/* Under commit_lock. */
static int commit_run(struct store *store, struct run *run, struct run *const *inputs, uint32_t count,
                      struct store_error *error_r)
{
    struct manifest_marks marks = store_marks(store);
    int status = store->is_in_doubt ? -EIO : store_save_cuts(store, error_r);
    if (status == 0)
        status = store_commit(store, &marks, run, inputs, count);
    return status == 0 ? 0 : store_set_error(error_r, status, store->dir, "the manifest cannot be written");
}

static int commit_merged(struct store *store, struct run *const *inputs, uint32_t count, const struct run_entry *entry,
                         struct store_error *error_r)
{
    char path[RUN_PATH_BYTES];
    struct run *run = NULL;
    int status = entry->entries == 0 ? 0 : run_open(&run, store->dir, entry, error_r);
    pthread_mutex_lock(&store->commit_lock);
    if (status == 0)
        status = commit_run(store, run, inputs, count, error_r);
    bool is_in_doubt = store->is_in_doubt;
    pthread_mutex_unlock(&store->commit_lock);
    if (status != 0) {
        run_close(&run);
        run_path(path, store->dir, entry->id);
        if (!is_in_doubt && entry->entries > 0)
            (void)unlink(path);
    }
    return status;
}

/* Whether a backup may still link files that are to be removed. A backup that begins now does not find them in the
 * manifest. */
static bool must_keep(struct store *store, uint32_t count)
{
    if (store->data_dir == NULL)
        return false;
    int lock_fd = backup_lock_share(store->data_dir);
    backup_lock_give(lock_fd);
    return lock_fd < 0 && (count < STORE_KEPT_MAX || backup_lock_overtake(store->data_dir) != 0);
}

/* Removes one file, which no backup links any more. A file that a backup still copies stays, to be removed in steps
 * later. Without room for more such files it only loses its name: its blocks are freed all at once when the backup
 * closes it. */
static int remove_file(struct store *store, uint64_t id, bool has_room, const struct caller *caller)
{
    char path[RUN_PATH_BYTES];
    run_path(path, store->dir, id);
    int status = run_remove(path, caller->should_stop, caller->context);
    if (status == -EBUSY && !has_room)
        status = unlink(path) == 0 ? 0 : -errno;
    return status;
}

/* Removes the files of merged runs without references. Files that must be kept for a backup, or for which kept_ids has
 * no room, are removed later, at the latest by the next start. */
static void remove_files(struct store *store, const struct caller *caller)
{
    uint32_t count = atomic_load(&store->kept_count);
    count += store_take_dead(store, store->kept_ids + count, STORE_KEPT_MAX - count);
    atomic_store(&store->kept_count, count);
    if (count == 0 || must_keep(store, count))
        return;
    bool has_room = count < STORE_KEPT_MAX;
    int status = 0;
    for (uint32_t i = count; i > 0 && status != -ECANCELED; i--) {
        status = remove_file(store, store->kept_ids[i - 1], has_room, caller);
        if (status == -ECANCELED || status == -EBUSY)
            continue;
        store->kept_ids[i - 1] = store->kept_ids[--count];
        atomic_store(&store->kept_count, count);
    }
}

static int merge_run(struct merge *merge)
{
    char path[RUN_PATH_BYTES];
    struct store *store = merge->store;
    struct store_error *error_r = merge->caller->error_r;
    struct run_entry entry = entry_of(store, merge->inputs, merge->count);
    run_path(path, store->dir, entry.id);
    int status = write_merged(merge, &entry);
    if (status == -ECANCELED)
        return status;
    if (status != 0)
        return error_r->text[0] != 0 ? status : store_set_error(error_r, status, path, "a merge cannot read or write");
    store_count_bytes(store, 0, entry.file_bytes);
    for (uint32_t i = 0; i < merge->count && FAULT(UNLINK_BEFORE_COMMIT); i++) {
        run_path(path, store->dir, merge->inputs[i]->entry.id);
        (void)unlink(path);
    }
    return commit_merged(store, merge->inputs, merge->count, &entry, error_r);
}

static int merge_do(struct merge *merge)
{
    int status = merge_run(merge);
    merge_end(merge);
    remove_files(merge->store, merge->caller);
    return status == 0 ? 1 : status;
}

/* With a reference; NULL: none. */
static struct run *take_unindexed(struct store *store)
{
    struct run_list *list = store_ref_list(store);
    struct run *run = find_unindexed(list);
    if (run != NULL)
        store_ref_run(store, run);
    store_unref_list(store, list);
    return run;
}

/* Does one merge. 1: done; 0: none is due; or -errno. Between the slices of another one no run is rewritten alone. */
static int merge_next(struct store *store, const struct caller *caller, const struct merge_outer *outer)
{
    struct merge merge = {.store = store, .caller = caller};
    struct run *stale = NULL;
    if (merge_begin(&merge, outer))
        return merge_do(&merge);
    int status = outer == NULL ? store_find_stale(store, &stale) : 0;
    if (stale == NULL && status == 0 && outer == NULL)
        stale = take_unindexed(store);
    if (stale == NULL)
        return status;
    merge_begin_one(&merge, stale);
    return merge_do(&merge);
}

int store_merge_run(struct store *store, bool (*should_stop)(void *context), void *context, struct store_error *error_r)
{
    struct caller caller = {should_stop, context, error_r};
    error_r->text[0] = 0;
    if (store_check_doubt(store, error_r) != 0)
        return -EIO;
    remove_files(store, &caller);
    int status = merge_next(store, &caller, NULL);
    if (status == 0 && atomic_load(&store->kept_count) > 0)
        status = -ECANCELED;
    return status < 0 ? status : 0;
}

/* A run below number `limit_id`, with a reference; NULL: none. */
static struct run *take_below(struct store *store, uint64_t limit_id)
{
    struct run *run = NULL;
    struct run_list *list = store_ref_list(store);
    for (uint32_t i = 0; i < list->count && run == NULL; i++)
        if (list->runs[i]->entry.id < limit_id)
            run = list->runs[i];
    if (run != NULL)
        store_ref_run(store, run);
    store_unref_list(store, list);
    return run;
}

int store_compact(struct store *store, struct store_error *error_r)
{
    struct caller caller = {NULL, NULL, error_r};
    struct run *run;
    error_r->text[0] = 0;
    int status = store_check_doubt(store, error_r) == 0 ? 1 : -EIO;
    uint64_t limit_id = store_marks(store).next_id;
    store->drops_keys = true;
    while (status == 1 && (run = take_below(store, limit_id)) != NULL) {
        struct merge merge = {.store = store, .caller = &caller};
        merge_begin_one(&merge, run);
        status = merge_do(&merge);
    }
    store->drops_keys = false;
    return status < 0 ? status : 0;
}
