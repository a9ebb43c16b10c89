/*
 * scenario.h: what each scenario does: who sends what to whom and when, who leaves and who comes back. The functions
 * that take a worker are for its thread; the others are pure.
 */
#ifndef CHITCHAT_BENCH_LOAD_SCENARIO_H
#define CHITCHAT_BENCH_LOAD_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include "load/options.h"

struct load_session;
struct load_worker;

#define LOAD_FILL_WINDOW 64u /* sends unanswered on a connection while timelines are filled */

/* The user of a session. */
uint32_t load_scenario_user(const struct load_options *options, uint32_t session);
/* Whether a session sends while it is measured. */
bool load_scenario_sends(const struct load_options *options, uint32_t session);

/* The worker has followed the run into another phase. */
void load_scenario_on_phase(struct load_worker *worker);
/* Once in each turn of the worker's loop. */
void load_scenario_on_turn(struct load_worker *worker);
/* How long the worker may sleep. */
uint64_t load_scenario_wait_us(const struct load_worker *worker);
/* A session has become live. */
void load_scenario_on_live(struct load_worker *worker, struct load_session *session);
/* A send has been answered, or a page has come. */
void load_scenario_on_answer(struct load_worker *worker, struct load_session *session);

#endif
