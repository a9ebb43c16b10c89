/*
 * background.h: the pace of what a shard's checkpoint and merge threads write (storage/throttle.h), between the shard,
 * which knows what comes in, and those threads, which wait between their slices. Nobody waits when the server stops,
 * nor a checkpoint whose next generation is half full.
 */
#ifndef CHITCHAT_DURABILITY_BACKGROUND_H
#define CHITCHAT_DURABILITY_BACKGROUND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "storage/runs/store.h"
#include "storage/runs/throttle.h"

struct background {
    /* Set by init, then only read. */
    struct clock *clock;

    /* Shared. */
    atomic_ullong ingest; /* rows a second; written by the shard */
    atomic_ullong checkpoint_rate;
    atomic_bool is_hurried; /* the checkpoint waits no more */
    atomic_bool is_stopping;

    /* Each owned by its thread. */
    struct throttle checkpoint_throttle;
    struct throttle merge_throttle;
};

void background_init(struct background *background, struct clock *clock);
/* Shard's thread, before the checkpoint is posted: a generation of `rows` was filled within `us`. */
void background_on_freeze(struct background *background, uint64_t rows, uint64_t us);
/* Shard's thread. */
void background_hurry(struct background *background);
void background_stop(struct background *background);
bool background_is_stopping(struct background *background);

/* For store_set_throttle. Borrows. */
struct store_throttle background_throttle(struct background *background);

#endif
