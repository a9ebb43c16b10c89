/*
 * problems.h: what is found wrong in files at rest, told line by line and counted. One thread.
 */
#ifndef CHITCHAT_STORAGE_PROBLEMS_H
#define CHITCHAT_STORAGE_PROBLEMS_H

#include <stdint.h>

struct problems {
    void (*report)(void *context, const char *text);
    void *context;
    uint64_t count;
};

/* One problem: file, what is wrong, and what to do where it is not plain. */
void problems_add(struct problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
