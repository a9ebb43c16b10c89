#include "storage/runs/throttle.h"

#include "base/assert.h"

#define SECOND_US UINT64_C(1000000)
/* With so many runs below the cap merges have no limit. */
#define FREE_BELOW_CAP 2u
/* How many times as fast merges run just before that. */
#define HURRY_MAX 4u

uint64_t throttle_wait_us(struct throttle *throttle, uint64_t now_us, uint64_t rows, uint64_t rate)
{
    ASSERT(rate > 0);
    if (throttle->due_us + THROTTLE_AT_ONCE_US < now_us)
        throttle->due_us = now_us - THROTTLE_AT_ONCE_US;
    if (rate == THROTTLE_FREE)
        return 0;
    throttle->due_us += rows * SECOND_US / rate;
    return throttle->due_us > now_us ? throttle->due_us - now_us : 0;
}

uint64_t throttle_ingest(uint64_t before, uint64_t rows, uint64_t us)
{
    uint64_t now = us == 0 ? 0 : rows * SECOND_US / us;
    return now > before / 2 ? now : before / 2;
}

uint64_t throttle_checkpoint_rate(uint64_t rows, uint64_t us)
{
    uint64_t rate = us == 0 ? THROTTLE_FREE : 2 * rows * SECOND_US / us;
    return rate > THROTTLE_CHECKPOINT_MIN ? rate : THROTTLE_CHECKPOINT_MIN;
}

uint64_t throttle_merge_rate(uint64_t ingest, uint32_t levels, uint32_t run_count, uint32_t runs_max)
{
    ASSERT(runs_max > FREE_BELOW_CAP);
    uint32_t free_from = runs_max - FREE_BELOW_CAP;
    uint32_t hurry_from = runs_max * 2 / 3;
    uint64_t rate = ingest * levels * 6 / 5;
    if (rate < THROTTLE_MERGE_MIN)
        rate = THROTTLE_MERGE_MIN;
    if (run_count >= free_from)
        return THROTTLE_FREE;
    if (run_count > hurry_from)
        rate += rate * (HURRY_MAX - 1) * (run_count - hurry_from) / (free_from - hurry_from);
    return rate;
}
