/*
 * sim_run.h: one run of the simulator: a seed, a number of events, and the kinds of trouble that may strike. A run has
 * a process of its own, because a simulated crash leaves memory behind, and a broken promise ends the process.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_RUN_H
#define CHITCHAT_TESTS_SIM_SIM_RUN_H

#include "sim_client.h"

#define SIM_DIR_NAME "chitchat-sim-%d-" /* of the directories of a run: its process; in /dev/shm or /tmp */

struct sim_run_options {
    uint64_t seed;
    uint64_t events;
    uint32_t without; /* bits: enum sim_trouble */
    bool is_quiet;
};

struct sim_result {
    bool is_kept;            /* all promises were kept */
    enum sim_promise broken; /* else this one was broken */
    uint64_t event;          /* in this event */
    struct sim_tally tally;
};

/* Runs in this process, which ends if a promise is broken. */
struct sim_tally sim_run(const struct sim_run_options *asked);
/* Runs in a process of its own. A failure is printed on stderr with the command that repeats it, unless is_quiet. */
struct sim_result sim_run_apart(const struct sim_run_options *asked);

/* For the trace and for the report of a failure (sim_report.c): which run this is, and its current event. */
void sim_report_begin(const struct sim_run_options *asked, const struct chaos *chaos);
void sim_report_event(uint64_t event);

/* The names of enum sim_trouble, for --without. */
extern const char *const sim_trouble_names[TROUBLE_COUNT];
/* The name of a fault that can be active (base/fault.h), for --fault. */
const char *sim_fault_name(uint32_t fault);

#endif
