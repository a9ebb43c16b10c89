/*
 * argument.h: values on a command line. What is refused is reported on stderr, in one line that names `program` and the
 * option. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_ARGUMENT_H
#define CHITCHAT_BENCH_LOAD_ARGUMENT_H

#include <stdbool.h>
#include <stdint.h>

/* Reports "NAME WHY"; returns false. */
bool load_argument_refuse(const char *program, const char *name, const char *why);
/* Both borrow `text`; false, reported, if it is no such number from `min` to `max`. */
bool load_argument_number(const char *program, const char *name, const char *text, double min, double max,
                          double *number_r);
bool load_argument_whole(const char *program, const char *name, const char *text, uint64_t min, uint64_t max,
                         uint64_t *number_r);

#endif
