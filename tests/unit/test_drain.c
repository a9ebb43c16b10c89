#include <criterion/criterion.h>

#include "server/drain.h"

Test(drain, few_connections_need_less_than_the_time_and_none_need_none)
{
    cr_assert_eq(drain_time_us(5, 0), 0);
    cr_assert_eq(drain_time_us(5, 1), 1000);
    cr_assert_eq(drain_time_us(5, 4000), 4000000);
    cr_assert_eq(drain_time_us(5, 100000), 5000000);
    cr_assert_eq(drain_time_us(0, 100000), 0);
    cr_assert_eq(drain_time_us(3600, UINT32_MAX), UINT64_C(3600000000));
}

Test(drain, what_is_due_grows_evenly_with_time)
{
    cr_assert_eq(drain_due(100, 0, 1000), 0);
    cr_assert_eq(drain_due(100, 500, 1000), 50);
    cr_assert_eq(drain_due(100, 999, 1000), 99);
    cr_assert_eq(drain_due(100, 1000, 1000), 100);
    cr_assert_eq(drain_due(100, 5000, 1000), 100);
    cr_assert_eq(drain_due(100, 0, 0), 100);
    cr_assert_eq(drain_due(UINT32_MAX, 1800000000, 3600000000), UINT32_MAX / 2);
}
