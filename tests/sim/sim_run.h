/*
 * sim_run.h: one run of the simulator: a seed, so many events, and what may befall it. In a process of its own, as what
 * a crash leaves in memory goes with it, and a broken promise ends it.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_RUN_H
#define CHITCHAT_TESTS_SIM_SIM_RUN_H

#include "sim_client.h"

struct sim_request_to_run {
    uint64_t seed;
    uint64_t events;
    uint32_t without; /* bits: enum sim_trouble */
    bool is_quiet;
};

struct sim_result {
    bool is_kept;            /* all promises */
    enum sim_promise broken; /* else the one */
    uint64_t event;          /* at which */
    struct sim_tally tally;
};

/* Runs it in this process, which ends if a promise is broken. */
struct sim_tally sim_run(const struct sim_request_to_run *asked);
/* Runs it in a process of its own. What goes wrong is told on stderr, with the way to repeat it, unless it is to be
 * quiet. */
struct sim_result sim_run_apart(const struct sim_request_to_run *asked);

/* For the trace and for what is told of a failure (sim_report.c): which run it is, and where it is. */
void sim_report_begin(const struct sim_request_to_run *asked, const struct chaos *chaos);
void sim_report_event(uint64_t event);

/* The names of enum sim_trouble, for --without. */
extern const char *const sim_trouble_names[TROUBLE_COUNT];
/* The name of the fault that is built in (base/fault.h), for --fault. */
const char *sim_fault_name(uint32_t fault);

#endif
