/* offline_rows.c: the rows of a shard's runs and of the WAL, merged by user and ts. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "storage/offline/offline_private.h"
#include "storage/runs/run_walk.h"

/* A run, or the WAL (run NULL), with its next entry. */
struct input {
    struct run *run;
    struct run_walk walk;
    const struct wal_entry *entry;
    const struct wal_entry *entry_end;

    bool is_at_end;
    struct span user;
    struct message message;
};

struct offline_rows {
    struct offline *offline;
    struct offline_shard *shard;
    struct span only; /* if it has bytes: only this user */
    char only_name[LIMIT_USER_BYTES];
    struct input *last; /* whose entry was given last: the next call steps it */
    uint32_t count;
    struct input inputs[];
};

static void report_run(struct offline *offline, const struct offline_shard *shard, const struct run *run,
                       const char *what)
{
    char path[RUN_PATH_BYTES];
    run_path(path, shard->runs_dir, run->entry.id);
    problems_add(offline->problems, "%s: %s: restore the data directory from a backup", path, what);
}

/* Steps over rows that are no entries. */
static int step_to_entry(struct run_walk *walk, struct row_key_fields *row_r)
{
    int result = 0;
    while (result == 0 && !walk->is_at_end && row_key_parse(walk->key, row_r) == 0 && row_r->kind != ROW_ENTRY)
        result = run_walk_step(walk);
    return result;
}

/* Takes the current row of the walk, whose last call gave `result`, into the input. */
static int run_take(struct offline_rows *rows, struct input *input, int result)
{
    struct run_walk *walk = &input->walk;
    struct row_key_fields row = {.kind = ROW_MARKS};
    if (result == 0)
        result = step_to_entry(walk, &row);
    input->is_at_end = walk->is_at_end;
    if (result != 0) {
        report_run(rows->offline, rows->shard, input->run, mdb_strerror(result));
        return manifest_errno(result);
    }
    if (walk->is_at_end)
        return 0;
    input->user = row.user;
    if (row.kind != ROW_ENTRY || row_decode(row.user, row.ts, walk->value, &input->message) != 0) {
        report_run(rows->offline, rows->shard, input->run, "a row cannot be read");
        return -EBADMSG;
    }
    input->is_at_end = rows->only.bytes > 0 && !span_equal(input->user, rows->only);
    return 0;
}

static int wal_take(struct offline_rows *rows, struct input *input)
{
    input->is_at_end = input->entry == input->entry_end;
    if (input->is_at_end)
        return 0;
    offline_entry_view(input->entry, &input->user, &input->message);
    input->is_at_end = rows->only.bytes > 0 && !span_equal(input->user, rows->only);
    return 0;
}

static int step(struct offline_rows *rows, struct input *input)
{
    ASSERT(!input->is_at_end);
    if (input->run != NULL)
        return run_take(rows, input, run_walk_step(&input->walk));
    input->entry++;
    return wal_take(rows, input);
}

static int open_run(struct offline_rows *rows, struct input *input, struct run *run)
{
    /* Starts behind the key index, or at the first row of the one user. */
    uint8_t first[ROW_KEY_BYTES_MAX] = {ROW_KEY_INDEX_PREFIX + 1};
    uint32_t bytes = rows->only.bytes > 0 ? row_key(rows->only, 0, first) : 1;
    input->run = run;
    return run_take(rows, input, run_walk_open(&input->walk, run, (struct span){(const char *)first, bytes}));
}

