/*
 * csv.h: the measured time as a table for a spreadsheet: a row for each interval, with its rates, and the quantiles of
 * the scenario's latency in milliseconds. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_CSV_H
#define CHITCHAT_BENCH_LOAD_CSV_H

#include <stdbool.h>

#include "load/report.h"

/* Writes the file; false, with a line on stderr, if that fails. An interval without an answer has empty latencies. */
bool load_csv_write(const struct load_report *report, const char *path);

#endif
