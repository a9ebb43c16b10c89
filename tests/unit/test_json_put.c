#include "protocol/json_put.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

static void expect_written(uint64_t value)
{
    char wanted[32], out[JSON_UNSIGNED_BYTES_MAX + 1];
    size_t bytes = (size_t)snprintf(wanted, sizeof wanted, "%" PRIu64, value);
    memset(out, '.', sizeof out);
    char *end = json_put_unsigned(out, value);
    cr_assert_eq(end - out, bytes, "%s", wanted);
    cr_assert_arr_eq(out, wanted, bytes, "%.*s instead of %s", (int)bytes, out, wanted);
    cr_assert_eq(*end, '.', "%s: no byte behind it is touched", wanted);
    cr_assert_eq(json_unsigned_bytes(value), bytes, "%s", wanted);
}

Test(json_put, a_number_is_written_as_printf_writes_it)
{
    for (uint64_t value = 0; value < 100000; value++)
        expect_written(value);
    for (uint64_t power = 1, i = 0; i < 20; i++, power *= 10)
        for (uint64_t factor = 1; factor < 10; factor++)
            for (uint64_t step = 0; step < 3; step++)
                expect_written(power * factor + step - 1);
    for (uint64_t value = 1; value <= UINT64_MAX / 3; value *= 3)
        expect_written(value);
    expect_written(UINT64_MAX);
}

Test(json_put, each_group_of_four_digits_is_right_in_each_place)
{
    for (uint64_t group = 0; group < 10000; group++) {
        expect_written(group * 10000 + 9999);
        expect_written(99990000 + group);
        expect_written(UINT64_C(1700000000000000) + group * 10000);
    }
}
