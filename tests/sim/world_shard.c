/* world_shard.c: the doubles of shard/shard.h and shard/worker.h: one thread, letters and jobs that wait to be let go.
 */
#include <stdlib.h>

#include "delivery.h"
#include "history.h"
#include "world_double.h"

/* Some hundred times what the fullest turn of the tests needs. */
#define TURN_CALLS_MAX 5000000u

void world_count_call(struct world *world)
{
    if (++world->turn_calls > TURN_CALLS_MAX)
        world_fail("a turn does not come to an end");
}

uint32_t shard_index(const struct shard *shard)
{
    return shard->index;
}

uint32_t shard_count(const struct shard *shard)
{
    return shard->world->config.shards;
}

struct io *shard_io(struct shard *shard)
{
    world_count_call(shard->world);
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
    world_count_call(shard->world);
    return shard->world->wall_us;
}

uint64_t shard_monotonic_us(const struct shard *shard)
{
    world_count_call(shard->world);
    return shard->world->monotonic_us;
}

bool shard_is_current(const struct shard *shard)
{
    (void)shard;
    return true;
}

/* Time passes until then. */
void shard_wake_within(struct shard *shard, uint64_t us)
{
    shard->world->activity++;
    world_advance(shard->world, (int64_t)us);
}

void shard_finish(struct shard *shard)
{
    shard->is_finished = true;
}

void shard_post(struct shard *shard, uint32_t to, void *letter)
{
    struct letters *letters = &shard->world->letters[shard->index][to];
    world_count_call(shard->world);
    if (letters->end == letters->room) {
        letters->room = letters->room == 0 ? 64 : letters->room * 2;
        letters->items = realloc(letters->items, letters->room * sizeof *letters->items);
        ASSERT(letters->items != NULL);
    }
    letters->items[letters->end++] = letter;
    ASSERT(letters->end - letters->begin < SHARD_MAILBOX_LETTERS);
}

static void letters_turn(struct world *world, uint32_t from, uint32_t to)
{
    struct letters *letters = &world->letters[from][to];
    uint32_t end = letters->held ? letters->begin : letters->end;
    if (world_is_chaotic(world) && end > letters->begin)
        end = letters->begin + chaos_below(world->chaos, end - letters->begin + 1);
    if (end - letters->begin > SHARD_LETTERS_TURN_MAX)
        end = letters->begin + SHARD_LETTERS_TURN_MAX;
    while (letters->begin < end) {
        world->activity++;
        core_handlers()->on_letter(world->shards[to].context, from, letters->items[letters->begin++]);
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
    worker->jobs[worker->end++ % 4096] = job;
}

uint32_t worker_jobs_under_way(const struct worker *worker)
{
    return worker->end - worker->begin;
}

/* Whether chance lets a job go on now. */
static bool lets_go(const struct worker *worker)
{
    struct world *world = worker->shard->world;
    return !world_is_chaotic(world) || chaos_hits(world->chaos, world->chaos->job_odds);
}

static void run_job(struct worker *worker, struct worker_job *job)
{
    struct chaos *chaos = worker->shard->world->chaos;
    if (chaos != NULL)
        chaos->is_beside = true;
    job->run(job);
    if (chaos != NULL)
        chaos->is_beside = false;
}

static void worker_turn(struct worker *worker)
{
    while (!worker->hold && worker->run != worker->end && lets_go(worker)) {
        worker->shard->world->activity++;
        struct worker_job *job = worker->jobs[worker->run++ % 4096];
        run_job(worker, job);
    }
    while (!worker->hold_results && worker->begin != worker->run && lets_go(worker)) {
        worker->shard->world->activity++;
        struct worker_job *job = worker->jobs[worker->begin++ % 4096];
        job->done(job);
    }
}

void world_workers_turn(struct shard *shard)
{
    for (struct worker *worker = shard->workers; worker != NULL; worker = worker->next)
        worker_turn(worker);
}

static void on_timer(void *context, struct timer *timer)
{
    struct shard *shard = context;
    core_handlers()->on_timer(shard->context, timer);
}

/* A shard with nothing more to do sleeps until something comes: work in a queue would wait for that. */
static void check_queues(const struct core *core)
{
    const struct {
        const char *name;
        const struct list *list;
    } queues[] = {
        {"resume_conns", &core->resume_conns}, {"replay_conns", &core->replay_conns}, {"fanouts", &core->fanouts}};
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        if (!list_is_empty(queues[i].list))
            world_fail("shard %u goes to sleep, but %s is not empty", core->index, queues[i].name);
    if (history_is_behind(core))
        world_fail("shard %u goes to sleep, but there are pages that can be gathered", core->index);
    if (delivery_is_behind(core))
        world_fail("shard %u goes to sleep, but records that are durable are not taken up", core->index);
}

void world_turn(struct world *world, uint32_t index)
{
    struct shard *shard = &world->shards[index];
    if (shard->is_finished)
        return;
    world->turn_calls = 0;
    if (world->chaos != NULL)
        world->chaos->turns++;
    if (!shard->is_started) {
        shard->is_started = true;
        core_handlers()->on_start(shard->context);
    }
    world_io_turn(&shard->io);
    for (uint32_t from = 0; from < world->config.shards; from++)
        letters_turn(world, from, index);
    world_workers_turn(shard);
    shard->has_more = timers_advance(&shard->timers, world->monotonic_us, SHARD_TIMERS_TURN_MAX, on_timer, shard);
    shard->has_more |= core_handlers()->on_turn_end(shard->context);
    const struct turn *turn = &world->cores[index]->turn;
    if (turn->longest_work_ns > turn_work_ns_max())
        world_fail("a turn of %llu us of counted work: %llu at most are allowed",
                   (unsigned long long)turn->longest_work_ns / 1000, (unsigned long long)turn_work_ns_max() / 1000);
    if (shard->has_more)
        world->activity++;
    else
        check_queues(world->cores[index]);
    if (shard->is_finished)
        core_handlers()->on_finish(shard->context);
}
