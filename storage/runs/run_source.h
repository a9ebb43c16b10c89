/*
 * run_source.h: rows in strictly ascending key order, pulled one by one: what a run is written from. A frozen
 * memtable is one (checkpoint), several runs merged are another (merge).
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_SOURCE_H
#define CHITCHAT_STORAGE_RUNS_RUN_SOURCE_H

#include "base/span.h"

struct run_source {
    /* The next row: 1 and both spans (borrowed until the next call), 0 at the end, or -errno. */
    int (*next)(struct run_source *source, struct span *key_r, struct span *value_r);
    void (*close)(struct run_source *source);
};

static inline int run_source_next(struct run_source *source, struct span *key_r, struct span *value_r)
{
    return source->next(source, key_r, value_r);
}

/* Nulls *source. */
static inline void run_source_close(struct run_source **source)
{
    if (*source != NULL)
        (*source)->close(*source);
    *source = NULL;
}

#endif
