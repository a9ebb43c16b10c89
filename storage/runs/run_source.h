/*
 * run_source.h: a source of rows in strictly ascending key order, from which a run is written: a frozen memtable
 * (memtable_source_open) or several runs (merge_source_open). One thread a source.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_SOURCE_H
#define CHITCHAT_STORAGE_RUNS_RUN_SOURCE_H

#include "base/span.h"

struct run_source {
    /* 1 and the next row, both spans borrowed until the next call; 0 at the end; or -errno. */
    int (*next)(struct run_source *source, struct span *key_r, struct span *value_r);
    void (*close)(struct run_source *source); /* frees the source */
};

/* As `next`. */
static inline int run_source_next(struct run_source *source, struct span *key_r, struct span *value_r)
{
    return source->next(source, key_r, value_r);
}

/* Nulls *source; NULL is fine. */
static inline void run_source_close(struct run_source **source)
{
    if (*source != NULL)
        (*source)->close(*source);
    *source = NULL;
}

#endif
