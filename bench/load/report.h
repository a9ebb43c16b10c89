/*
 * report.h: the result of a run, and how it is printed. As JSON: json.h; as a page: html.h; its part about CPU and
 * memory: usage.h. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_REPORT_H
#define CHITCHAT_BENCH_LOAD_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "load/options.h"
#include "load/proc.h"
#include "load/socket.h"
#include "load/stats.h"

#define LOAD_STORMS_MAX 1000u
#define LOAD_MARKS_MAX (2 * LOAD_STORMS_MAX) /* in the plots; further ones are only counted */
#define LOAD_END_TEXT_BYTES 160u
#define LOAD_STUCK_TEXT_BYTES 600u
#define LOAD_THRESHOLD_TEXT_BYTES 160u

/* One interval of the measured time; it begins where the one before ends. */
struct load_point {
    double at_s; /* its end, since measuring began */
    double acknowledged_per_s, delivered_per_s, pages_per_s, logins_per_s, marks_per_s, typed_per_s;
    uint64_t p50_us, p99_us, max_us; /* of the run's main latency */
};

/* An event in the measured time: a kill of the server, or a storm of all connections. */
enum load_mark_kind { LOAD_MARK_KILL, LOAD_MARK_STORM };
struct load_mark {
    enum load_mark_kind kind;
    double at_s, until_s; /* until: the server listened again, the other node answered, or all were back; at_s if that
                             never happened */
};

struct load_baseline;

struct load_report {
    const struct load_options *options; /* borrowed */
    struct load_stats all;              /* from the first connect to the end */
    struct load_stats measured;
    double seconds; /* measured */
    double connect_s;
    double own_cpu_s;               /* of all threads of the generator, in the measured time */
    double busiest_share;           /* of a core, by the generator's busiest loop */
    double busiest_waited_share;    /* of the time, by the same loop: it waited for a core */
    struct load_proc idle;          /* without connections */
    struct load_proc logged_in;     /* with all connections logged in */
    struct load_proc before, after; /* the measured time */
    uint64_t behind_us;
    double storm_s[LOAD_STORMS_MAX];
    uint32_t storm_count;
    uint32_t kill_count;
    double failover_s[LOAD_STORMS_MAX]; /* of a pair: from each kill of the owner to the first `ok` of the other node */
    uint32_t failover_count;
    uint64_t sends_unanswered, pages_unanswered, entries_missing; /* when the wait at the end was over */
    struct load_point *points;                                    /* owned */
    uint32_t point_count, point_room;
    struct load_mark marks[LOAD_MARKS_MAX]; /* in the order of their time */
    uint32_t mark_count;
    char broken_text[400];
    uint64_t behind;               /* open loop: sends that were due in the measured time, but left after it or never */
    uint64_t overdue;              /* those of them that never left */
    bool is_held;                  /* they waited for room in a window */
    uint64_t late[LOAD_LATENCIES]; /* due in the measured time, answered after it: in no rate */
    char end_text[LOAD_END_TEXT_BYTES];     /* why the run ended early */
    char obstacle[LOAD_OBSTACLE_BYTES];     /* why this machine could not open connections; empty: it could */
    char tls_text[64];                      /* version and cipher; empty: no connection had TLS */
    char stuck_text[LOAD_STUCK_TEXT_BYTES]; /* if not complete: what connections were waiting for */
    bool is_complete;                       /* the run came to its end */
    uint32_t thresholds_failed;
    char threshold_texts[LOAD_THRESHOLDS_MAX][LOAD_THRESHOLD_TEXT_BYTES]; /* of those that failed */
};

/* The latency that the scenario is about. */
enum load_latency load_report_main_latency(const struct load_report *report);
/* The histogram to report of a latency. Most logins come before the measured time, so of logins all are reported. */
const struct load_histogram *load_report_latency(const struct load_report *report, enum load_latency latency);
/* No promise was broken, nothing is missing, and the run came to its end. */
bool load_report_is_good(const struct load_report *report);
/* Whether enough was measured for figures. Else there are only totals and the verdict: no user logged in, or the run
 * was interrupted before. */
bool load_report_has_figures(const struct load_report *report);
/* Whether more sends of an open loop were late at the end than one late turn explains. */
bool load_report_is_behind(const struct load_report *report);
void load_report_add_point(struct load_report *report, const struct load_point *point);
/* Checks the conditions of --fail-if, for the functions that write the report. `baseline` is NULL without --compare. */
void load_report_check_thresholds(struct load_report *report, const struct load_baseline *baseline);
/* Prints the report to stdout, with the table of --compare if `baseline` is not NULL. */
void load_report_print(const struct load_report *report, const struct load_baseline *baseline);
/* What was checked of connections that send nothing. */
const char *load_report_silence(const struct load_report *report);
/* Writes a file through `write`. False, with a line on stderr, if that fails. */
bool load_report_save(const struct load_report *report, const char *path,
                      void (*write)(FILE *file, const struct load_report *report));

#endif
