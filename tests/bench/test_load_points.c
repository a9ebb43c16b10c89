/* The intervals of a run: they cover the measured time to its end, and a kill stands between two of them. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "load_pulse.h"

#define TICK_US 50000u

struct bed {
    struct load_options options;
    struct load_report report;
    struct load_pulse pulse;
    struct load_stats fresh[2];
};

static struct bed *open_bed(double duration_s)
{
    struct bed *bed = calloc(1, sizeof *bed);
    bed->options.duration_s = duration_s;
    bed->report.options = &bed->options;
    bed->pulse.report = &bed->report;
    load_pulse_begin(&bed->pulse, LOAD_MEASURE, 0);
    return bed;
}

static void close_bed(struct bed *bed)
{
    free(bed->report.points);
    free(bed);
}

/* A send is acknowledged every TICK_US after `from_us`, to `until_us`. */
static void pass(struct bed *bed, uint64_t from_us, uint64_t until_us)
{
    bed->fresh[1].counts[LOAD_ACKNOWLEDGED] = 1;
    for (uint64_t now_us = from_us + TICK_US; now_us <= until_us; now_us += TICK_US)
        load_pulse_add(&bed->pulse, bed->fresh, now_us);
}

static double sends_of(const struct bed *bed)
{
    double sends = 0, from_s = 0;
    for (uint32_t i = 0; i < bed->report.point_count; i++) {
        const struct load_point *point = &bed->report.points[i];
        sends += point->acknowledged_per_s * (point->at_s - from_s);
        from_s = point->at_s;
    }
    return sends;
}

Test(load_points, they_cover_the_measured_time_to_its_end_and_none_is_too_short)
{
    for (uint32_t ms = 100; ms <= 3000; ms += 50) {
        struct bed *bed = open_bed(ms / 1000.0);
        double from_s = 0;
        load_pulse_watch(&bed->pulse, UINT64_C(1000) * ms);
        pass(bed, 0, UINT64_C(1000) * ms);
        load_pulse_end(&bed->pulse, UINT64_C(1000) * ms);
        cr_assert(bed->report.point_count > 0);
        for (uint32_t i = 0; i < bed->report.point_count; i++) {
            double at_s = bed->report.points[i].at_s;
            cr_expect(at_s - from_s >= 0.125 - 1e-9 || bed->report.point_count == 1, "%u ms: %g to %g", ms, from_s,
                      at_s);
            from_s = at_s;
        }
        cr_expect_float_eq(from_s, ms / 1000.0, 1e-9, "%u ms: the last ends at %g", ms, from_s);
        cr_expect_float_eq(sends_of(bed), ms / 50.0, 1e-6, "%u ms: %g sends", ms, sends_of(bed));
        close_bed(bed);
    }
}

Test(load_points, the_time_without_a_server_is_an_interval_of_its_own)
{
    struct bed *bed = open_bed(2);
    load_pulse_watch(&bed->pulse, 600000);
    pass(bed, 0, 600000);
    /* What was under way at the kill comes in after it, when the server is back: it belongs to the time before. */
    load_pulse_add(&bed->pulse, bed->fresh, 1100000);
    load_pulse_end(&bed->pulse, 600000);
    load_pulse_end(&bed->pulse, 1100000);
    load_pulse_end(&bed->pulse, 1100000);
    cr_assert_eq(bed->report.point_count, 3);
    const struct load_point *points = bed->report.points;
    cr_expect_float_eq(points[0].at_s, 0.25, 1e-9);
    cr_expect_float_eq(points[1].at_s, 0.6, 1e-9);
    cr_expect_float_eq(points[1].acknowledged_per_s, 8 / 0.35, 1e-6, "%g", points[1].acknowledged_per_s);
    cr_expect_float_eq(points[2].at_s, 1.1, 1e-9);
    cr_expect_float_eq(points[2].acknowledged_per_s, 0, 1e-9);
    close_bed(bed);
}
