/*
 * html.h: the report as one page that needs no other file: figures at a glance, plots (curves.h), tables (tables.h).
 * Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_HTML_H
#define CHITCHAT_BENCH_LOAD_HTML_H

#include <stdbool.h>

#include "load/report.h"

/* False, with a line on stderr, if the file cannot be written. */
bool load_html_write(const struct load_report *report, const char *path);

#endif
