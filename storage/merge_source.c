/* merge_source.c: the rows of several runs as one, in key order: what a merge writes. */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/list.h"
#include "storage/run_walk.h"
#include "storage/store_private.h"

struct merge_source {
    struct run_source source;
    uint32_t count;
    struct run_walk *last; /* whose row was given last: it steps first */
    struct run_walk inputs[];
};

static int input_step(struct run_walk *input)
{
    int result = run_walk_step(input);
    if (FAULT(MERGE_DROPS_ROWS) && result == 0 && !input->is_at_end && (uint8_t)input->value.data[0] % 16 == 0)
        result = run_walk_step(input);
    return manifest_errno(result);
}

static struct run_walk *smallest(struct merge_source *source)
{
    struct run_walk *best = NULL;
    for (uint32_t i = 0; i < source->count; i++) {
        struct run_walk *input = &source->inputs[i];
        if (!input->is_at_end && (best == NULL || span_compare(input->key, best->key) < 0))
            best = input;
    }
    return best;
}

/* A row that a crash between manifest and log release brought into two runs is given once. The key given last stands in
 * its map until its input has stepped, so the others step over it first. */
static int step_over_last(struct merge_source *source)
{
    struct run_walk *last = source->last;
    for (uint32_t i = 0; i < source->count; i++) {
        struct run_walk *input = &source->inputs[i];
        if (input == last || input->is_at_end || !span_equal(input->key, last->key))
            continue;
        int status = input_step(input);
        if (status != 0)
            return status;
    }
    return input_step(last);
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
    *key_r = source->last->key;
    *value_r = source->last->value;
    return 1;
}

static void source_close(struct run_source *base)
{
    struct merge_source *source = container_of(base, struct merge_source, source);
    for (uint32_t i = 0; i < source->count; i++)
        run_walk_close(&source->inputs[i]);
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
        int status = manifest_errno(run_walk_open(&source->inputs[i], runs[i], (struct span){"", 0}));
        if (status != 0) {
            source_close(&source->source);
            return status;
        }
    }
    *source_r = &source->source;
    return 0;
}