/* Starts at the first entry of the user, or of all. */
static int open_wal(struct offline_rows *rows, struct input *input)
{
    const struct wal_entry *entries = rows->shard->entries;
    uint64_t low = 0, high = rows->shard->entry_count;
    while (rows->only.bytes > 0 && low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct message message;
        struct span user;
        offline_entry_view(&entries[middle], &user, &message);
        if (span_compare(user, rows->only) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    input->entry = entries + low;
    input->entry_end = entries + rows->shard->entry_count;
    return wal_take(rows, input);
}

int offline_rows_open(struct offline_rows **rows_r, struct offline *offline, uint32_t shard, struct span user)
{
    ASSERT(shard < offline->shard_count);
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    struct offline_shard *own = &offline->shards[shard];
    struct offline_rows *rows = calloc(1, sizeof *rows + (own->run_count + 1) * sizeof rows->inputs[0]);
    if (rows == NULL)
        return -ENOMEM;
    rows->offline = offline;
    rows->shard = own;
    if (user.bytes > 0)
        memcpy(rows->only_name, user.data, user.bytes);
    rows->only = (struct span){rows->only_name, user.bytes};
    int status = 0;
    uint64_t hash = filter_hash(user);
    for (uint32_t i = 0; i < own->run_count && status == 0; i++)
        if (user.bytes == 0 || filter_may_contain(&own->runs[i]->filter, hash))
            status = open_run(rows, &rows->inputs[rows->count++], own->runs[i]);
    if (status == 0 && own->entry_count > 0)
        status = open_wal(rows, &rows->inputs[rows->count++]);
    if (status == 0)
        *rows_r = rows;
    else
        offline_rows_close(&rows);
    return status;
}

void offline_rows_close(struct offline_rows **rows)
{
    if (*rows == NULL)
        return;
    for (uint32_t i = 0; i < (*rows)->count; i++)
        run_walk_close(&(*rows)->inputs[i].walk);
    free(*rows);
    *rows = NULL;
}

static int compare_inputs(const struct input *a, const struct input *b)
{
    int order = span_compare(a->user, b->user);
    return order != 0 ? order : a->message.ts < b->message.ts ? -1 : a->message.ts > b->message.ts;
}

static bool is_same(const struct message *a, const struct message *b)
{
    return a->role == b->role && a->other_ts == b->other_ts && memcmp(a->mid, b->mid, LIMIT_MID_BYTES) == 0
           && span_equal(a->from, b->from) && span_equal(a->to, b->to) && span_equal(a->key, b->key)
           && span_equal(a->text, b->text);
}

/* Steps `input` over all entries of the user and ts of `last`, of which the WAL may have several. */
static int step_over(struct offline_rows *rows, struct input *input, const struct input *last)
{
    int status = 0;
    while (status == 0 && !input->is_at_end && compare_inputs(input, last) == 0) {
        if (!is_same(&input->message, &last->message))
            problems_add(rows->offline->problems, "two messages stand at ts %" PRIu64 " in the timeline of %.*s",
                         input->message.ts, (int)input->user.bytes, input->user.data);
        status = step(rows, input);
    }
    return status;
}

/* The entry that was given last is borrowed from its input, so the other inputs step over it first. */
static int step_over_last(struct offline_rows *rows)
{
    int status = 0;
    ASSERT(rows->last != NULL);
    for (uint32_t i = 0; i < rows->count && status == 0; i++)
        if (&rows->inputs[i] != rows->last)
            status = step_over(rows, &rows->inputs[i], rows->last);
    if (status != 0)
        return status;
    struct input given = *rows->last;
    status = step(rows, rows->last);
    return status == 0 ? step_over(rows, rows->last, &given) : status;
}

/* Moves rows->last to the next entry, cut or not; NULL: the end. */
static int next(struct offline_rows *rows)
{
    int status = rows->last == NULL ? 0 : step_over_last(rows);
    if (status != 0)
        return status;
    struct input *best = NULL;
    for (uint32_t i = 0; i < rows->count; i++) {
        struct input *input = &rows->inputs[i];
        if (!input->is_at_end && (best == NULL || compare_inputs(input, best) < 0))
            best = input;
    }
    rows->last = best;
    return 0;
}

static bool is_cut(const struct offline_rows *rows, const struct input *input)
{
    return input->message.ts <= cuts_ts(&rows->shard->cuts, input->user);
}

int offline_rows_next(struct offline_rows *rows, struct span *user_r, struct message *message_r)
{
    int status;
    do {
        status = next(rows);
    } while (status == 0 && rows->last != NULL && is_cut(rows, rows->last));
    if (status != 0 || rows->last == NULL)
        return status;
    *user_r = rows->last->user;
    *message_r = rows->last->message;
    return 1;
}

/* -- one entry -- */

static bool wal_has(const struct offline_shard *shard, struct span user, uint64_t ts)
{
    uint64_t low = 0, high = shard->entry_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct message message;
        struct span name;
        offline_entry_view(&shard->entries[middle], &name, &message);
        int order = span_compare(name, user);
        if (order == 0 && message.ts == ts)
            return true;
        if (order < 0 || (order == 0 && message.ts < ts))
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* 1, 0 or -errno. */
static int run_has(struct run *run, struct span user, uint64_t ts)
{
    uint8_t key[ROW_KEY_BYTES_MAX];
    MDB_cursor *cursor;
    int status = run_slot_cursor(run, 0, &cursor);
    if (status != 0)
        return status;
    MDB_val at = {.mv_size = row_key(user, ts, key), .mv_data = key}, value;
    int result = mdb_cursor_get(cursor, &at, &value, MDB_SET);
    return result == 0 ? 1 : result == MDB_NOTFOUND ? 0 : manifest_errno(result);
}

int offline_has_entry(struct offline *offline, struct span user, uint64_t ts)
{
    struct offline_shard *shard = &offline->shards[datadir_shard_of(offline->datadir, user)];
    uint64_t hash = filter_hash(user);
    int has = wal_has(shard, user, ts);
    for (uint32_t i = 0; i < shard->run_count && has == 0; i++) {
        if (filter_may_contain(&shard->runs[i]->filter, hash))
            has = run_has(shard->runs[i], user, ts);
        if (has < 0)
            report_run(offline, shard, shard->runs[i], "a row cannot be read");
    }
    return has;
}
