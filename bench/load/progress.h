/*
 * progress.h: one line on stderr that shows how far a run is, written over again and again. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_PROGRESS_H
#define CHITCHAT_BENCH_LOAD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_progress {
    const char *phase;
    double done;      /* 0 to 1 */
    const char *what; /* what is counted: sends, pages … */
    double per_s;     /* below 0: not known yet */
    uint64_t p99_us;
    bool has_p99;
    uint64_t live;
    uint64_t busy;    /* requests that the server refused for now */
    uint64_t refused; /* connects */
    uint64_t broken;  /* promises */
};

/* Shows the line; does nothing if stderr is no terminal. */
void load_progress_show(const struct load_progress *progress);
/* Removes the line. */
void load_progress_end(void);
/* For tests: the line, without what moves the cursor. */
void load_progress_format(const struct load_progress *progress, char *out, size_t room);

#endif
