/*
 * load_report.h: what a run has shown: for people (load_report.c), as JSON (load_json.c), as a page (load_html.c), and
 * while it runs (load_progress.c). Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_REPORT_H
#define CHITCHAT_BENCH_LOAD_REPORT_H

#include <stdbool.h>

#include "load/options.h"
#include "load/proc.h"
#include "load/socket.h"
#include "load/stats.h"

#define LOAD_STORMS_MAX 1000u
#define LOAD_MARKS_MAX (2 * LOAD_STORMS_MAX) /* in the plots; what comes after them is only counted */
#define LOAD_END_TEXT_BYTES 160u
#define LOAD_STUCK_TEXT_BYTES 600u

/* One interval of the measured time; it begins where the one before ends. */
struct load_point {
    double at_s; /* its end, since measuring began */
    double acknowledged_per_s, delivered_per_s, pages_per_s;
    uint64_t p50_us, p99_us, max_us; /* of the run's main latency */
};

/* Something that was done to the server or to all connections in the measured time. */
enum load_mark_kind { LOAD_MARK_KILL, LOAD_MARK_STORM };
struct load_mark {
    enum load_mark_kind kind;
    double at_s, until_s; /* until it listened again, all were back; at_s if that never came */
};

struct load_report {
    const struct load_options *options; /* borrowed */
    struct load_stats all;              /* from the first connect to the end */
    struct load_stats measured;
    double seconds; /* measured */
    double connect_s;
    double own_cpu_s;                             /* of all of our threads, in the measured time */
    double busiest_share;                         /* of a core, by our busiest loop */
    double busiest_waited_share;                  /* of the time, in which it could have run, but had no core */
    struct load_proc idle, seated, before, after; /* no connections; all logged in; around the measured time */
    uint64_t behind_us;
    double storm_s[LOAD_STORMS_MAX];
    uint32_t storm_count;
    uint32_t kill_count;
    uint64_t sends_unanswered, pages_unanswered, entries_missing; /* when the patience of the end was over */
    struct load_point *points;                                    /* owned */
    uint32_t point_count, point_room;
    struct load_mark marks[LOAD_MARKS_MAX]; /* as they came */
    uint32_t mark_count;
    char broken_text[400];
    uint64_t behind;                        /* open loop: due in the measured time, and sent after it, or never */
    uint64_t overdue;                       /* those of them that were never sent */
    bool is_held;                           /* they waited for room in a window */
    uint64_t late[LOAD_LATENCIES];          /* begun in the measured time, answered after it: in no rate */
    char end_text[LOAD_END_TEXT_BYTES];     /* why it ended early */
    char obstacle[LOAD_OBSTACLE_BYTES];     /* why connections could not even begin; empty: they could */
    char stuck_text[LOAD_STUCK_TEXT_BYTES]; /* if not complete: what connections were waiting for */
    bool is_complete;                       /* it ran to its end */
};

/* The latency that the scenario is about. */
enum load_latency load_report_main_latency(const struct load_report *report);
/* What is told of a latency: most logins come before anything is measured, so of those all. */
const struct load_histogram *load_report_latency(const struct load_report *report, enum load_latency latency);
/* No promise was broken, nothing is missing, and it ran to its end. */
bool load_report_is_good(const struct load_report *report);
/* Whether enough was measured for figures; else there are only counts and the judgement: nobody logged in, or the run
 * was interrupted before. */
bool load_report_has_figures(const struct load_report *report);
bool load_report_is_saturated(const struct load_report *report);
/* More sends of an open loop were late at the end than one late turn makes. */
bool load_report_is_behind(const struct load_report *report);
void load_report_add_point(struct load_report *report, const struct load_point *point);
/* load_usage.c: whether the server told of itself, before and at the end. */
bool load_report_knows_server(const struct load_report *report);
/* Bytes of the server's RSS, and of the kernel, that a connection takes; 0 if that cannot be told: fewer connections
 * than this, whose part is lost in what all else takes, or the server had the memory already. */
#define LOAD_EACH_CONNECTIONS_MIN 1000u
double load_report_rss_each(const struct load_report *report);
double load_report_kernel_each(const struct load_report *report);
/* The server had served before, so what a connection seems to take is too little. */
bool load_report_was_used(const struct load_report *report);
void load_report_print(const struct load_report *report);
/* The part of it about CPU and memory. */
void load_usage_print(const struct load_report *report);
/* False, told on stderr, if the file cannot be written. */
bool load_report_write_json(const struct load_report *report, const char *path);
bool load_report_write_html(const struct load_report *report, const char *path);

/* One line on stderr, written over again and again; nothing if that is no terminal. */
struct load_progress {
    const char *phase;
    double done;      /* 0 to 1 */
    const char *what; /* is counted: sends, pages … */
    double per_s;     /* below 0: not known yet */
    uint64_t p99_us;
    bool has_p99;
    uint64_t live;
    uint64_t busy;    /* told to try again */
    uint64_t refused; /* connects */
    uint64_t broken;  /* promises */
};
/* The line, without what moves the cursor. */
void load_progress_format(const struct load_progress *progress, char *out, size_t room);
void load_progress_show(const struct load_progress *progress);
void load_progress_end(void);

#endif
