/*
 * worker.h: a thread that does for one shard what may block (LMDB, files). The shard posts jobs, the worker runs them
 * one at a time, the shard takes them back in the order in which they were finished. Jobs have a lane: a lower lane is
 * served first. Posting and taking are on the shard's thread and never block; job->run is on the worker's.
 *
 * The worker wakes the shard through `wake` (called on the worker's thread) only if the shard's sleeper says that it
 * sleeps, and not for each of many short jobs: at once after a job of lane 0, when it has no more to do, or when a
 * finished job has waited for WORKER_WAKE_US; a job that is being run then is waited for.
 */
#ifndef CHITCHAT_SHARD_WORKER_H
#define CHITCHAT_SHARD_WORKER_H

#include <sched.h>

#include "base/clock.h"
#include "shard/mailbox.h"

#define WORKER_LANES 3
#define WORKER_WAKE_US 50
#define WORKER_JOBS_MAX 4095 /* under way at once in one lane; the shard counts */

struct worker;

struct worker_job {
    void (*run)(struct worker_job *job);  /* on the worker's thread */
    void (*done)(struct worker_job *job); /* on the shard's thread, from worker_take_all */
};

struct worker_options {
    const char *name;      /* thread name, at most 15 bytes */
    struct sleeper *shard; /* the shard's flag */
    void (*wake)(void *context);
    void *wake_context;
    struct clock *clock;   /* NULL: wakes after each job */
    const cpu_set_t *cpus; /* where the thread may run; NULL: where its opener may */
    bool is_low_priority;  /* to all threads that do not */
};

int worker_open(struct worker **worker_r, const struct worker_options *options);
/* Runs what was posted to the end, joins the thread. Jobs not taken back yet are not called `done`: take first. Nulls
 * *worker. */
void worker_close(struct worker **worker);

/* Borrows `job` until its `done`. At most WORKER_JOBS_MAX of one lane under way: asserted. A worker that sleeps runs it
 * after worker_wake. */
void worker_post(struct worker *worker, uint32_t lane, struct worker_job *job);
/* Once for all that a turn has posted: on a core that both share, a worker woken by the first would run it alone,
 * before the shard can post the next. */
void worker_wake(struct worker *worker);
/* Jobs posted and not yet taken back, in all lanes. */
uint32_t worker_jobs_under_way(const struct worker *worker);
/* Calls `done` of all finished jobs; returns how many. */
uint32_t worker_take_all(struct worker *worker);
bool worker_has_finished(struct worker *worker);

#endif
