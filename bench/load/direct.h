/*
 * direct.h: directs a run from the first connect to the verdict: sets the phases, and watches what happens. Main
 * thread.
 *
 * SIGINT, SIGTERM and SIGHUP end the measured time early; what was measured is still checked and reported. The caller
 * has blocked them.
 */
#ifndef CHITCHAT_BENCH_LOAD_DIRECT_H
#define CHITCHAT_BENCH_LOAD_DIRECT_H

#include "load/report.h"
#include "load/run.h"

/* Directs the workers of an open run to its end, joins them, and fills the report, whose `idle` the caller has set. */
void load_direct(struct load_run *run, struct load_report *report);

#endif
