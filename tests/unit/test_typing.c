/* typing.h: one a second and pair passes, and the table that knows it is bounded. */
#include "ephemeral/typing.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define ALICE SPAN_LITERAL("alice")
#define BOB SPAN_LITERAL("bob")

static struct typings typings;

static void begin(void)
{
    cr_assert_eq(typings_init(&typings, (struct hash_key){1, 2}), 0);
}

static void end(void)
{
    typings_fini(&typings);
}

TestSuite(typing, .init = begin, .fini = end);

Test(typing, passes_once_a_second_for_a_pair)
{
    cr_assert(typing_may_pass(&typings, ALICE, BOB, 5000));
    cr_assert_not(typing_may_pass(&typings, ALICE, BOB, 5000));
    cr_assert_not(typing_may_pass(&typings, ALICE, BOB, 5999));
    cr_assert(typing_may_pass(&typings, ALICE, BOB, 6000));
    cr_assert_not(typing_may_pass(&typings, ALICE, BOB, 6999));
}

Test(typing, of_one_pair_says_nothing_of_another_one)
{
    cr_assert(typing_may_pass(&typings, ALICE, BOB, 0));
    cr_assert(typing_may_pass(&typings, BOB, ALICE, 0));
    cr_assert(typing_may_pass(&typings, ALICE, SPAN_LITERAL("bobb"), 0));
    cr_assert(typing_may_pass(&typings, SPAN_LITERAL("aliceb"), SPAN_LITERAL("ob"), 0));
    cr_assert_not(typing_may_pass(&typings, ALICE, BOB, 0));
}

Test(typing, is_counted_over_the_wrap_of_the_clock)
{
    cr_assert(typing_may_pass(&typings, ALICE, BOB, UINT32_MAX - 10));
    cr_assert_not(typing_may_pass(&typings, ALICE, BOB, 10));
    cr_assert(typing_may_pass(&typings, ALICE, BOB, 990));
}

/* More pairs than the table has places: some are dropped, and none passes twice in a second. */
Test(typing, of_very_many_pairs_none_passes_twice)
{
    enum { PAIRS = 60000 };
    static bool has_passed[PAIRS];
    char name[16];
    uint32_t passed = 0;
    for (uint32_t now = 0; now <= 900; now += 300)
        for (uint32_t i = 0; i < PAIRS; i++) {
            snprintf(name, sizeof name, "user-%u", i);
            if (!typing_may_pass(&typings, ALICE, span_of(name), now))
                continue;
            cr_assert_not(has_passed[i], "%s passes twice", name);
            has_passed[i] = true;
            passed++;
        }
    cr_assert_leq(passed, TYPING_ROWS * TYPING_ROW_PAIRS);
    cr_assert_geq(passed, TYPING_ROWS * TYPING_ROW_PAIRS / 2);
    cr_assert(typing_may_pass(&typings, ALICE, BOB, 2000), "after the second there is room again");
}
