#include <criterion/criterion.h>

#include <string.h>

#include "protocol/mid.h"

/* Bits `from` to `from + count` of the mid, the first one the highest of the first byte. */
static uint64_t bits(const uint8_t mid[LIMIT_MID_BYTES], unsigned from, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = from; i < from + count; i++)
        value = value << 1 | (mid[i / 8] >> (7 - i % 8) & 1);
    return value;
}

static void assert_packed(uint64_t ts, uint32_t shard, uint64_t random)
{
    uint8_t mid[LIMIT_MID_BYTES];
    mid_make(mid, ts, shard, random);
    cr_assert_eq(bits(mid, 0, 53), ts);
    cr_assert_eq(bits(mid, 53, 10), shard);
    cr_assert_eq(bits(mid, 63, 56), random);
    cr_assert_eq(bits(mid, 119, 1), 0);
}

Test(mid, each_field_stands_in_its_bits)
{
    assert_packed(0, 0, 0);
    assert_packed(LIMIT_TS_MAX, 0, 0);
    assert_packed(0, LIMIT_SHARDS - 1, 0);
    assert_packed(0, 0, MID_RANDOM_MAX);
    assert_packed(LIMIT_TS_MAX, LIMIT_SHARDS - 1, MID_RANDOM_MAX);
    assert_packed(1763900000123456, 3, UINT64_C(0xa5f00ff00ff05a));
}

Test(mid, any_one_bit_of_the_fields_changes_it)
{
    uint8_t first[LIMIT_MID_BYTES];
    uint8_t other[LIMIT_MID_BYTES];
    mid_make(first, 0, 0, 0);
    for (unsigned bit = 0; bit < 119; bit++) {
        uint64_t ts = bit < 53 ? UINT64_C(1) << bit : 0;
        uint32_t shard = bit >= 53 && bit < 63 ? 1u << (bit - 53) : 0;
        uint64_t random = bit >= 63 ? UINT64_C(1) << (bit - 63) : 0;
        mid_make(other, ts, shard, random);
        cr_assert_neq(memcmp(first, other, sizeof first), 0, "bit %u", bit);
    }
}

Test(mid, later_ones_of_a_shard_sort_later)
{
    uint8_t one[LIMIT_MID_BYTES];
    uint8_t two[LIMIT_MID_BYTES];
    mid_make(one, 1763900000123456, 1, MID_RANDOM_MAX);
    mid_make(two, 1763900000123457, 0, 0);
    cr_assert_lt(memcmp(one, two, sizeof one), 0);
}

Test(mid, it_writes_its_fifteen_bytes_only)
{
    uint8_t mid[LIMIT_MID_BYTES + 1];
    mid[LIMIT_MID_BYTES] = 0x5a;
    mid_make(mid, LIMIT_TS_MAX, LIMIT_SHARDS - 1, MID_RANDOM_MAX);
    cr_assert_eq(mid[LIMIT_MID_BYTES], 0x5a);
}
