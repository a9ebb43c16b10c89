#include <criterion/criterion.h>

#include "base/bytes.h"

/* An odd place, so that UndefinedBehaviorSanitizer sees a store that needs alignment. */
static uint8_t memory[24];
static uint8_t *const odd = memory + 1;

static void clear(void)
{
    memset(memory, 0, sizeof memory);
}

TestSuite(bytes, .init = clear);

static void assert_bytes(const char *expected, size_t bytes)
{
    cr_assert_eq(memcmp(odd, expected, bytes), 0);
    cr_assert_eq(memory[0], 0);
    cr_assert_eq(odd[bytes], 0, "nothing past the end");
}

Test(bytes, little_endian_has_the_lowest_byte_first)
{
    bytes_store_le16(odd, 0x0102);
    assert_bytes("\x02\x01", 2);
    cr_assert_eq(bytes_load_le16(odd), 0x0102);
    bytes_store_le32(odd, 0x81020304u);
    assert_bytes("\x04\x03\x02\x81", 4);
    cr_assert_eq(bytes_load_le32(odd), 0x81020304u);
    bytes_store_le64(odd, UINT64_C(0x8102030405060708));
    assert_bytes("\x08\x07\x06\x05\x04\x03\x02\x81", 8);
    cr_assert_eq(bytes_load_le64(odd), UINT64_C(0x8102030405060708));
}

Test(bytes, big_endian_has_the_highest_byte_first)
{
    bytes_store_be64(odd, UINT64_C(0x8102030405060708));
    assert_bytes("\x81\x02\x03\x04\x05\x06\x07\x08", 8);
    cr_assert_eq(bytes_load_be64(odd), UINT64_C(0x8102030405060708));
}

Test(bytes, big_endian_bytes_order_as_their_numbers)
{
    const uint64_t ascending[] = {0, 1, 255, 256, 65535, UINT64_C(1) << 52, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i + 1 < sizeof ascending / sizeof ascending[0]; i++) {
        uint8_t one[8];
        uint8_t two[8];
        bytes_store_be64(one, ascending[i]);
        bytes_store_be64(two, ascending[i + 1]);
        cr_assert_lt(memcmp(one, two, 8), 0);
    }
}

Test(bytes, a_short_copy_takes_all_and_no_more)
{
    char from[40], to[42];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (char)('A' + i);
    for (size_t bytes = 0; bytes <= sizeof from; bytes++) {
        memset(to, '.', sizeof to);
        bytes_copy_short(to + 1, from, bytes);
        cr_assert_eq(to[0], '.');
        cr_assert_arr_eq(to + 1, from, bytes);
        cr_assert_eq(to[1 + bytes], '.', "%zu", bytes);
    }
    bytes_copy_short(to, NULL, 0);
}
