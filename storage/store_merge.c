/* store_merge.c: several runs, adjacent in time, become one of the next level. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/list.h"
#include "storage/hold.h"
#include "storage/store_private.h"

#define READAHEAD_BYTES (UINT64_C(4) << 20)

/* One input: its newest row, and how far the kernel has been asked to read ahead (the environment itself reads none).
 */
struct merge_input {
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    bool is_at_end;
    int fd;
    const char *map;
    uint64_t ahead_bytes;
};

struct merge_source {
    struct run_source source;
    uint32_t count;
    struct merge_input *last; /* whose row was given last: it steps first */
    struct merge_input inputs[];
};

static struct span span_of_val(MDB_val value)
{
    return (struct span){value.mv_data, value.mv_size};
}

/* Pages were written in the order of their keys: the place of the row says how far the reading has come. */
static void read_ahead(struct merge_input *input)
{
    uint64_t at = (uint64_t)((const char *)input->key.mv_data - input->map);
    if (at + READAHEAD_BYTES / 2 < input->ahead_bytes)
        return;
    (void)readahead(input->fd, (off64_t)input->ahead_bytes, READAHEAD_BYTES);
    input->ahead_bytes += READAHEAD_BYTES;
}

/* The rows end where the filter begins. */
static int input_step(struct merge_input *input, MDB_cursor_op op)
{
    int result = mdb_cursor_get(input->cursor, &input->key, &input->value, op);
    if (result == MDB_NOTFOUND || (result == 0 && *(const uint8_t *)input->key.mv_data == RUN_FILTER_PREFIX)) {
        input->is_at_end = true;
        return 0;
    }
    if (result == 0)
        read_ahead(input);
    return manifest_errno(result);
}

static int input_open(struct merge_input *input, struct run *run)
{
    MDB_envinfo info;
    int result = mdb_txn_begin(run->env, NULL, MDB_RDONLY, &input->txn);
    if (result == 0)
        result = mdb_cursor_open(input->txn, run->dbi, &input->cursor);
    if (result == 0)
        result = mdb_env_get_fd(run->env, &input->fd);
    if (result != 0)
        return manifest_errno(result);
    mdb_env_info(run->env, &info);
    input->map = info.me_mapaddr;
    return input_step(input, MDB_FIRST);
}

static struct merge_input *smallest(struct merge_source *source)
{
    struct merge_input *best = NULL;
    for (uint32_t i = 0; i < source->count; i++) {
        struct merge_input *input = &source->inputs[i];
        if (!input->is_at_end && (best == NULL || span_compare(span_of_val(input->key), span_of_val(best->key)) < 0))
            best = input;
    }
    return best;
}

/* A row that a crash between manifest and log release brought into two runs is given once. The key given last stands in
 * its map until its input has stepped, so the others step over it first. */
static int step_over_last(struct merge_source *source)
{
    struct merge_input *last = source->last;
    for (uint32_t i = 0; i < source->count; i++) {
        struct merge_input *input = &source->inputs[i];
        if (input == last || input->is_at_end || !span_equal(span_of_val(input->key), span_of_val(last->key)))
            continue;
        int status = input_step(input, MDB_NEXT);
        if (status != 0)
            return status;
    }
    return input_step(last, MDB_NEXT);
}

static int source_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct merge_source *source = container_of(base, struct merge_source, source);
    int status = source->last == NULL ? 0 : step_over_last(source);
    if (status != 0)
        return status;
    source->last = smallest(source);
    if (source->last == NULL)
        return 0;
    *key_r = span_of_val(source->last->key);
    *value_r = span_of_val(source->last->value);
    return 1;
}

static void source_close(struct run_source *base)
{
    struct merge_source *source = container_of(base, struct merge_source, source);
    for (uint32_t i = 0; i < source->count; i++) {
        if (source->inputs[i].cursor != NULL)
            mdb_cursor_close(source->inputs[i].cursor);
        if (source->inputs[i].txn != NULL)
            mdb_txn_abort(source->inputs[i].txn);
    }
    free(source);
}

int merge_source_open(struct run_source **source_r, struct run *const *runs, uint32_t count)
{
    struct merge_source *source = calloc(1, sizeof *source + count * sizeof source->inputs[0]);
    if (source == NULL)
        return -ENOMEM;
    source->source = (struct run_source){source_next, source_close};
    source->count = count;
    for (uint32_t i = 0; i < count; i++) {
        int status = input_open(&source->inputs[i], runs[i]);
        if (status != 0) {
            source_close(&source->source);
            return status;
        }
    }
    *source_r = &source->source;
    return 0;
}

/* Runs that one merge takes: adjacent in the list. */
struct choice {
    uint32_t begin;
    uint32_t count;
};

static bool fits(const struct run_list *list, struct choice choice)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < choice.count; i++)
        bytes += list->runs[choice.begin + i]->entry.file_bytes;
    return bytes < RUN_MAP_BYTES / 2;
}

/* The oldest `fan_out` adjacent runs of the lowest level that has so many. */
static struct choice choose_level(const struct run_list *list, uint32_t fan_out)
{
    struct choice best = {0};
    uint32_t begin = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->runs[i]->entry.level != list->runs[begin]->entry.level)
            begin = i;
        struct choice choice = {begin, fan_out};
        if (i - begin + 1 < fan_out || !fits(list, choice))
            continue;
        if (best.count == 0 || list->runs[begin]->entry.level < list->runs[best.begin]->entry.level)
            best = choice;
    }
    return best;
}

