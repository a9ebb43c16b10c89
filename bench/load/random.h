/*
 * random.h: random numbers from a seed (splitmix64), and users drawn by Zipf's law, with Walker's alias table: one
 * look-up a draw. Pure; many threads may read one table.
 */
#ifndef CHITCHAT_BENCH_LOAD_RANDOM_H
#define CHITCHAT_BENCH_LOAD_RANDOM_H

#include <stdint.h>

#include "base/assert.h"

static inline uint64_t load_random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t load_random_next(uint64_t *state)
{
    return load_random_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* 0 to bound - 1, where bound is above 0. */
static inline uint32_t load_random_below(uint64_t *state, uint32_t bound)
{
    ASSERT(bound > 0);
    return (uint32_t)((load_random_next(state) >> 32) * bound >> 32);
}

struct load_zipf {
    uint32_t count;
    uint32_t *alias;     /* owned */
    uint32_t *threshold; /* owned; of 2^32 */
};

/* Weights 1 / (rank + 1)^exponent for the ranks 0 to count - 1, where count is above 0. 0 or -ENOMEM. */
int load_zipf_open(struct load_zipf *zipf_r, uint32_t count, double exponent);
void load_zipf_close(struct load_zipf *zipf);
/* A rank. */
uint32_t load_zipf_draw(const struct load_zipf *zipf, uint64_t *state);

#endif
