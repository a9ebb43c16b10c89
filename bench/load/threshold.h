/*
 * threshold.h: the conditions of --fail-if: a figure of the run, compared with a limit. A limit that ends with x is a
 * factor to the same figure of the report of --compare. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_THRESHOLD_H
#define CHITCHAT_BENCH_LOAD_THRESHOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_baseline;
struct load_report;

#define LOAD_THRESHOLDS_MAX 64u

enum load_comparison { LOAD_ABOVE, LOAD_AT_LEAST, LOAD_BELOW, LOAD_AT_MOST };

struct load_threshold {
    const char *text; /* borrowed: the condition as it was given */
    uint32_t metric;  /* its number in metrics.h */
    enum load_comparison comparison;
    double limit;
    bool is_ratio;
};

/* Reads NAME>LIMIT, or with >=, < or <=; borrows the text. False, reported on stderr, if it is none. */
bool load_threshold_parse(struct load_threshold *threshold_r, const char *text);
/* Whether the run passes; `said` says how: "ok_p99_ms>5: it is 6.12". A figure that the run does not have fails: a
 * condition that cannot hold would pass unseen. `baseline` is NULL without --compare. */
bool load_threshold_passes(const struct load_threshold *threshold, const struct load_report *report,
                           const struct load_baseline *baseline, char *said, size_t room);

#endif
