/*
 * hostile_report.h: what an attack has done to another client, judged and told: a table, and JSON. Main thread.
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

#define HOSTILE_P99_US 25000u
#define HOSTILE_TIMES_ALONE 4u

enum hostile_verdict { HOSTILE_KEPT, HOSTILE_BROKEN, HOSTILE_WAS_LOST, HOSTILE_IS_HUNG };

struct hostile_result {
    const struct hostile_plan *plan;
    struct hostile_figures alone, under, after;
    struct hostile_tally tally;
    /* The server before and after the attack, and later still where memory is what matters. All zeros: unknown. */
    struct load_proc before, ended, later;
};

/* What the p99 under an attack may be. */
uint64_t hostile_report_limit_us(const struct hostile_figures *alone);
enum hostile_verdict hostile_report_verdict(const struct hostile_result *result);
const char *hostile_report_verdict_name(enum hostile_verdict verdict);
/* Of the unit of its plan, a second. */
double hostile_report_rate(const struct hostile_plan *plan, const struct hostile_tally *tally);

/* The head of the table, and a line for each result. Borrow all. */
void hostile_report_print_head(FILE *out);
void hostile_report_print(const struct hostile_result *result, FILE *out);
/* False with a line on stderr if the file cannot be written. */
bool hostile_report_write_json(const struct hostile_result *results, uint32_t count, const char *path);

#endif
