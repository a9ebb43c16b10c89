/*
 * problems.h: what is wrong in the files of a data directory, reported line by line and counted. One thread.
 */
#ifndef CHITCHAT_STORAGE_PROBLEMS_H
#define CHITCHAT_STORAGE_PROBLEMS_H

#include <stdint.h>

struct problems {
    void (*report)(void *context, const char *text); /* borrows `text`, one line without its end */
    void *context;
    uint64_t count; /* so far */
};

/* Counts and reports one problem: the file, what is wrong, and what to do if that is not obvious. */
void problems_add(struct problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
