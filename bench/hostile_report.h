/*
 * hostile_report.h: the effect of an attack on another client: the verdict, a table, and JSON. Main thread.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_REPORT_H
#define CHITCHAT_BENCH_HOSTILE_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "hostile_crew.h"
#include "hostile_plan.h"
#include "hostile_probe.h"
#include "load/proc.h"

enum hostile_verdict { HOSTILE_KEPT, HOSTILE_BROKEN, HOSTILE_WAS_LOST, HOSTILE_IS_HUNG };

struct hostile_result {
    const struct hostile_plan *plan; /* borrowed */
    struct hostile_figures alone, under, after;
    struct hostile_tally tally;
    /* The server before and after the attack, and 10 s later if the attack is about memory. All zeros: not known. */
    struct load_proc before, ended, later;
};

/* Kept if the p99 under the attack is at most 25 ms or four times that alone, whichever is more, and the client was
 * served to the end. */
enum hostile_verdict hostile_report_verdict(const struct hostile_result *result);

/* The head of the table, and the line of a result. Borrow all. */
void hostile_report_print_head(FILE *out);
void hostile_report_print(const struct hostile_result *result, FILE *out);
/* False, with a line on stderr, if the file cannot be written. */
bool hostile_report_write_json(const struct hostile_result *results, uint32_t count, const char *path);

#endif
