/*
 * worker.h: a thread that runs for one shard what may block (LMDB, files). The shard posts jobs, the worker runs one
 * job at a time, and the shard takes them back in the order in which they finished. Each job has a lane; the worker
 * takes from the lowest lane that has a job. The thread that opens a worker is the shard's: all calls are on that
 * thread (asserted) and, except worker_close, never block. job->run is called on the worker's thread.
 *
 * The worker calls `wake` (on the worker's thread) only if the shard's sleeper says that the shard sleeps, and not
 * after each of many short jobs: at once after a job of lane 0, when no job is left, or after the first job that ends
 * when a finished one has waited for WORKER_WAKE_US.
 */
#ifndef CHITCHAT_SHARD_WORKER_H
#define CHITCHAT_SHARD_WORKER_H

#include <sched.h>

#include "base/clock.h"
#include "shard/mailbox.h"

#define WORKER_LANES 3
#define WORKER_WAKE_US 50
#define WORKER_JOBS_MAX 4095 /* posted and not yet taken back, of one lane; the shard counts them */

struct worker;

struct worker_job {
    void (*run)(struct worker_job *job);  /* on the worker's thread */
    void (*done)(struct worker_job *job); /* on the shard's thread, from worker_take_all */
};

struct worker_options {
    const char *name;      /* thread name, at most 15 bytes */
    struct sleeper *shard; /* the shard's flag; borrowed until worker_close, as are wake_context and clock */
    void (*wake)(void *context);
    void *wake_context;
    struct clock *clock; /* NULL: the worker wakes the shard after each job */
    const cpu_set_t
        *cpus;            /* where the thread may run, borrowed until worker_open returns; NULL: where its opener may */
    bool is_low_priority; /* to all threads that do not */
};

/* Starts a worker for the calling thread; copies `options`. 0 or -errno; the caller closes *worker_r. */
int worker_open(struct worker **worker_r, const struct worker_options *options);
/* Waits until all posted jobs have run, and joins the thread. `done` is not called for jobs that were not taken back.
 * Nulls *worker; NULL is fine. */
void worker_close(struct worker **worker);

/* Borrows `job` until its `done`. More than WORKER_JOBS_MAX jobs that wait in one lane are asserted. A worker that
 * sleeps starts after worker_wake. */
void worker_post(struct worker *worker, uint32_t lane, struct worker_job *job);
/* Wakes the worker if jobs were posted since the last call. Once a turn: on a core that both threads share, a worker
 * that is woken at the first post would run that job alone, before the shard can post the next. */
void worker_wake(struct worker *worker);
/* Jobs posted and not yet taken back, in all lanes. */
uint32_t worker_jobs_under_way(const struct worker *worker);
/* Calls `done` of all finished jobs; returns how many. `done` may post again. */
uint32_t worker_take_all(struct worker *worker);
/* Whether a finished job has not been taken back. */
bool worker_has_finished(struct worker *worker);

#endif
