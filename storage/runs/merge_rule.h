/*
 * merge_rule.h: which runs a merge takes. Pure; any thread.
 *
 * Runs are in order of time, and only neighbours are merged, so that runs do not overlap in time. When a level has
 * `fan_out` neighbours, the oldest ones become a run of the next level. The lowest level comes first: its merges are
 * short, and it gets runs most often. Near the cap a merge is needed though no level is full: then the neighbours with
 * the fewest rows are merged.
 *
 * A long merge does not delay short ones: they run between two of its slices, on the same thread. An inner merge takes
 * no run that is taken already, and is smaller than the outer merge: of a lower level or, near the cap, of fewer rows.
 */
#ifndef CHITCHAT_STORAGE_RUNS_MERGE_RULE_H
#define CHITCHAT_STORAGE_RUNS_MERGE_RULE_H

#include <stdbool.h>
#include <stdint.h>

struct merge_run {
    uint32_t level;
    uint64_t rows;
    uint64_t file_bytes;
    bool is_taken; /* an unfinished merge reads it */
};

struct merge_options {
    uint32_t runs_max;  /* the cap */
    uint32_t fan_out;   /* at least 2 */
    uint64_t bytes_max; /* the inputs of one merge have fewer */
};

/* The inputs of the outer merge. */
struct merge_outer {
    uint32_t level; /* the highest of its inputs */
    uint64_t rows;  /* their sum */
};

/* `count` runs from `begin`; count 0: none. */
struct merge_choice {
    uint32_t begin;
    uint32_t count;
};

/* The runs to merge next, of `count` runs, oldest first. `outer` NULL: there is no outer merge. Borrows all. */
struct merge_choice merge_rule_choose(const struct merge_run *runs, uint32_t count, const struct merge_options *options,
                                      const struct merge_outer *outer);
/* For tests: from so many runs on the cap is near. */
uint32_t merge_rule_near_cap(const struct merge_options *options);

#endif
