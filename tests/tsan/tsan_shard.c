/* A group of shards that forward letters to each other, give jobs to a worker each and end at a signal from main:
 * memory of letters and jobs is written on one thread and read on another. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "shard/shard.h"

enum { SHARDS = 4, LETTERS = 32, HOPS = 2000, JOBS = 300 };

struct letter {
    unsigned hops;
};

struct member {
    struct shard *shard;
    struct letter letters[LETTERS];
    struct worker *worker;
    struct worker_job job;
    unsigned jobs_run; /* owned by the worker while the job is posted */
    unsigned jobs_done;
    atomic_uint letters_ended; /* relaxed, so that it orders nothing */
};

static void job_run(struct worker_job *job)
{
    container_of(job, struct member, job)->jobs_run++;
}

static void job_done(struct worker_job *job)
{
    struct member *member = container_of(job, struct member, job);
    ASSERT(member->jobs_run == ++member->jobs_done);
    if (member->jobs_done < JOBS)
        worker_post(member->worker, member->jobs_done % WORKER_LANES, job);
}

static void on_start(void *context)
{
    struct member *member = context;
    ASSERT(shard_worker_open(member->shard, "worker", SHARD_WORKER_PROMPT, &member->worker) == 0);
    member->job = (struct worker_job){job_run, job_done};
    worker_post(member->worker, 0, &member->job);
    for (unsigned i = 0; i < LETTERS; i++)
        shard_post(member->shard, (shard_index(member->shard) + i) % SHARDS, &member->letters[i]);
}

/* The shard on which a letter ends counts it. */
static void on_letter(void *context, uint32_t from, void *pointer)
{
    struct member *member = context;
    struct letter *letter = pointer;
    (void)from;
    if (++letter->hops == HOPS)
        atomic_fetch_add_explicit(&member->letters_ended, 1, memory_order_relaxed);
    else
        shard_post(member->shard, (shard_index(member->shard) + letter->hops % 3) % SHARDS, letter);
}

static void on_timer(void *context, struct timer *timer)
{
    (void)context, (void)timer;
}

static bool on_turn_end(void *context)
{
    struct member *member = context;
    if (shard_signals(member->shard) != 0 && member->jobs_done == JOBS)
        shard_finish(member->shard);
    return false;
}

static void on_finish(void *context)
{
    struct member *member = context;
    shard_worker_close(member->shard, &member->worker);
}

static unsigned count_ended(struct member *members)
{
    unsigned ended = 0;
    for (unsigned i = 0; i < SHARDS; i++)
        ended += atomic_load_explicit(&members[i].letters_ended, memory_order_relaxed);
    return ended;
}

int main(void)
{
    static const struct shard_handlers handlers = {.on_start = on_start,
                                                   .on_letter = on_letter,
                                                   .on_timer = on_timer,
                                                   .on_turn_end = on_turn_end,
                                                   .on_finish = on_finish};
    static struct member members[SHARDS];
    struct shard_group *group;
    struct clock clock;
    void *contexts[SHARDS];
    clock_init_system(&clock);
    struct shard_options options = {
        .shard_count = SHARDS, .pin = true, .clock = &clock, .io = {.recv_buffer_bytes = 256, .recv_buffer_count = 4}};
    for (unsigned i = 0; i < SHARDS; i++)
        contexts[i] = &members[i];
    ASSERT(shard_group_open(&group, &options, &handlers, contexts) == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        members[i].shard = shard_group_shard(group, i);
    ASSERT(shard_group_start(group) == 0);
    do /* ends the process if a letter is lost: ctest's time limit */
        ASSERT(!shard_group_join(group, 100000));
    while (count_ended(members) < SHARDS * LETTERS);
    shard_group_signal(group, 1);
    ASSERT(shard_group_join(group, 60000000));
    unsigned ended = count_ended(members);
    ASSERT(ended == SHARDS * LETTERS);
    shard_group_close(&group);
    printf("%u letters of %d hops, %d jobs of each shard\n", ended, HOPS, JOBS);
    return 0;
}
