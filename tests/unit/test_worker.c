#include "shard/worker.h"

#include <criterion/criterion.h>
#include <semaphore.h>

#include "base/list.h"

struct number_job {
    struct worker_job job;
    sem_t *gate; /* waited for before it runs, if not NULL */
    uint32_t number;
    uint32_t *order; /* [0] is how many have run */
    uint32_t *done;
};

struct bed {
    struct worker *worker;
    struct sleeper sleeper;
    sem_t wakes;
    uint32_t order[64];
    uint32_t done[64];
};

static void wake(void *context)
{
    struct bed *bed = context;
    sem_post(&bed->wakes);
}

static void run(struct worker_job *base)
{
    struct number_job *job = container_of(base, struct number_job, job);
    if (job->gate != NULL)
        sem_wait(job->gate);
    job->order[++job->order[0]] = job->number;
}

static void done(struct worker_job *base)
{
    struct number_job *job = container_of(base, struct number_job, job);
    job->done[++job->done[0]] = job->number;
}

static void bed_open(struct bed *bed)
{
    *bed = (struct bed){0};
    sem_init(&bed->wakes, 0, 0);
    struct worker_options options = {.name = "test", .shard = &bed->sleeper, .wake = wake, .wake_context = bed};
    cr_assert_eq(worker_open(&bed->worker, &options), 0);
}

static struct number_job job_of(struct bed *bed, uint32_t number, sem_t *gate)
{
    return (struct number_job){{run, done}, gate, number, bed->order, bed->done};
}

/* As a shard does: prepares to sleep, looks, sleeps. */
static void wait_until_done(struct bed *bed, uint32_t count)
{
    while (bed->done[0] < count) {
        sleeper_prepare(&bed->sleeper);
        if (!worker_has_finished(bed->worker))
            sem_wait(&bed->wakes);
        sleeper_awake(&bed->sleeper);
        worker_take_all(bed->worker);
    }
}

Test(worker, runs_jobs_in_order_and_gives_them_back)
{
    struct bed bed;
    struct number_job jobs[20];
    bed_open(&bed);
    for (uint32_t i = 0; i < 20; i++) {
        jobs[i] = job_of(&bed, i, NULL);
        worker_post(bed.worker, 0, &jobs[i].job);
    }
    wait_until_done(&bed, 20);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(bed.order[i + 1], i);
        cr_assert_eq(bed.done[i + 1], i);
    }
    cr_assert_eq(worker_jobs_under_way(bed.worker), 0);
    worker_close(&bed.worker);
    cr_assert_null(bed.worker);
}

Test(worker, serves_a_lower_lane_first)
{
    struct bed bed;
    sem_t gate;
    sem_init(&gate, 0, 0);
    bed_open(&bed);
    struct number_job jobs[] = {job_of(&bed, 9, &gate), job_of(&bed, 2, NULL), job_of(&bed, 1, NULL),
                                job_of(&bed, 0, NULL)};
    worker_post(bed.worker, 0, &jobs[0].job); /* holds the worker until the others stand in line */
    for (uint32_t i = 1; i < 4; i++)
        worker_post(bed.worker, 3 - i, &jobs[i].job);
    cr_assert_eq(worker_jobs_under_way(bed.worker), 4);
    sem_post(&gate);
    wait_until_done(&bed, 4);
    cr_assert_eq(bed.order[1], 9);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(bed.order[i + 2], i);
    worker_close(&bed.worker);
}

Test(worker, runs_what_was_posted_to_the_end_before_it_closes)
{
    struct bed bed;
    struct number_job jobs[30];
    bed_open(&bed);
    for (uint32_t i = 0; i < 30; i++) {
        jobs[i] = job_of(&bed, i, NULL);
        worker_post(bed.worker, i % WORKER_LANES, &jobs[i].job);
    }
    worker_close(&bed.worker);
    cr_assert_eq(bed.order[0], 30);
    cr_assert_eq(bed.done[0], 0);
}

Test(worker, wakes_each_time_and_only_a_shard_that_sleeps)
{
    struct bed bed;
    bed_open(&bed);
    struct number_job job = job_of(&bed, 1, NULL);
    for (uint32_t i = 1; i <= 50; i++) {
        worker_post(bed.worker, 0, &job.job);
        wait_until_done(&bed, i);
        if (i == 50)
            break;
        bed.order[0] %= 32; /* room for the numbers */
    }
    worker_post(bed.worker, 0, &job.job);
    while (!worker_has_finished(bed.worker))
        continue;
    int wakes;
    worker_take_all(bed.worker);
    while (sem_trywait(&bed.wakes) == 0)
        continue;
    worker_post(bed.worker, 0, &job.job);
    worker_close(&bed.worker);
    sem_getvalue(&bed.wakes, &wakes);
    cr_assert_eq(wakes, 0, "the shard was awake");
}
