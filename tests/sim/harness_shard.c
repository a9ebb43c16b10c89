/* harness_shard.c: the doubles of shard/shard.h and shard/worker.h: one thread, letters and jobs that can be held. */
#include <stdlib.h>

#include "harness_double.h"
#include "history/history.h"
#include "server/core_handlers.h"
#include "timeline/delivery.h"

/* Some hundred times what the longest turn of the tests makes. */
#define TURN_CALLS_MAX 5000000u

void harness_count_call(struct harness *harness)
{
    if (++harness->turn_calls > TURN_CALLS_MAX)
        harness_fail("a turn does not end");
}

uint32_t shard_index(const struct shard *shard)
{
    return shard->index;
}

uint32_t shard_count(const struct shard *shard)
{
    return shard->harness->config.shards;
}

struct io *shard_io(struct shard *shard)
{
    harness_count_call(shard->harness);
    return &shard->io;
}

struct timers *shard_timers(struct shard *shard)
{
    return &shard->timers;
}

uint32_t shard_signals(struct shard *shard)
{
    return shard->signals;
}

uint64_t shard_wall_us(const struct shard *shard)
{
    harness_count_call(shard->harness);
    return shard->harness->wall_us;
}

uint64_t shard_monotonic_us(const struct shard *shard)
{
    harness_count_call(shard->harness);
    return shard->harness->monotonic_us;
}

bool shard_is_current(const struct shard *shard)
{
    const struct shard *running = shard->harness->running;
    return running == NULL || running == shard;
}

/* The time passes at once. */
void shard_wake_within(struct shard *shard, uint64_t us)
{
    shard->harness->activity++;
    harness_advance(shard->harness, (int64_t)us);
}

void shard_flush(struct shard *shard)
{
    shard->has_flushed = true;
}

void shard_finish(struct shard *shard)
{
    shard->is_finished = true;
}

void shard_post(struct shard *shard, uint32_t to, void *letter)
{
    struct letters *letters = &shard->harness->letters[shard->index][to];
    harness_count_call(shard->harness);
    if (letters->end == letters->room) {
        letters->room = letters->room == 0 ? 64 : letters->room * 2;
        letters->items = realloc(letters->items, letters->room * sizeof *letters->items);
        ASSERT(letters->items != NULL);
    }
    letters->items[letters->end++] = letter;
    ASSERT(letters->end - letters->begin < SHARD_MAILBOX_LETTERS);
}

static void letters_turn(struct harness *harness, uint32_t from, uint32_t to)
{
    struct letters *letters = &harness->letters[from][to];
    uint32_t end = letters->held ? letters->begin : letters->end;
    if (harness_is_chaotic(harness) && end > letters->begin)
        end = letters->begin + chaos_below(harness->chaos, end - letters->begin + 1);
    if (end - letters->begin > SHARD_LETTERS_TURN_MAX)
        end = letters->begin + SHARD_LETTERS_TURN_MAX;
    while (letters->begin < end) {
        harness->activity++;
        core_handlers()->on_letter(harness->shards[to].context, from, letters->items[letters->begin++]);
    }
}

int shard_worker_open(struct shard *shard, const char *name, enum shard_worker_kind kind, struct worker **worker_r)
{
    (void)kind;
    struct worker *worker = calloc(1, sizeof *worker);
    ASSERT(worker != NULL && strlen(name) < sizeof worker->name);
    worker->shard = shard;
    memcpy(worker->name, name, strlen(name));
    worker->next = shard->workers;
    shard->workers = worker;
    *worker_r = worker;
    return 0;
}

void shard_worker_close(struct shard *shard, struct worker **worker)
{
    struct worker **at = &shard->workers;
    while (*at != *worker)
        at = &(*at)->next;
    *at = (*worker)->next;
    free(*worker);
    *worker = NULL;
}

void worker_post(struct worker *worker, uint32_t lane, struct worker_job *job)
{
    (void)lane;
    ASSERT(worker->end - worker->begin < 4096);
    worker->shard->harness->activity++;
    worker->jobs[worker->end++ % 4096] = job;
}

