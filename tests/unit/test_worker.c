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

struct fixture {
    struct worker *worker;
    struct sleeper sleeper;
    sem_t wakes;
    uint32_t order[64];
    uint32_t done[64];
};

static void wake(void *context)
{
    struct fixture *fixture = context;
    sem_post(&fixture->wakes);
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

static void fixture_open(struct fixture *fixture)
{
    *fixture = (struct fixture){0};
    sem_init(&fixture->wakes, 0, 0);
    struct worker_options options = {.name = "test", .shard = &fixture->sleeper, .wake = wake, .wake_context = fixture};
    cr_assert_eq(worker_open(&fixture->worker, &options), 0);
}

static struct number_job job_of(struct fixture *fixture, uint32_t number, sem_t *gate)
{
    return (struct number_job){{run, done}, gate, number, fixture->order, fixture->done};
}

/* As a shard does: prepares to sleep, looks, sleeps. */
static void wait_until_done(struct fixture *fixture, uint32_t count)
{
    worker_wake(fixture->worker);
    while (fixture->done[0] < count) {
        sleeper_prepare(&fixture->sleeper);
        if (!worker_has_finished(fixture->worker))
            sem_wait(&fixture->wakes);
        sleeper_awake(&fixture->sleeper);
        worker_take_all(fixture->worker);
    }
}

Test(worker, runs_jobs_in_order_and_gives_them_back)
{
    struct fixture fixture;
    struct number_job jobs[20];
    fixture_open(&fixture);
    for (uint32_t i = 0; i < 20; i++) {
        jobs[i] = job_of(&fixture, i, NULL);
        worker_post(fixture.worker, 0, &jobs[i].job);
    }
    wait_until_done(&fixture, 20);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(fixture.order[i + 1], i);
        cr_assert_eq(fixture.done[i + 1], i);
    }
    cr_assert_eq(worker_jobs_under_way(fixture.worker), 0);
    worker_close(&fixture.worker);
    cr_assert_null(fixture.worker);
}

Test(worker, serves_a_lower_lane_first)
{
    struct fixture fixture;
    sem_t gate;
    sem_init(&gate, 0, 0);
    fixture_open(&fixture);
    struct number_job jobs[] = {job_of(&fixture, 9, &gate), job_of(&fixture, 2, NULL), job_of(&fixture, 1, NULL),
                                job_of(&fixture, 0, NULL)};
    worker_post(fixture.worker, 0, &jobs[0].job); /* holds the worker until the others stand in line */
    worker_wake(fixture.worker);
    for (uint32_t i = 1; i < 4; i++)
        worker_post(fixture.worker, 3 - i, &jobs[i].job);
    cr_assert_eq(worker_jobs_under_way(fixture.worker), 4);
    sem_post(&gate);
    wait_until_done(&fixture, 4);
    cr_assert_eq(fixture.order[1], 9);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(fixture.order[i + 2], i);
    worker_close(&fixture.worker);
}

Test(worker, runs_what_was_posted_to_the_end_before_it_closes)
{
    struct fixture fixture;
    struct number_job jobs[30];
    fixture_open(&fixture);
    for (uint32_t i = 0; i < 30; i++) {
        jobs[i] = job_of(&fixture, i, NULL);
        worker_post(fixture.worker, i % WORKER_LANES, &jobs[i].job);
    }
    worker_close(&fixture.worker);
    cr_assert_eq(fixture.order[0], 30);
    cr_assert_eq(fixture.done[0], 0);
}

Test(worker, wakes_each_time_and_only_a_shard_that_sleeps)
{
    struct fixture fixture;
    fixture_open(&fixture);
    struct number_job job = job_of(&fixture, 1, NULL);
    for (uint32_t i = 1; i <= 50; i++) {
        worker_post(fixture.worker, 0, &job.job);
        wait_until_done(&fixture, i);
        if (i == 50)
            break;
        fixture.order[0] %= 32; /* room for the numbers */
    }
    worker_post(fixture.worker, 0, &job.job);
    worker_wake(fixture.worker);
    while (!worker_has_finished(fixture.worker))
        continue;
    int wakes;
    worker_take_all(fixture.worker);
    while (sem_trywait(&fixture.wakes) == 0)
        continue;
    worker_post(fixture.worker, 0, &job.job);
    worker_close(&fixture.worker);
    sem_getvalue(&fixture.wakes, &wakes);
    cr_assert_eq(wakes, 0, "the shard was awake");
}

/* -- many short jobs -- */

struct steps {
    struct clock clock;
    uint64_t now_us;
    uint64_t step_us; /* by which each look at the clock moves it */
};

static uint64_t step_on(struct clock *clock)
{
    struct steps *steps = container_of(clock, struct steps, clock);
    return steps->now_us += steps->step_us;
}

struct drowsy_job {
    struct number_job number;
    struct fixture *fixture;
};

/* The shard has taken what there was, and sleeps again. */
static void run_beside_a_sleeper(struct worker_job *base)
{
    struct drowsy_job *job = container_of(container_of(base, struct number_job, job), struct drowsy_job, number);
    run(base);
    sleeper_prepare(&job->fixture->sleeper);
}

static int wakes_of_20_jobs(uint32_t lane, uint64_t step_us)
{
    struct fixture fixture = {0};
    struct steps steps = {.clock = {step_on, step_on}, .step_us = step_us};
    struct worker_options options = {
        .name = "test", .shard = &fixture.sleeper, .wake = wake, .wake_context = &fixture, .clock = &steps.clock};
    struct drowsy_job jobs[20];
    sem_t gate;
    int wakes;
    sem_init(&fixture.wakes, 0, 0);
    sem_init(&gate, 0, 0);
    cr_assert_eq(worker_open(&fixture.worker, &options), 0);
    for (uint32_t i = 0; i < 20; i++) {
        jobs[i] = (struct drowsy_job){job_of(&fixture, i, i == 0 ? &gate : NULL), &fixture};
        jobs[i].number.job.run = run_beside_a_sleeper;
        worker_post(fixture.worker, lane, &jobs[i].number.job);
    }
    sem_post(&gate);
    worker_close(&fixture.worker);
    cr_assert_eq(fixture.order[0], 20);
    sem_getvalue(&fixture.wakes, &wakes);
    return wakes;
}

Test(worker, wakes_a_shard_once_for_many_short_jobs_and_before_a_result_has_waited_long)
{
    cr_assert_eq(wakes_of_20_jobs(1, 0), 1, "all of them are done in no time");
    cr_assert_eq(wakes_of_20_jobs(1, WORKER_WAKE_US), 10, "each second one: the one before has waited");
    cr_assert_eq(wakes_of_20_jobs(0, 0), 20, "nothing of lane 0 waits");
}
