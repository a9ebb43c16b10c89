#include "shard/worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"

#define LANE_CAPACITY (WORKER_JOBS_MAX + 1)
#define DONE_CAPACITY 16384u
_Static_assert(WORKER_LANES *WORKER_JOBS_MAX < DONE_CAPACITY, "there is room for all finished jobs");
#define NAME_BYTES 16
#define GIVE_WAY_NICE 5

struct worker {
    /* Set by open, then only read. */
    struct worker_options options;
    char name[NAME_BYTES];
    pthread_t thread;
    pthread_t owner; /* the shard's thread, which opened the worker */
    struct mailbox *lanes[WORKER_LANES];
    struct mailbox *done;

    /* Shared. */
    struct sleeper sleeper; /* the worker's own */
    sem_t woken;
    atomic_bool is_stopping;

    /* Owned by the worker's thread. */
    bool has_unreported;          /* jobs finished since the shard was last woken */
    uint64_t unreported_since_us; /* when the first of them did */

    /* Owned by the shard's thread. */
    uint32_t under_way;
    bool has_posted; /* since worker_wake */
};

static void assert_on_owner(const struct worker *worker)
{
    ASSERT(pthread_equal(worker->owner, pthread_self()));
}

static struct worker_job *take_job(struct worker *worker, uint32_t *lane_r)
{
    struct worker_job *job = NULL;
    for (uint32_t lane = 0; lane < WORKER_LANES && job == NULL; lane++) {
        job = mailbox_take(worker->lanes[lane]);
        *lane_r = lane;
    }
    return job;
}

static bool has_job(struct worker *worker)
{
    for (uint32_t lane = 0; lane < WORKER_LANES; lane++)
        if (!mailbox_is_empty(worker->lanes[lane]))
            return true;
    return false;
}

static bool is_time_to_wake(struct worker *worker, uint32_t lane)
{
    struct clock *clock = worker->options.clock;
    if (lane == 0 || clock == NULL || !has_job(worker))
        return true;
    uint64_t now_us = clock_monotonic_us(clock);
    if (!worker->has_unreported)
        worker->unreported_since_us = now_us;
    worker->has_unreported = true;
    return now_us - worker->unreported_since_us >= WORKER_WAKE_US;
}

/* A shard that is awake finds the job without a wake-up. */
static void run_job(struct worker *worker, struct worker_job *job, uint32_t lane)
{
    job->run(job);
    bool has_room = mailbox_post(worker->done, job);
    ASSERT(has_room);
    if (!is_time_to_wake(worker, lane))
        return;
    worker->has_unreported = false;
    if (sleeper_must_wake(worker->options.shard))
        worker->options.wake(worker->options.wake_context);
}

static void wait_for_jobs(struct worker *worker)
{
    sleeper_prepare(&worker->sleeper);
    if (!has_job(worker) && !atomic_load(&worker->is_stopping))
        while (sem_wait(&worker->woken) != 0)
            ASSERT(errno == EINTR);
    sleeper_awake(&worker->sleeper);
}

/* For a worker whose jobs are long and not urgent. If the kernel refuses, the worker keeps the usual priority. */
static void lower_priority(void)
{
    struct sched_param none = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), GIVE_WAY_NICE);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    pthread_setname_np(pthread_self(), worker->name);
    if (worker->options.is_low_priority)
        lower_priority();
    for (;;) {
        uint32_t lane;
        struct worker_job *job = take_job(worker, &lane);
        if (job != NULL)
            run_job(worker, job, lane);
        else if (atomic_load(&worker->is_stopping) && !has_job(worker))
            return NULL;
        else
            wait_for_jobs(worker);
    }
}

static void free_parts(struct worker *worker)
{
    for (uint32_t lane = 0; lane < WORKER_LANES; lane++)
        mailbox_close(&worker->lanes[lane]);
    mailbox_close(&worker->done);
    sem_destroy(&worker->woken);
    free(worker);
}

static int start_thread(struct worker *worker)
{
    pthread_attr_t attributes;
    int result = pthread_attr_init(&attributes);
    if (result != 0)
        return -result;
    if (worker->options.cpus != NULL)
        result = pthread_attr_setaffinity_np(&attributes, sizeof(cpu_set_t), worker->options.cpus);
    if (result == 0)
        result = pthread_create(&worker->thread, &attributes, worker_main, worker);
    pthread_attr_destroy(&attributes);
    return -result;
}

int worker_open(struct worker **worker_r, const struct worker_options *options)
{
    ASSERT(strlen(options->name) < NAME_BYTES);
    ASSERT(options->shard != NULL);
    ASSERT(options->wake != NULL);
    struct worker *worker = aligned_alloc(_Alignof(struct worker), sizeof *worker);
    if (worker == NULL)
        return -ENOMEM;
    memset(worker, 0, sizeof *worker);
    worker->options = *options;
    worker->owner = pthread_self();
    memcpy(worker->name, options->name, strlen(options->name));
    sem_init(&worker->woken, 0, 0);
    int status = mailbox_open(&worker->done, DONE_CAPACITY);
    for (uint32_t lane = 0; lane < WORKER_LANES && status == 0; lane++)
        status = mailbox_open(&worker->lanes[lane], LANE_CAPACITY);
    if (status == 0)
        status = start_thread(worker);
    if (status != 0) {
        free_parts(worker);
        return status;
    }
    *worker_r = worker;
    return 0;
}

void worker_close(struct worker **worker)
{
    if (*worker == NULL)
        return;
    assert_on_owner(*worker);
    atomic_store(&(*worker)->is_stopping, true);
    sem_post(&(*worker)->woken);
    pthread_join((*worker)->thread, NULL);
    free_parts(*worker);
    *worker = NULL;
}

void worker_post(struct worker *worker, uint32_t lane, struct worker_job *job)
{
    assert_on_owner(worker);
    ASSERT(lane < WORKER_LANES);
    ASSERT(job->run != NULL && job->done != NULL);
    bool has_room = mailbox_post(worker->lanes[lane], job);
    ASSERT(has_room);
    worker->under_way++;
    worker->has_posted = true;
}

void worker_wake(struct worker *worker)
{
    assert_on_owner(worker);
    if (!worker->has_posted)
        return;
    worker->has_posted = false;
    if (sleeper_must_wake(&worker->sleeper))
        sem_post(&worker->woken);
}

uint32_t worker_jobs_under_way(const struct worker *worker)
{
    assert_on_owner(worker);
    return worker->under_way;
}

uint32_t worker_take_all(struct worker *worker)
{
    assert_on_owner(worker);
    uint32_t count = 0;
    for (struct worker_job *job; (job = mailbox_take(worker->done)) != NULL; count++) {
        ASSERT(worker->under_way > 0);
        worker->under_way--;
        job->done(job);
    }
    return count;
}

bool worker_has_finished(struct worker *worker)
{
    assert_on_owner(worker);
    return !mailbox_is_empty(worker->done);
}
