/*
 * filter.h: which users a run holds: a blocked Bloom filter (Putze, Sanders and Singler, 2007; Bloom, 1970), 10 bits a
 * user, six bits in one cache line. "No" is certain; "yes" is wrong for one or two names in a hundred. Pure; one thread
 * while it is made, then any.
 *
 * The hash has a fixed key, since the filter stands in the file; whoever chooses names that collide makes reads slower
 * by one look-up, nothing else.
 */
#ifndef CHITCHAT_STORAGE_RUNS_FILTER_H
#define CHITCHAT_STORAGE_RUNS_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define FILTER_BLOCK_BYTES 64u

struct filter {
    uint8_t *bytes; /* owned; NULL: no user at all */
    uint64_t blocks;
};

uint64_t filter_hash(struct span user);
/* A filter of `count` hashes. 0 or -ENOMEM. */
int filter_make(struct filter *filter_r, const uint64_t *hashes, uint64_t count);
/* An empty one of `bytes` (a multiple of FILTER_BLOCK_BYTES) to be read into. 0 or -ENOMEM. */
int filter_reserve(struct filter *filter_r, uint64_t bytes);
void filter_fini(struct filter *filter);
uint64_t filter_bytes(const struct filter *filter);
/* Before a filter_may_contain of the same hash that comes in a moment. */
void filter_prefetch(const struct filter *filter, uint64_t hash);
bool filter_may_contain(const struct filter *filter, uint64_t hash);

#endif
