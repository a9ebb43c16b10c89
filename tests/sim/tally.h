/* tally.h: sums of what many runs counted. */
#ifndef CHITCHAT_SIM_TALLY_H
#define CHITCHAT_SIM_TALLY_H

#include <stddef.h>
#include <stdint.h>

/* Adds to each field of *sum that of *tally: structs of `bytes` bytes, all of whose fields are uint64_t. */
static inline void tally_add(void *sum, const void *tally, size_t bytes)
{
    uint64_t *to = sum;
    const uint64_t *from = tally;
    for (size_t i = 0; i < bytes / sizeof *to; i++)
        to[i] += from[i];
}

#endif
