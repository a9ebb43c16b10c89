/*
 * background.h: throttles what a shard's checkpoint and merge threads write (storage/runs/throttle.h). The shard, which
 * knows how fast entries come in, sets the rates; those threads wait between their slices. Neither waits when the
 * server stops, nor the checkpoint when the next generation is half full.
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

    /* Shared; written by the shard. */
    atomic_ullong ingest;          /* rows a second that come in */
    atomic_ullong checkpoint_rate; /* rows a second that the checkpoint may write */
    atomic_bool is_hurried;        /* the checkpoint waits no more */
    atomic_bool is_stopping;

    /* Each owned by its thread. */
    struct throttle checkpoint_throttle;
    struct throttle merge_throttle;
};

/* Before the threads start. Borrows `clock`. */
void background_init(struct background *background, struct clock *clock);
/* Shard's thread, before the checkpoint is posted: a generation of `rows` was filled within `us`. */
void background_on_freeze(struct background *background, uint64_t rows, uint64_t us);
/* Shard's thread: the checkpoint in progress waits no more. */
void background_hurry(struct background *background);
/* Shard's thread: neither thread waits any more, and merges are given up. */
void background_stop(struct background *background);
/* Any thread. */
bool background_is_stopping(struct background *background);

/* The callbacks for store_set_throttle; they run on the checkpoint and merge threads. Borrows. */
struct store_throttle background_throttle(struct background *background);

#endif
