#include "storage/runs/merge_rule.h"

#include <stddef.h>

#include "base/assert.h"

/* The cap is near when at most this part of it is free: with a cap of 24, when two more runs fit. */
#define NEAR_CAP_PART 12u

uint32_t merge_rule_near_cap(const struct merge_options *options)
{
    return options->runs_max - options->runs_max / NEAR_CAP_PART;
}

/* Whether `choice` may be merged; *rows_r is its rows. */
static bool is_free(const struct merge_run *runs, struct merge_choice choice, uint64_t bytes_max, uint64_t *rows_r)
{
    uint64_t bytes = 0;
    *rows_r = 0;
    for (uint32_t i = choice.begin; i < choice.begin + choice.count; i++) {
        if (runs[i].is_taken)
            return false;
        bytes += runs[i].file_bytes;
        *rows_r += runs[i].rows;
    }
    return bytes < bytes_max;
}

/* The oldest `fan_out` neighbours of the lowest level that has so many neighbours. */
static struct merge_choice choose_level(const struct merge_run *runs, uint32_t count,
                                        const struct merge_options *options, const struct merge_outer *outer)
{
    struct merge_choice best = {0};
    uint64_t rows;
    for (uint32_t begin = 0; begin + options->fan_out <= count; begin++) {
        struct merge_choice choice = {begin, options->fan_out};
        uint32_t level = runs[begin].level;
        bool is_one_level = true;
        for (uint32_t i = begin; i < begin + options->fan_out; i++)
            is_one_level &= runs[i].level == level;
        bool is_lower = (outer == NULL || level < outer->level) && (best.count == 0 || level < runs[best.begin].level);
        if (is_one_level && is_lower && is_free(runs, choice, options->bytes_max, &rows))
            best = choice;
    }
    return best;
}

/* The neighbours with the fewest rows: `fan_out` of them, or fewer if so many cannot be merged. */
static struct merge_choice choose_smallest(const struct merge_run *runs, uint32_t count,
                                           const struct merge_options *options, const struct merge_outer *outer)
{
    struct merge_choice best = {0};
    uint64_t rows, best_rows = outer == NULL ? UINT64_MAX : outer->rows;
    for (uint32_t take = options->fan_out; take >= 2 && best.count == 0; take--) {
        for (uint32_t begin = 0; begin + take <= count; begin++) {
            struct merge_choice choice = {begin, take};
            if (is_free(runs, choice, options->bytes_max, &rows) && rows < best_rows) {
                best = choice;
                best_rows = rows;
            }
        }
    }
    return best;
}

struct merge_choice merge_rule_choose(const struct merge_run *runs, uint32_t count, const struct merge_options *options,
                                      const struct merge_outer *outer)
{
    ASSERT(options->fan_out >= 2);
    ASSERT(options->runs_max >= options->fan_out);
    struct merge_choice choice = choose_level(runs, count, options, outer);
    if (choice.count == 0 && count >= merge_rule_near_cap(options))
        choice = choose_smallest(runs, count, options, outer);
    return choice;
}
