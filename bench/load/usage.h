/*
 * usage.h: what a run has used, as its report says it: CPU and memory of the server and the kernel, and whether the
 * generator had enough CPU. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_USAGE_H
#define CHITCHAT_BENCH_LOAD_USAGE_H

#include <stdbool.h>

#include "load/report.h"

/* With fewer connections, the memory of one is lost in the noise of the whole system. */
#define LOAD_USAGE_CONNECTIONS_MIN 1000u

/* Whether the generator had too little CPU, so that the figures may be its own limit. */
bool load_usage_is_saturated(const struct load_report *report);
/* Whether the server's own figures could be read, before the run and at its end. */
bool load_usage_knows_server(const struct load_report *report);
/* Whether the server had served before the run, so that the memory of a connection seems too small. */
bool load_usage_was_used(const struct load_report *report);
/* Bytes of the server's RSS that a connection takes, and of the kernel; 0 if not known: fewer connections than
 * LOAD_USAGE_CONNECTIONS_MIN, or the server had the memory already. */
double load_usage_rss_each(const struct load_report *report);
double load_usage_kernel_each(const struct load_report *report);
/* CPU of the server for one connect, upgrade and login. */
double load_usage_login_us(const struct load_report *report);
/* Writes the part of the report about CPU and memory to stdout. */
void load_usage_print(const struct load_report *report);

#endif
