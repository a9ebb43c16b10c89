/* merge_source.c: the rows of several runs in key order, for a merge. Marks of a pair in several runs become their
 * maximum. Indexes by peer are given too; the writer of a run makes its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/list.h"
#include "storage/runs/run_walk.h"
#include "storage/runs/store_private.h"

struct merge_source {
    struct run_source source;
    bool is_begun;  /* the inputs are open */
    bool has_given; /* the row of order[0] was given: its input has not stepped since */
    bool is_twice;  /* and order[1] has the same key */
    uint8_t marks[ROW_MARKS_BYTES];
    uint32_t input_count;
    uint32_t count;          /* of `order` */
    struct run_walk **order; /* the inputs that are not at their end, by their keys; stored behind `inputs` */
    struct run **runs;       /* of the inputs; stored behind `order` */
    struct run_walk inputs[];
};

/* order[at] has a larger key than before, or is at its end: moves it to its place, or out of `order`. */
static void sink(struct merge_source *source, uint32_t at)
{
    struct run_walk **order = source->order, *moved = order[at];
    for (; at + 1 < source->count; at++) {
        if (!moved->is_at_end && span_compare(moved->key, order[at + 1]->key) <= 0)
            break;
        order[at] = order[at + 1];
    }
    order[at] = moved;
    source->count -= moved->is_at_end;
}

static int step(struct merge_source *source, uint32_t at)
{
    struct run_walk *input = source->order[at];
    int result = run_walk_step(input);
    if (FAULT(MERGE_DROPS_ROWS) && result == 0 && !input->is_at_end && (uint8_t)input->value.data[0] % 16 == 0)
        result = run_walk_step(input);
    sink(source, at);
    return manifest_errno(result);
}

static bool has_equal(const struct merge_source *source, uint32_t at)
{
    return source->count > at && span_equal(source->order[0]->key, source->order[at]->key);
}

/* A crash between a manifest commit and the release of segments can put a row into several runs: it is given once. */
static int step_over_given(struct merge_source *source)
{
    int status = 0;
    while (status == 0 && source->is_twice) {
        status = step(source, 1);
        source->is_twice = has_equal(source, 1);
    }
    return status == 0 ? step(source, 0) : status;
}

static uint64_t merged_mark(uint64_t a, uint64_t b)
{
    if (FAULT(MARKS_BACK_IN_MERGE) && a > 0 && b > 0)
        return a < b ? a : b;
    return a > b ? a : b;
}

/* The greatest marks of those at order[0] and behind it with the same key. */
static struct span merge_marks(struct merge_source *source)
{
    struct seen_marks marks, other;
    struct span value = source->order[0]->value;
    if (row_decode_marks(value, &marks) != 0)
        return value;
    for (uint32_t i = 1; has_equal(source, i); i++) {
        if (row_decode_marks(source->order[i]->value, &other) != 0)
            return source->order[i]->value;
        marks.seen = merged_mark(marks.seen, other.seen);
        marks.seen_by = merged_mark(marks.seen_by, other.seen_by);
    }
    row_encode_marks(marks, source->marks);
    return (struct span){(const char *)source->marks, sizeof source->marks};
}

/* Puts the input to the front, and then moves it to its place. */
static int add_input(struct merge_source *source, struct run_walk *input, struct run *run)
{
    int result = run_walk_open(input, run, (struct span){"", 0});
    if (result != 0)
        return manifest_errno(result);
    memmove(source->order + 1, source->order, source->count++ * sizeof source->order[0]);
    source->order[0] = input;
    sink(source, 0);
    return 0;
}

/* Opens the inputs with the first row and not before: that reads pages, for which the caller of `next` has a guard. */
static int begin(struct merge_source *source)
{
    int status = 0;
    source->is_begun = true;
    for (uint32_t i = 0; i < source->input_count && status == 0; i++)
        status = add_input(source, &source->inputs[i], source->runs[i]);
    return status;
}

static int source_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct merge_source *source = container_of(base, struct merge_source, source);
    struct row_key_fields row;
    int status = source->is_begun ? 0 : begin(source);
    if (source->has_given)
        status = step_over_given(source);
    source->has_given = status == 0 && source->count > 0;
    if (!source->has_given)
        return status;
    *key_r = source->order[0]->key;
    *value_r = source->order[0]->value;
    source->is_twice = has_equal(source, 1);
    if (source->is_twice && row_key_parse(*key_r, &row) == 0 && row.kind == ROW_MARKS)
        *value_r = merge_marks(source);
    return 1;
}

static void source_close(struct run_source *base)
{
    struct merge_source *source = container_of(base, struct merge_source, source);
    for (uint32_t i = 0; i < source->input_count; i++)
        run_walk_close(&source->inputs[i]);
    free(source);
}

int merge_source_open(struct run_source **source_r, struct run *const *runs, uint32_t count)
{
    size_t input_bytes = sizeof(struct run_walk) + sizeof(struct run_walk *) + sizeof(struct run *);
    struct merge_source *source = calloc(1, sizeof *source + count * input_bytes);
    if (source == NULL)
        return -ENOMEM;
    source->source = (struct run_source){source_next, source_close};
    source->order = (struct run_walk **)(void *)&source->inputs[count];
    source->runs = (struct run **)(void *)&source->order[count];
    source->input_count = count;
    for (uint32_t i = 0; i < count; i++)
        source->runs[i] = runs[i];
    *source_r = &source->source;
    return 0;
}
