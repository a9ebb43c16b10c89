/* The intervals of a run: they cover the measured time to its end, and a kill ends one. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "load/interval.h"
#include "load/report.h"

#define TICK_US 50000u

struct fixture {
    struct load_options options;
    struct load_report report;
    struct load_interval interval;
    struct load_stats fresh[2];
};

static struct fixture *open_fixture(double duration_s)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->options.duration_s = duration_s;
    fixture->report.options = &fixture->options;
    fixture->interval.report = &fixture->report;
    load_interval_begin(&fixture->interval, LOAD_MEASURE, 0);
    return fixture;
}

static void close_fixture(struct fixture *fixture)
{
    free(fixture->report.points);
    free(fixture);
}

/* A send is acknowledged every TICK_US after `from_us`, to `until_us`. */
static void pass(struct fixture *fixture, uint64_t from_us, uint64_t until_us)
{
    fixture->fresh[1].counts[LOAD_ACKNOWLEDGED] = 1;
    for (uint64_t now_us = from_us + TICK_US; now_us <= until_us; now_us += TICK_US)
        load_interval_add(&fixture->interval, fixture->fresh, now_us);
}

static double sends_of(const struct fixture *fixture)
{
    double sends = 0, from_s = 0;
    for (uint32_t i = 0; i < fixture->report.point_count; i++) {
        const struct load_point *point = &fixture->report.points[i];
        sends += point->acknowledged_per_s * (point->at_s - from_s);
        from_s = point->at_s;
    }
    return sends;
}

Test(load_points, they_cover_the_measured_time_to_its_end_and_none_is_too_short)
{
    for (uint32_t ms = 100; ms <= 3000; ms += 50) {
        struct fixture *fixture = open_fixture(ms / 1000.0);
        double from_s = 0;
        load_interval_watch(&fixture->interval, UINT64_C(1000) * ms);
        pass(fixture, 0, UINT64_C(1000) * ms);
        load_interval_end(&fixture->interval, UINT64_C(1000) * ms);
        cr_assert(fixture->report.point_count > 0);
        for (uint32_t i = 0; i < fixture->report.point_count; i++) {
            double at_s = fixture->report.points[i].at_s;
            cr_expect(at_s - from_s >= 0.125 - 1e-9 || fixture->report.point_count == 1, "%u ms: %g to %g", ms, from_s,
                      at_s);
            from_s = at_s;
        }
        cr_expect_float_eq(from_s, ms / 1000.0, 1e-9, "%u ms: the last ends at %g", ms, from_s);
        cr_expect_float_eq(sends_of(fixture), ms / 50.0, 1e-6, "%u ms: %g sends", ms, sends_of(fixture));
        close_fixture(fixture);
    }
}

Test(load_points, the_time_without_a_server_is_an_interval_of_its_own)
{
    struct fixture *fixture = open_fixture(2);
    load_interval_watch(&fixture->interval, 600000);
    pass(fixture, 0, 600000);
    /* Answers from before the kill are published when the server is back: they belong to the time before. */
    load_interval_add(&fixture->interval, fixture->fresh, 1100000);
    load_interval_end(&fixture->interval, 600000);
    load_interval_end(&fixture->interval, 1100000);
    load_interval_end(&fixture->interval, 1100000);
    cr_assert_eq(fixture->report.point_count, 3);
    const struct load_point *points = fixture->report.points;
    cr_expect_float_eq(points[0].at_s, 0.25, 1e-9);
    cr_expect_float_eq(points[1].at_s, 0.6, 1e-9);
    cr_expect_float_eq(points[1].acknowledged_per_s, 8 / 0.35, 1e-6, "%g", points[1].acknowledged_per_s);
    cr_expect_float_eq(points[2].at_s, 1.1, 1e-9);
    cr_expect_float_eq(points[2].acknowledged_per_s, 0, 1e-9);
    close_fixture(fixture);
}
