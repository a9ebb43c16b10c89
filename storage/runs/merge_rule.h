/*
 * merge_rule.h: which runs a merge takes. Pure.
 *
 * Runs stand in order of time, and only neighbours are merged, so that runs stay disjoint in time. A level that has
 * `fan_out` runs side by side gives its oldest ones to a run of the next level; the lowest level goes first, since its
 * merges are short and its runs come most often. Near the cap something must go though no level is full: then the
 * neighbours with the fewest rows.
 *
 * A long merge does not hold up the short ones: between two of its slices they are done, on the same thread. Such a
 * merge takes none of the runs that are taken already, and is smaller than the one that it interrupts: of a lower
 * level, or, near the cap, of fewer rows.
 */
#ifndef CHITCHAT_STORAGE_RUNS_MERGE_RULE_H
#define CHITCHAT_STORAGE_RUNS_MERGE_RULE_H

#include <stdbool.h>
#include <stdint.h>

struct merge_run {
    uint32_t level;
    uint64_t rows;
    uint64_t file_bytes;
    bool is_taken; /* a merge that is under way reads it */
};

struct merge_options {
    uint32_t runs_max;
    uint32_t fan_out;
    uint64_t bytes_max; /* inputs of one merge */
};

/* What the interrupted merge takes. */
struct merge_outer {
    uint32_t level; /* the highest of its inputs */
    uint64_t rows;  /* of all of them */
};

/* `count` runs from `begin`; count 0: none. */
struct merge_choice {
    uint32_t begin;
    uint32_t count;
};

/* `runs` oldest first. `outer` NULL: no merge is under way. */
struct merge_choice merge_rule_choose(const struct merge_run *runs, uint32_t count, const struct merge_options *options,
                                      const struct merge_outer *outer);
/* From so many runs on the cap is near. */
uint32_t merge_rule_near_cap(const struct merge_options *options);

#endif