uint32_t worker_jobs_under_way(const struct worker *worker)
{
    return worker->end - worker->begin;
}

/* Whether a job makes a step now. */
static bool makes_step(const struct worker *worker)
{
    struct harness *harness = worker->shard->harness;
    return !harness_is_chaotic(harness) || chaos_hits(harness->chaos, harness->chaos->job_odds);
}

static void run_job(struct worker *worker, struct worker_job *job)
{
    struct chaos *chaos = worker->shard->harness->chaos;
    if (chaos != NULL)
        chaos->is_beside = true;
    job->run(job);
    if (chaos != NULL)
        chaos->is_beside = false;
}

static void worker_turn(struct worker *worker)
{
    while (!worker->hold && worker->run != worker->end && makes_step(worker)) {
        worker->shard->harness->activity++;
        struct worker_job *job = worker->jobs[worker->run++ % 4096];
        run_job(worker, job);
    }
    while (!worker->hold_results && worker->begin != worker->run && makes_step(worker)) {
        worker->shard->harness->activity++;
        struct worker_job *job = worker->jobs[worker->begin++ % 4096];
        job->done(job);
    }
}

void harness_workers_turn(struct shard *shard)
{
    for (struct worker *worker = shard->workers; worker != NULL; worker = worker->next)
        worker_turn(worker);
}

static void on_timer(void *context, struct timer *timer)
{
    struct shard *shard = context;
    core_handlers()->on_timer(shard->context, timer);
}

/* A shard with nothing more to do sleeps until something arrives: work in a queue would wait for that. Stashes may
 * wait, if enough sends are in flight: their answers wake the shard. */
static void check_queues(const struct core *core)
{
    const struct {
        const char *name;
        const struct list *list;
    } queues[] = {{"resume_conns", &core->conns.resume},
                  {"resume_first_conns", &core->conns.resume_first},

                  {"replay_conns", &core->replays.queue},
                  {"fanouts", &core->fanouts.queue}};
    for (size_t i = conn_may_resume(core) ? 0 : 2; i < sizeof queues / sizeof queues[0]; i++)
        if (!list_is_empty(queues[i].list))
            harness_fail("shard %u goes to sleep, but %s is not empty", core->index, queues[i].name);
    if (history_is_behind(core))
        harness_fail("shard %u goes to sleep, but pages could be gathered", core->index);
    if (delivery_is_behind(core))
        harness_fail("shard %u goes to sleep, but durable records are not delivered", core->index);
}

void harness_turn(struct harness *harness, uint32_t index)
{
    struct shard *shard = &harness->shards[index];
    if (shard->is_finished)
        return;
    harness->turn_calls = 0;
    harness->running = shard;
    shard->has_flushed = false;
    if (harness->chaos != NULL)
        harness->chaos->turns++;
    if (!shard->is_started) {
        shard->is_started = true;
        core_handlers()->on_start(shard->context);
    }
    harness_io_turn(&shard->io);
    for (uint32_t from = 0; from < harness->config.shards; from++)
        letters_turn(harness, from, index);
    harness_workers_turn(shard);
    shard->has_more = timers_advance(&shard->timers, harness->monotonic_us, SHARD_TIMERS_TURN_MAX, on_timer, shard);
    shard->has_more |= core_handlers()->on_turn_end(shard->context);
    const struct turn *turn = &harness->cores[index]->turn;
    if (turn->longest_work_ns > turn_work_ns_max())
        harness_fail("a turn of %llu us of counted work: %llu at most are allowed",
                     (unsigned long long)turn->longest_work_ns / 1000, (unsigned long long)turn_work_ns_max() / 1000);
    if (shard->has_more)
        harness->activity++;
    else
        check_queues(harness->cores[index]);
    if (shard->is_finished)
        core_handlers()->on_finish(shard->context);
    harness->running = NULL;
}
