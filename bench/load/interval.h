/*
 * load_interval.h: what a run has done lately: one interval after the other, told on the terminal; those of the
 * measured time stay as points of the report. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_INTERVAL_H
#define CHITCHAT_BENCH_LOAD_INTERVAL_H

#include "load/report.h"
#include "load/run.h"

struct load_interval {
    struct load_report *report; /* borrowed */
    enum load_phase phase;
    uint64_t begun_us, interval_us; /* the phase; the interval that is under way */
    uint64_t end_us;                /* when something is expected that ends an interval; 0: nothing is */
    struct load_stats interval;     /* in the measured time: only what is measured */
    struct load_progress progress;  /* of the interval before */
};

/* A phase begins: of what it is about nothing is known yet. */
void load_interval_begin(struct load_interval *pulse, enum load_phase phase, uint64_t now_us);
/* What workers have published: [0] not measured, [1] measured. */
void load_interval_add(struct load_interval *pulse, const struct load_stats *fresh, uint64_t now_us);
/* At `end_us` an interval will be ended: it is to be long enough to say something. */
void load_interval_watch(struct load_interval *pulse, uint64_t end_us);
/* Ends the interval that is under way; nothing if one has just ended. */
void load_interval_end(struct load_interval *pulse, uint64_t now_us);
/* `all`: since the run began, [0] and [1] likewise; `done`: the share of the phase, 0 to 1. */
void load_interval_show(struct load_interval *pulse, const struct load_stats *all, uint64_t live, const char *phase,
                        double done);

#endif
