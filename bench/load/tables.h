/*
 * load_tables.h: the tables of the report's page (load_html.c), and text in it. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_TABLES_H
#define CHITCHAT_BENCH_LOAD_TABLES_H

#include <stdio.h>

#include "load/report.h"

/* Borrow the file. */
void load_tables_latencies(FILE *file, const struct load_report *report);
/* Of a run that ended before it was measured, only what was counted in all. */
void load_tables_counts(FILE *file, const struct load_report *report);
/* CPU of server and generator. */
void load_tables_cpu(FILE *file, const struct load_report *report);
/* RSS and kernel memory: before, with all logged in, at the end, and what one connection takes. */
void load_tables_memory(FILE *file, const struct load_report *report);
/* The options and the command line. */
void load_tables_options(FILE *file, const struct load_report *report);

/* `text` as it shows in a page. */
void load_tables_escape(FILE *file, const char *text);

#endif
