#include "storage/runs/merge_rule.h"

#include <criterion/criterion.h>

#define RUNS_MAX 12u

/* Runs from a text: a digit is the level of one, whose rows are ten times as many each level; `*` marks it as taken. */
struct fixture {
    struct merge_run runs[32];
    uint32_t count;
    struct merge_options options;
};

static struct fixture fixture_of(const char *text)
{
    struct fixture fixture = {.options = {.runs_max = RUNS_MAX, .fan_out = 3, .bytes_max = UINT64_MAX}};
    for (; *text != 0; text++) {
        if (*text == '*') {
            fixture.runs[fixture.count - 1].is_taken = true;
            continue;
        }
        uint64_t rows = 1;
        for (char level = '0'; level < *text; level++)
            rows *= 10;
        fixture.runs[fixture.count++] = (struct merge_run){(uint32_t)(*text - '0'), rows, rows, false};
    }
    return fixture;
}

static void expect(const char *text, const struct merge_outer *outer, uint32_t begin, uint32_t count)
{
    struct fixture fixture = fixture_of(text);
    struct merge_choice choice = merge_rule_choose(fixture.runs, fixture.count, &fixture.options, outer);
    cr_assert_eq(choice.count, count, "%s: %u runs", text, choice.count);
    cr_assert(count == 0 || choice.begin == begin, "%s: from %u", text, choice.begin);
}

Test(merge_rule, a_level_with_enough_neighbours_is_merged_oldest_first)
{
    expect("", NULL, 0, 0);
    expect("2100", NULL, 0, 0);
    expect("21000", NULL, 2, 3);
    expect("2100000", NULL, 2, 3);
}

Test(merge_rule, the_lowest_level_goes_first)
{
    expect("222111000", NULL, 6, 3);
    expect("22211100", NULL, 3, 3);
}

Test(merge_rule, runs_of_a_level_that_are_no_neighbours_are_left)
{
    expect("0010", NULL, 0, 0);
    expect("00*00", NULL, 0, 0);
}

Test(merge_rule, between_the_slices_of_a_long_merge_only_lower_levels_go)
{
    struct merge_outer outer = {.level = 1, .rows = 30};
    expect("1*1*1*000", &outer, 3, 3);
    expect("1*1*1*111", &outer, 0, 0);
    expect("222"
           "1*1*1*00",
           &outer, 0, 0);
    outer.level = 0;
    expect("0*0*0*000", &outer, 0, 0);
}

Test(merge_rule, near_the_cap_the_neighbours_with_the_fewest_rows_go)
{
    struct fixture fixture = fixture_of("");
    cr_assert_eq(merge_rule_near_cap(&fixture.options), 11);
    expect("4433221100", NULL, 0, 0);
    expect("44332211003", NULL, 7, 3);
}

Test(merge_rule, near_the_cap_an_interruption_takes_fewer_rows_than_what_it_interrupts_and_nothing_taken)
{
    struct merge_outer outer = {.level = 2, .rows = 12};
    expect("443322*1*1*003", &outer, 8, 2);
    outer.rows = 2;
    expect("443322*1*1*003", &outer, 0, 0);
}

Test(merge_rule, what_would_be_too_large_a_file_is_not_merged)
{
    struct fixture fixture = fixture_of("222000");
    fixture.options.bytes_max = 300;
    cr_assert_eq(merge_rule_choose(fixture.runs, 3, &fixture.options, NULL).count, 0);
    cr_assert_eq(merge_rule_choose(fixture.runs, 6, &fixture.options, NULL).count, 3);
}

Test(merge_rule, with_its_own_cap_and_fan_out_every_count_of_runs_can_shrink_again)
{
    struct fixture fixture = fixture_of("432143214321");
    cr_assert_eq(fixture.count, RUNS_MAX);
    cr_assert_gt(merge_rule_choose(fixture.runs, fixture.count, &fixture.options, NULL).count, 1);
}
