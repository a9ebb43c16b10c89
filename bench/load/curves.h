/*
 * load_curves.h: the plots of the report's page (load_html.c). Each writes nothing if there is nothing to show in it.
 * Lines over time are steps, one for each interval, and end where an interval has no answer; kills of the server and
 * storms stand in them as bands. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_CURVES_H
#define CHITCHAT_BENCH_LOAD_CURVES_H

#include <stdio.h>

#include "load/report.h"

/* Borrow the file. */
void load_curves_rates(FILE *file, const struct load_report *report);
void load_curves_latencies(FILE *file, const struct load_report *report);
void load_curves_quantiles(FILE *file, const struct load_report *report);
void load_curves_distribution(FILE *file, const struct load_report *report);

#endif
