/*
 * progress.h: one line on stderr that shows how far a run is: on a terminal it is written over again and again, in
 * a pipe there is a new one each time. Main thread.
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

/* Whether there is a terminal to show the line on. */
bool load_progress_has_terminal(void);
/* Shows the line on the terminal. */
void load_progress_show(const struct load_progress *progress);
/* Writes the line as one of its own, for a pipe or a file; `now_us` is the time since the run began. */
void load_progress_write(const struct load_progress *progress, uint64_t now_us);
/* Removes the line. */
void load_progress_end(void);
/* For tests: the line, without what moves the cursor. */
void load_progress_format(const struct load_progress *progress, char *out, size_t room);

#endif
