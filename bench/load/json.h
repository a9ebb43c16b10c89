/*
 * json.h: the report as JSON. Names of counts and latencies are those of stats.c; latencies are in microseconds,
 * but in `metrics` each figure has its unit in its name. Main
 * thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_JSON_H
#define CHITCHAT_BENCH_LOAD_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "load/report.h"

/* False, with a line on stderr, if the file cannot be written. */
bool load_json_write(const struct load_report *report, const char *path);
/* Writes what the report says of the options, as an object of its own. Borrows the file. */
void load_json_options(FILE *file, const struct load_options *options);

#endif
