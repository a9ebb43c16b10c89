/*
 * tables.h: the tables of the report's page (html.h), and text in it. All functions borrow the file. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_TABLES_H
#define CHITCHAT_BENCH_LOAD_TABLES_H

#include <stdio.h>

#include "load/report.h"

void load_tables_latencies(FILE *file, const struct load_report *report);
/* Of a run that ended before it was measured only the totals. */
void load_tables_counts(FILE *file, const struct load_report *report);
/* CPU of server and generator. */
void load_tables_cpu(FILE *file, const struct load_report *report);
/* RSS and kernel memory: before, with all logged in, at the end, and what one connection takes. */
void load_tables_memory(FILE *file, const struct load_report *report);
/* The options and the command line. */
void load_tables_options(FILE *file, const struct load_report *report);

/* Writes `text` so that a page shows it as it is. */
void load_tables_escape(FILE *file, const char *text);

#endif
