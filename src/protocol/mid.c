#include "protocol/mid.h"

#include "base/assert.h"
#include "base/bytes.h"

#define SHARD_BITS 10
#define RANDOM_BITS 56
_Static_assert(LIMIT_SHARDS == 1u << SHARD_BITS, "a shard fits its bits");
_Static_assert(LIMIT_TS_MAX >> 53 == 0 && 53 + SHARD_BITS + RANDOM_BITS < 8 * LIMIT_MID_BYTES, "all parts fit");

/* 63 bits of ts and shard, 56 of random, one spare: the first 64 bits end with the top bit of random. */
void mid_make(uint8_t out[LIMIT_MID_BYTES], uint64_t ts, uint32_t shard, uint64_t random)
{
    ASSERT(ts <= LIMIT_TS_MAX);
    ASSERT(shard < LIMIT_SHARDS);
    ASSERT(random <= MID_RANDOM_MAX);
    uint8_t bytes[16];
    bytes_store_be64(bytes, ts << (SHARD_BITS + 1) | (uint64_t)shard << 1 | random >> (RANDOM_BITS - 1));
    bytes_store_be64(bytes + 8, random << (64 - RANDOM_BITS + 1));
    memcpy(out, bytes, LIMIT_MID_BYTES);
}
