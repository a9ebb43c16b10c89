#include <criterion/criterion.h>

#include <time.h>

#include "base/clock.h"

Test(clock, the_systems_wall_clock_is_the_epochs_time_in_microseconds)
{
    struct clock clock;
    clock_init_system(&clock);
    uint64_t before = (uint64_t)time(NULL) * 1000000;
    uint64_t now_us = clock_wall_us(&clock);
    cr_assert_geq(now_us, before);
    cr_assert_leq(now_us, before + UINT64_C(3600) * 1000000, "the same hour");
}

Test(clock, the_systems_monotonic_clock_never_steps_back)
{
    struct clock clock;
    clock_init_system(&clock);
    uint64_t last = clock_monotonic_us(&clock);
    for (int i = 0; i < 100000; i++) {
        uint64_t now_us = clock_monotonic_us(&clock);
        cr_assert_geq(now_us, last);
        last = now_us;
    }
}

struct set_clock {
    struct clock clock;
    uint64_t wall_us;
};

static uint64_t set_wall_us(struct clock *clock)
{
    return ((struct set_clock *)clock)->wall_us;
}

static uint64_t set_monotonic_us(struct clock *clock)
{
    (void)clock;
    return 7;
}

Test(clock, another_one_may_be_put_in_its_place)
{
    struct set_clock set = {{set_wall_us, set_monotonic_us, NULL}, 100};
    cr_assert_eq(clock_wall_us(&set.clock), 100);
    set.wall_us = 50;
    cr_assert_eq(clock_wall_us(&set.clock), 50);
    cr_assert_eq(clock_monotonic_us(&set.clock), 7);
}
