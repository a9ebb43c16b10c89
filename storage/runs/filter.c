#include "storage/runs/filter.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

#define BITS_PER_USER 10
#define PROBES 6
#define BLOCK_BITS (FILTER_BLOCK_BYTES * 8)
#define PROBE_SHIFT 9 /* log2 of BLOCK_BITS */
_Static_assert(1u << PROBE_SHIFT == BLOCK_BITS, "a probe is a bit of a block");

uint64_t filter_hash(struct span user)
{
    static const struct hash_key key = {0x63686974u, 0x63686174u};
    return hash_siphash13(key, user);
}

/* The upper half of the hash selects the block; 54 bits of a product of the whole hash are the probes. */
static uint8_t *block_of(const struct filter *filter, uint64_t hash)
{
    return filter->bytes + (uint64_t)(((hash >> 32) * filter->blocks) >> 32) * FILTER_BLOCK_BYTES;
}

static uint64_t probes_of(uint64_t hash)
{
    return (hash * UINT64_C(0x9E3779B97F4A7C15)) >> 10;
}

int filter_reserve(struct filter *filter_r, uint64_t bytes)
{
    ASSERT(bytes % FILTER_BLOCK_BYTES == 0);
    *filter_r = (struct filter){.blocks = bytes / FILTER_BLOCK_BYTES};
    if (bytes == 0)
        return 0;
    filter_r->bytes = calloc(1, bytes);
    return filter_r->bytes == NULL ? -ENOMEM : 0;
}

int filter_make(struct filter *filter_r, const uint64_t *hashes, uint64_t count)
{
    uint64_t blocks = (count * BITS_PER_USER + BLOCK_BITS - 1) / BLOCK_BITS;
    int status = filter_reserve(filter_r, blocks * FILTER_BLOCK_BYTES);
    for (uint64_t i = 0; i < count && status == 0; i++) {
        uint8_t *block = block_of(filter_r, hashes[i]);
        uint64_t probes = probes_of(hashes[i]);
        for (int k = 0; k < PROBES; k++, probes >>= PROBE_SHIFT) {
            uint32_t bit = (uint32_t)probes & (BLOCK_BITS - 1);
            block[bit / 8] = (uint8_t)(block[bit / 8] | 1u << bit % 8);
        }
    }
    return status;
}

void filter_fini(struct filter *filter)
{
    free(filter->bytes);
    *filter = (struct filter){0};
}

uint64_t filter_bytes(const struct filter *filter)
{
    return filter->blocks * FILTER_BLOCK_BYTES;
}

void filter_prefetch(const struct filter *filter, uint64_t hash)
{
    if (filter->blocks > 0)
        __builtin_prefetch(block_of(filter, hash));
}

bool filter_may_contain(const struct filter *filter, uint64_t hash)
{
    if (filter->blocks == 0)
        return false;
    const uint8_t *block = block_of(filter, hash);
    uint64_t probes = probes_of(hash);
    for (int k = 0; k < PROBES; k++, probes >>= PROBE_SHIFT) {
        uint32_t bit = (uint32_t)probes & (BLOCK_BITS - 1);
        if ((block[bit / 8] & 1u << bit % 8) == 0)
            return false;
    }
    return true;
}
