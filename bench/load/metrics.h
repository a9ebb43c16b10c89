/*
 * metrics.h: the figures of a report under one name each, for --fail-if, --compare and the `metrics` of the JSON. A
 * name ends with its unit: ok_p99_ms, acknowledged_per_s. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_METRICS_H
#define CHITCHAT_BENCH_LOAD_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct load_report;

#define LOAD_METRIC_NAME_BYTES 48u

struct load_metric {
    char name[LOAD_METRIC_NAME_BYTES];
    double value;
    bool is_known; /* the run has this figure */
};

/* How many names there are. */
uint32_t load_metrics_count(void);
/* The figure with this number, below load_metrics_count(). Without a report (NULL) only its name. */
struct load_metric load_metrics_get(const struct load_report *report, uint32_t number);
/* The number of a name of `bytes` characters; UINT32_MAX: there is no such name. */
uint32_t load_metrics_find(const char *name, uint32_t bytes);
/* Prints all names, some to a line. Borrows the file. */
void load_metrics_print_names(FILE *file);

#endif