/* At the cap something must go, though no level is full: the neighbours with the fewest rows. */
static struct choice choose_smallest(const struct run_list *list, uint32_t fan_out)
{
    struct choice best = {0};
    uint64_t best_rows = 0;
    for (uint32_t begin = 0; begin + fan_out <= list->count; begin++) {
        struct choice choice = {begin, fan_out};
        uint64_t rows = 0;
        for (uint32_t i = 0; i < fan_out; i++)
            rows += list->runs[begin + i]->entry.rows;
        if (fits(list, choice) && (best.count == 0 || rows < best_rows)) {
            best = choice;
            best_rows = rows;
        }
    }
    return best;
}

static struct choice choose(const struct store *store, const struct run_list *list)
{
    struct choice choice = choose_level(list, store->options.fan_out);
    if (choice.count == 0 && list->count >= store->options.runs_max)
        choice = choose_smallest(list, store->options.fan_out);
    return choice;
}

bool store_merge_is_due(struct store *store)
{
    struct run_list *list = store_pin(store);
    bool is_due = choose(store, list).count > 0 || atomic_load(&store->held_count) > 0;
    store_unpin(store, list);
    return is_due;
}

struct stopper {
    bool (*should_stop)(void *context);
    void *context;
};

static int on_slice(void *context, uint64_t entries)
{
    const struct stopper *stopper = context;
    (void)entries;
    return stopper->should_stop != NULL && stopper->should_stop(stopper->context) ? -ECANCELED : 0;
}

static struct run_entry entry_of(struct store *store, struct run *const *inputs, uint32_t count)
{
    struct run_entry entry = {.id = store_take_id(store),
                              .seq_first = inputs[0]->entry.seq_first,
                              .seq_last = inputs[count - 1]->entry.seq_last};
    bool is_one_level = true;
    for (uint32_t i = 0; i < count; i++) {
        is_one_level &= inputs[i]->entry.level == inputs[0]->entry.level;
        entry.level = inputs[i]->entry.level > entry.level ? inputs[i]->entry.level : entry.level;
    }
    entry.level += is_one_level;
    return entry;
}

static int write_merged(struct store *store, struct run *const *inputs, uint32_t count, struct run_entry *entry,
                        struct stopper *stopper)
{
    struct run_source *source;
    int status = merge_source_open(&source, inputs, count);
    if (status != 0)
        return status;
    status = run_write(store->dir, source, entry, on_slice, stopper);
    run_source_close(&source);
    return status;
}

static int commit_merged(struct store *store, struct run *const *inputs, uint32_t count, const struct run_entry *entry,
                         struct store_error *error_r)
{
    char path[RUN_PATH_BYTES];
    struct run *run = NULL;
    int status = run_open(&run, store->dir, entry, error_r);
    pthread_mutex_lock(&store->commit_lock);
    if (status == 0) {
        struct manifest_marks marks = store_marks(store);
        status = store->is_in_doubt ? -EIO : store_commit(store, &marks, run, inputs, count);
        if (status != 0)
            store_tell(error_r, status, store->dir, "the manifest cannot be written");
    }
    bool is_in_doubt = store->is_in_doubt;
    pthread_mutex_unlock(&store->commit_lock);
    if (status != 0) {
        run_close(&run);
        run_path(path, store->dir, entry->id);
        if (!is_in_doubt)
            (void)unlink(path);
    }
    return status;
}

/* Unlinks what is held, if nothing holds it any more, or it is too much. What stays is removed by the next start. */
static void unlink_held(struct store *store)
{
    char path[RUN_PATH_BYTES];
    uint32_t count = atomic_load(&store->held_count);
    int hold_fd = store->data_dir == NULL ? -1 : hold_share(store->data_dir);
    bool is_held = store->data_dir != NULL && hold_fd < 0;
    if (is_held && (count < STORE_HELD_MAX || hold_overtake(store->data_dir) != 0))
        return;
    for (uint32_t i = 0; i < count; i++) {
        run_path(path, store->dir, store->held_ids[i]);
        (void)unlink(path);
    }
    atomic_store(&store->held_count, 0);
    hold_give(hold_fd);
}

/* Past the room for them they stay on the disk till the next start. */
static void drop_files(struct store *store, struct run *const *runs, uint32_t run_count)
{
    uint32_t count = atomic_load(&store->held_count);
    for (uint32_t i = 0; i < run_count && count < STORE_HELD_MAX; i++)
        store->held_ids[count++] = runs[i]->entry.id;
    atomic_store(&store->held_count, count);
    unlink_held(store);
}

static int merge(struct store *store, struct run *const *inputs, uint32_t count, struct stopper *stopper,
                 struct store_error *error_r)
{
    char path[RUN_PATH_BYTES];
    struct run_entry entry = entry_of(store, inputs, count);
    run_path(path, store->dir, entry.id);
    int status = write_merged(store, inputs, count, &entry, stopper);
    if (status == -ECANCELED)
        return status;
    if (status != 0)
        return store_tell(error_r, status, path, "a merge cannot be written");
    status = commit_merged(store, inputs, count, &entry, error_r);
    if (status == 0)
        drop_files(store, inputs, count);
    return status;
}

int store_merge_run(struct store *store, bool (*should_stop)(void *context), void *context, struct store_error *error_r)
{
    struct stopper stopper = {should_stop, context};
    error_r->text[0] = 0;
    struct run_list *list = store_pin(store);
    struct choice choice = choose(store, list);
    if (atomic_load(&store->held_count) > 0)
        unlink_held(store);
    bool is_held = atomic_load(&store->held_count) > 0;
    int status = choice.count == 0 ? (is_held ? -ECANCELED : 0)
                                   : merge(store, list->runs + choice.begin, choice.count, &stopper, error_r);
    store_unpin(store, list);
    store_close_dead(store);
    return status;
}
