/*
 * load_random.h: numbers by chance from a seed (splitmix64), and users by weight: Zipf's law through Walker's alias
 * table, one look-up a draw. Pure; a table may be read by many threads.
 */
#ifndef CHITCHAT_BENCH_LOAD_RANDOM_H
#define CHITCHAT_BENCH_LOAD_RANDOM_H

#include <stdint.h>

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

/* 0 to bound - 1. */
static inline uint32_t load_random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((load_random_next(state) >> 32) * bound >> 32);
}

struct load_zipf {
    uint32_t count;
    uint32_t *alias;     /* owned */
    uint32_t *threshold; /* owned; of 2^32 */
};

/* Weights 1 / (rank + 1)^exponent for ranks 0 to count - 1. 0 or -ENOMEM. */
int load_zipf_open(struct load_zipf *zipf_r, uint32_t count, double exponent);
void load_zipf_close(struct load_zipf *zipf);
uint32_t load_zipf_draw(const struct load_zipf *zipf, uint64_t *state);

#endif
