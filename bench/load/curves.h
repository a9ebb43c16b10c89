/*
 * curves.h: the plots of the report's page (html.h). Each writes nothing if there is nothing to show. A line over time
 * has one step for each interval, and breaks where an interval has no answer; kills of the server and storms are bands.
 * All functions borrow the file. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_CURVES_H
#define CHITCHAT_BENCH_LOAD_CURVES_H

#include <stdio.h>

#include "load/report.h"

void load_curves_rates(FILE *file, const struct load_report *report);
void load_curves_latencies(FILE *file, const struct load_report *report);
void load_curves_quantiles(FILE *file, const struct load_report *report);
void load_curves_distribution(FILE *file, const struct load_report *report);

#endif
