/*
 * interval.h: what a run did in each interval of time: the latest is shown on the terminal, and those of the measured
 * time become the points of the report. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_INTERVAL_H
#define CHITCHAT_BENCH_LOAD_INTERVAL_H

#include <stdint.h>

#include "load/progress.h"
#include "load/report.h"
#include "load/run.h"
#include "load/stats.h"

struct load_interval {
    struct load_report *report; /* borrowed */
    enum load_phase phase;
    uint64_t phase_us;             /* when the phase began */
    uint64_t begun_us;             /* when the interval began */
    uint64_t end_us;               /* when an event is expected that ends an interval; 0: none */
    struct load_stats stats;       /* of the interval; in the measured time only what is measured */
    struct load_progress progress; /* of the interval before */
    uint64_t written_us;           /* when the progress was last written to a pipe */
};

/* A phase begins, and with it an interval. */
void load_interval_begin(struct load_interval *interval, enum load_phase phase, uint64_t now_us);
/* Adds what workers have published: fresh[0] not measured, fresh[1] measured. Ends the interval if it is long enough.
 */
void load_interval_add(struct load_interval *interval, const struct load_stats *fresh, uint64_t now_us);
/* An event at `end_us` will end an interval: no other one then begins so late before it that it would be too short. */
void load_interval_watch(struct load_interval *interval, uint64_t end_us);
/* Ends the interval, and begins the next; does nothing if one has just ended. */
void load_interval_end(struct load_interval *interval, uint64_t now_us);
/* Takes what the next load_interval_show is about. `all`: since the run began, [0] and [1] as above; `done`: the share
 * of the phase, 0 to 1. */
void load_interval_progress(struct load_interval *interval, const struct load_stats *all, uint64_t live,
                            const char *phase, double done);
/* Shows the progress: on a terminal each time, in a pipe with --progress each second. */
void load_interval_show(struct load_interval *interval, uint64_t now_us);

#endif
