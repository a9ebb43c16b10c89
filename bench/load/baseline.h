/*
 * baseline.h: an earlier report of --json, which --compare names, and the table that shows it beside this run. Main
 * thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_BASELINE_H
#define CHITCHAT_BENCH_LOAD_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct load_report;
struct load_baseline; /* opaque */

/* Reads the file. False, with the reason in `why`, if it is no report. */
bool load_baseline_read(struct load_baseline **baseline_r, const char *path, char *why, size_t room);
/* Frees it; NULL is allowed. */
void load_baseline_close(struct load_baseline **baseline);
/* The figure with this name (metrics.h). False: the report does not have it. */
bool load_baseline_metric(const struct load_baseline *baseline, const char *name, double *value_r);
/* Prints what differs between the options of both runs, and each figure that both have, with its ratio. */
void load_baseline_print(const struct load_baseline *baseline, const struct load_report *report, FILE *out);

#endif
