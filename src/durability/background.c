#include "durability/background.h"

#include "base/assert.h"

/* A longer wait is cut into pieces, so that background_hurry and background_stop end it. */
#define SLEEP_US_MAX UINT64_C(20000)

void background_init(struct background *background, struct clock *clock)
{
    ASSERT(clock != NULL);
    *background = (struct background){.clock = clock};
    atomic_init(&background->ingest, 0);
    atomic_init(&background->checkpoint_rate, THROTTLE_FREE);
    atomic_init(&background->is_hurried, false);
    atomic_init(&background->is_stopping, false);
}

void background_on_freeze(struct background *background, uint64_t rows, uint64_t us)
{
    uint64_t before = atomic_load_explicit(&background->ingest, memory_order_relaxed);
    atomic_store_explicit(&background->ingest, throttle_ingest(before, rows, us), memory_order_relaxed);
    atomic_store_explicit(&background->checkpoint_rate, throttle_checkpoint_rate(rows, us), memory_order_relaxed);
    atomic_store_explicit(&background->is_hurried, false, memory_order_relaxed);
}

void background_hurry(struct background *background)
{
    atomic_store_explicit(&background->is_hurried, true, memory_order_relaxed);
}

void background_stop(struct background *background)
{
    atomic_store_explicit(&background->is_stopping, true, memory_order_relaxed);
}

bool background_is_stopping(struct background *background)
{
    return atomic_load_explicit(&background->is_stopping, memory_order_relaxed);
}

/* Sleeps for `us`, unless the server stops or *is_hurried (may be NULL) says otherwise. */
static void sleep_for(struct background *background, uint64_t us, const atomic_bool *is_hurried)
{
    while (us > 0 && !background_is_stopping(background)
           && (is_hurried == NULL || !atomic_load_explicit(is_hurried, memory_order_relaxed))) {
        uint64_t piece_us = us < SLEEP_US_MAX ? us : SLEEP_US_MAX;
        clock_sleep_us(background->clock, piece_us);
        us -= piece_us;
    }
}

/* On the checkpoint thread. */
static void on_checkpoint_slice(void *context, uint64_t rows)
{
    struct background *background = context;
    uint64_t rate = atomic_load_explicit(&background->checkpoint_rate, memory_order_relaxed);
    uint64_t now_us = clock_monotonic_us(background->clock);
    uint64_t wait_us = throttle_wait_us(&background->checkpoint_throttle, now_us, rows, rate);
    sleep_for(background, wait_us, &background->is_hurried);
}

/* On the merge thread. */
static void on_merge_slice(void *context, const struct store_slice *slice)
{
    struct background *background = context;
    uint64_t ingest = atomic_load_explicit(&background->ingest, memory_order_relaxed);
    uint64_t rate = throttle_merge_rate(ingest, slice->levels, slice->run_count, slice->runs_max);
    uint64_t now_us = clock_monotonic_us(background->clock);
    sleep_for(background, throttle_wait_us(&background->merge_throttle, now_us, slice->rows, rate), NULL);
}

struct store_throttle background_throttle(struct background *background)
{
    ASSERT(background->clock != NULL);
    return (struct store_throttle){on_checkpoint_slice, on_merge_slice, background};
}
