/* merge_source.c: the rows of several runs as one, in key order: what a merge writes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/list.h"
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
    if (FAULT(MERGE_DROPS_ROWS) && result == 0 && op == MDB_NEXT && *(uint8_t *)input->value.mv_data % 16 == 0)
        result = mdb_cursor_get(input->cursor, &input->key, &input->value, op);
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
