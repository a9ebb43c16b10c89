/*
 * filter.h: which users have rows in a run: a blocked Bloom filter (Putze, Sanders and Singler, 2007; Bloom, 1970), 10
 * bits a user, six probes in one cache line. "No" is certain; "yes" is wrong for one or two names in a hundred. Pure.
 * One thread makes a filter; then any thread may read it.
 *
 * The key of the hash is fixed, because the filter is in the file. Names that are chosen to collide cost reads one
 * look-up more, and nothing else.
 */
#ifndef CHITCHAT_STORAGE_RUNS_FILTER_H
#define CHITCHAT_STORAGE_RUNS_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define FILTER_BLOCK_BYTES 64u

struct filter {
    uint8_t *bytes; /* owned; NULL: no users */
    uint64_t blocks;
};

/* The hash of a user's name for the functions below. */
uint64_t filter_hash(struct span user);
/* A filter of `count` hashes, which are borrowed. 0 or -ENOMEM; filter_fini in both cases. */
int filter_make(struct filter *filter_r, const uint64_t *hashes, uint64_t count);
/* A filter of `bytes` zeros (a multiple of FILTER_BLOCK_BYTES, asserted), to be copied into. Returns as filter_make. */
int filter_reserve(struct filter *filter_r, uint64_t bytes);
/* A filter of zeros is fine. */
void filter_fini(struct filter *filter);
/* The size of filter->bytes. */
uint64_t filter_bytes(const struct filter *filter);
/* Prefetches what filter_may_contain of the same hash reads. */
void filter_prefetch(const struct filter *filter, uint64_t hash);
/* False: the user has no row. */
bool filter_may_contain(const struct filter *filter, uint64_t hash);

#endif
