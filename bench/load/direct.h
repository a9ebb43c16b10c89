/*
 * load_direct.h: a run from the first connect to the judgement: the phases, told to the workers, and what is watched
 * meanwhile. Main thread. SIGINT, SIGTERM and SIGHUP, which the caller has blocked, cut the measured time short; what
 * was measured is judged and told.
 */
#ifndef CHITCHAT_BENCH_LOAD_DIRECT_H
#define CHITCHAT_BENCH_LOAD_DIRECT_H

#include "load/report.h"
#include "load/run.h"

/* Directs the workers of an open run to its end, joins them, and fills the report, whose `idle` the caller has read. */
void load_direct(struct load_run *run, struct load_report *report);

#endif
