/* metric.h: which bucket a value belongs to, and what is counted. */
#include "base/metric.h"

#include <criterion/criterion.h>

static const struct histogram_shape shape = {.first = 6, .bounds = 5}; /* 64, 128, 256, 512, 1024 */

Test(metric, a_counter_begins_at_zero_and_adds)
{
    struct metric metric = {0};
    metric_add(&metric, 3);
    metric_add(&metric, 0);
    metric_add(&metric, UINT64_C(1) << 40);
    cr_assert_eq(metric_read(&metric), (UINT64_C(1) << 40) + 3);
    metric_set(&metric, 7);
    cr_assert_eq(metric_read(&metric), 7);
}

Test(metric, a_value_belongs_to_the_first_bucket_whose_bound_is_not_below_it)
{
    for (uint64_t value = 0; value <= 3000; value++) {
        uint32_t bucket = 0;
        while (bucket < shape.bounds && value > UINT64_C(1) << (shape.first + bucket))
            bucket++;
        cr_assert_eq(histogram_bucket(shape, value), bucket, "%d", (int)value);
    }
}

Test(metric, the_lowest_bound_may_be_one)
{
    const struct histogram_shape small = {.first = 0, .bounds = 3}; /* 1, 2, 4 */
    const uint32_t expected[] = {0, 0, 1, 2, 2, 3, 3};
    for (uint64_t value = 0; value < sizeof expected / sizeof expected[0]; value++)
        cr_assert_eq(histogram_bucket(small, value), expected[value], "%d", (int)value);
}

Test(metric, the_largest_values_are_above_the_last_bound_of_every_shape)
{
    for (uint8_t first = 0; first < 40; first++)
        for (uint8_t bounds = 1; bounds <= HISTOGRAM_BOUNDS_MAX; bounds++)
            cr_assert_eq(histogram_bucket((struct histogram_shape){first, bounds}, UINT64_MAX), bounds);
}

Test(metric, a_histogram_counts_each_value_once_and_sums_them)
{
    struct histogram histogram = {0};
    uint64_t sum = 0, count = 0;
    for (uint64_t value = 0; value <= 3000; value += 7) {
        histogram_record(&histogram, shape, value);
        sum += value;
        count++;
    }
    for (uint32_t i = 0; i <= HISTOGRAM_BOUNDS_MAX; i++) {
        uint64_t has = metric_read(&histogram.counts[i]);
        cr_assert(i <= shape.bounds ? has > 0 : has == 0, "bucket %u", i);
        count -= has;
    }
    cr_assert_eq(count, 0);
    cr_assert_eq(metric_read(&histogram.sum), sum);
}
