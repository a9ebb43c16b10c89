/* shard.c: the turns of one core, and the group of all. */
#include "shard/shard.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"

#define WORKERS_MAX 8
#define SLEEP_US_MAX 1000000u
#define LETTERS_AHEAD 16u
#define NAME_BYTES 16

struct shard {
    /* Set by shard_group_open, then only read. */
    struct shard_group *group;
    uint32_t index;
    void *context;
    struct io *io;
    pthread_t thread;

    /* Shared. */
    struct sleeper sleeper;
    atomic_uint signals;

    /* Owned by the shard's thread. */
    pthread_t self;
    uint64_t wall_us;
    uint64_t monotonic_us;
    bool is_finishing;
    uint64_t sleep_us_max; /* after this turn */
    bool *has_posted;      /* to each shard, in this turn */
    struct worker *workers[WORKERS_MAX];
    uint32_t worker_count;
    struct timers timers;
};

struct shard_group {
    /* Set by shard_group_open, then only read. */
    struct shard_options options;
    struct shard_handlers handlers;
    cpu_set_t cpus;        /* of the process */
    cpu_set_t worker_cpus; /* those without a shard; if there are none, all */
    struct shard *shards;
    struct mailbox **mailboxes; /* [from * shard_count + to] */
    uint32_t started;

    /* Shared, under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t has_changed;
    uint32_t running; /* have been through on_start */
    uint32_t finished;
};

static struct mailbox *mailbox_of(struct shard_group *group, uint32_t from, uint32_t to)
{
    return group->mailboxes[from * group->options.shard_count + to];
}

uint32_t shard_index(const struct shard *shard)
{
    return shard->index;
}

uint32_t shard_count(const struct shard *shard)
{
    return shard->group->options.shard_count;
}

struct io *shard_io(struct shard *shard)
{
    ASSERT_ON_SHARD(shard);
    return shard->io;
}

struct timers *shard_timers(struct shard *shard)
{
    ASSERT_ON_SHARD(shard);
    return &shard->timers;
}

uint32_t shard_signals(struct shard *shard)
{
    return atomic_load_explicit(&shard->signals, memory_order_acquire);
}

uint64_t shard_wall_us(const struct shard *shard)
{
    return shard->wall_us;
}

uint64_t shard_monotonic_us(const struct shard *shard)
{
    return shard->monotonic_us;
}

bool shard_is_current(const struct shard *shard)
{
    return pthread_equal(shard->self, pthread_self()) != 0;
}

void shard_wake_within(struct shard *shard, uint64_t us)
{
    ASSERT_ON_SHARD(shard);
    if (us < shard->sleep_us_max)
        shard->sleep_us_max = us;
}

void shard_finish(struct shard *shard)
{
    ASSERT_ON_SHARD(shard);
    shard->is_finishing = true;
}

void shard_post(struct shard *shard, uint32_t to, void *letter)
{
    ASSERT_ON_SHARD(shard);
    ASSERT(to < shard->group->options.shard_count);
    bool has_room = mailbox_post(mailbox_of(shard->group, shard->index, to), letter);
    ASSERT(has_room);
    shard->has_posted[to] = true;
}

static void wake_shard(void *context)
{
    struct shard *shard = context;
    io_wake_from_thread(shard->io);
}

int shard_worker_open(struct shard *shard, const char *name, enum shard_worker_kind kind, struct worker **worker_r)
{
    ASSERT_ON_SHARD(shard);
    ASSERT(shard->worker_count < WORKERS_MAX);
    struct worker_options options = {.name = name,
                                     .shard = &shard->sleeper,
                                     .wake = wake_shard,
                                     .wake_context = shard,
                                     .clock = shard->group->options.clock,
                                     .cpus = &shard->group->worker_cpus,
                                     .is_low_priority = kind == SHARD_WORKER_BACKGROUND};
    int status = worker_open(worker_r, &options);
    if (status == 0)
        shard->workers[shard->worker_count++] = *worker_r;
    return status;
}

void shard_worker_close(struct shard *shard, struct worker **worker)
{
    ASSERT_ON_SHARD(shard);
    for (uint32_t i = 0; i < shard->worker_count; i++)
        if (shard->workers[i] == *worker)
            shard->workers[i] = shard->workers[--shard->worker_count];
    worker_close(worker);
}

static bool has_inbound(struct shard *shard)
{
    for (uint32_t from = 0; from < shard_count(shard); from++)
        if (!mailbox_is_empty(mailbox_of(shard->group, from, shard->index)))
            return true;
    for (uint32_t i = 0; i < shard->worker_count; i++)
        if (worker_has_finished(shard->workers[i]))
            return true;
    return false;
}

/* A letter, and what it points to, lies in another core's cache. The letter is prefetched when it is taken out of the
 * mailbox, and on_letter_soon prefetches what it points to a few letters later. The counts are letters of this turn. */
struct letters {
    void *ring[LETTERS_AHEAD];
    uint32_t taken;
    uint32_t announced;
    uint32_t given;
};

static void letters_take(struct letters *letters, struct mailbox *mailbox)
{
    while (letters->taken - letters->given < LETTERS_AHEAD && letters->taken < SHARD_LETTERS_TURN_MAX) {
        void *letter = mailbox_take(mailbox);
        if (letter == NULL)
            return;
        __builtin_prefetch(letter);
        __builtin_prefetch((char *)letter + 64);
        letters->ring[letters->taken++ % LETTERS_AHEAD] = letter;
    }
}

static void letters_announce(const struct shard *shard, struct letters *letters)
{
    const struct shard_handlers *handlers = &shard->group->handlers;
    while (letters->announced < letters->taken && letters->announced - letters->given <= LETTERS_AHEAD / 2) {
        if (handlers->on_letter_soon != NULL)
            handlers->on_letter_soon(shard->context, letters->ring[letters->announced % LETTERS_AHEAD]);
        letters->announced++;
    }
}

/* At most SHARD_LETTERS_TURN_MAX: the rest, and letters that are posted meanwhile, wait for the next turn. */
static void take_from(struct shard *shard, uint32_t from)
{
    struct mailbox *mailbox = mailbox_of(shard->group, from, shard->index);
    struct letters letters;
    letters.taken = letters.announced = letters.given = 0;
    for (;;) {
        letters_take(&letters, mailbox);
        letters_announce(shard, &letters);
        if (letters.given == letters.taken)
            return;
        shard->group->handlers.on_letter(shard->context, from, letters.ring[letters.given++ % LETTERS_AHEAD]);
    }
}

static void take_letters(struct shard *shard)
{
    for (uint32_t from = 0; from < shard_count(shard); from++)
        take_from(shard, from);
}

static void on_timer(void *context, struct timer *timer)
{
    struct shard *shard = context;
    shard->group->handlers.on_timer(shard->context, timer);
}

static void wake_others(struct shard *shard)
{
    for (uint32_t to = 0; to < shard_count(shard); to++) {
        if (!shard->has_posted[to])
            continue;
        shard->has_posted[to] = false;
        struct shard *other = &shard->group->shards[to];
        if (other != shard && sleeper_must_wake(&other->sleeper))
            io_wake(shard->io, other->io);
    }
    for (uint32_t i = 0; i < shard->worker_count; i++)
        worker_wake(shard->workers[i]);
}

void shard_flush(struct shard *shard)
{
    ASSERT_ON_SHARD(shard);
    wake_others(shard);
    io_submit(shard->io);
}

static void read_clocks(struct shard *shard)
{
    shard->wall_us = clock_wall_us(shard->group->options.clock);
    shard->monotonic_us = clock_monotonic_us(shard->group->options.clock);
}

/* If nothing is left to do, submits what the last turn has queued, and sleeps. */
static int wait_for_work(struct shard *shard, bool has_more, uint32_t seen_signals)
{
    if (has_more)
        return 0;
    sleeper_prepare(&shard->sleeper);
    bool must_stay = has_inbound(shard) || shard_signals(shard) != seen_signals;
    uint64_t wait_us = must_stay ? 0 : timers_wait_us(&shard->timers, shard->monotonic_us, shard->sleep_us_max);
    int status = wait_us == 0 ? 0 : io_wait(shard->io, wait_us);
    sleeper_awake(&shard->sleeper);
    return status;
}

static bool take_turn(struct shard *shard)
{
    read_clocks(shard);
    shard->sleep_us_max = SLEEP_US_MAX;
    if (io_gather(shard->io, 0) < 0)
        log_line(LOG_ERROR, "io_broken", "shard=%u", shard->index);
    take_letters(shard);
    for (uint32_t i = 0; i < shard->worker_count; i++)
        worker_take_all(shard->workers[i]);
    bool has_more = timers_advance(&shard->timers, shard->monotonic_us, SHARD_TIMERS_TURN_MAX, on_timer, shard);
    has_more |= shard->group->handlers.on_turn_end(shard->context);
    wake_others(shard);
    return has_more;
}

static void run_turns(struct shard *shard)
{
    bool has_more = true;
    uint32_t seen_signals = 0;
    while (!shard->is_finishing) {
        int status = wait_for_work(shard, has_more, seen_signals);
        ASSERT(status == 0); /* a shard whose ring is broken cannot go on */
        seen_signals = shard_signals(shard);
        has_more = take_turn(shard);
    }
}

/* The CPU of a shard: shards are spread over the CPUs of the process in turns. */
static size_t cpu_of(const struct shard_group *group, uint32_t index)
{
    int wanted = (int)(index % (uint32_t)CPU_COUNT(&group->cpus));
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &group->cpus) || wanted-- > 0)
        cpu++;
    return cpu;
}

static void pin(struct shard *shard)
{
    cpu_set_t own;
    size_t cpu = cpu_of(shard->group, shard->index);
    CPU_ZERO(&own);
    CPU_SET(cpu, &own);
    if (pthread_setaffinity_np(pthread_self(), sizeof own, &own) != 0)
        log_line(LOG_WARN, "not_pinned", "shard=%u cpu=%zu", shard->index, cpu);
}

static void find_cpus(struct shard_group *group)
{
    if (sched_getaffinity(0, sizeof group->cpus, &group->cpus) != 0)
        CPU_SET(0, &group->cpus);
    group->worker_cpus = group->cpus;
    if (!group->options.pin || group->options.shard_count >= (uint32_t)CPU_COUNT(&group->cpus))
        return;
    for (uint32_t i = 0; i < group->options.shard_count; i++)
        CPU_CLR(cpu_of(group, i), &group->worker_cpus);
}

static void *shard_main(void *argument)
{
    struct shard *shard = argument;
    struct shard_group *group = shard->group;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "shard %u", shard->index);
    pthread_setname_np(pthread_self(), name);
    if (group->options.pin)
        pin(shard);
    shard->self = pthread_self();
    read_clocks(shard);
    timers_init(&shard->timers, shard->monotonic_us);
    group->handlers.on_start(shard->context);
    pthread_mutex_lock(&group->lock);
    group->running++;
    pthread_cond_broadcast(&group->has_changed);
    pthread_mutex_unlock(&group->lock);
    run_turns(shard);
    group->handlers.on_finish(shard->context);
    pthread_mutex_lock(&group->lock);
    group->finished++;
    pthread_cond_broadcast(&group->has_changed);
    pthread_mutex_unlock(&group->lock);
    return NULL;
}

static int shard_open(struct shard_group *group, uint32_t index, void *context)
{
    struct shard *shard = &group->shards[index];
    uint32_t count = group->options.shard_count;
    shard->group = group;
    shard->index = index;
    shard->context = context;
    shard->has_posted = calloc(count, sizeof *shard->has_posted);
    if (shard->has_posted == NULL)
        return -ENOMEM;
    int status = io_open(&shard->io, &group->options.io, &group->handlers.io, context);
    for (uint32_t to = 0; to < count && status == 0; to++)
        status = mailbox_open(&group->mailboxes[index * count + to], SHARD_MAILBOX_LETTERS);
    return status;
}

static void group_init_sync(struct shard_group *group)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&group->has_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&group->lock, NULL);
}

int shard_group_open(struct shard_group **group_r, const struct shard_options *options,
                     const struct shard_handlers *handlers, void *const *contexts)
{
    uint32_t count = options->shard_count;
    ASSERT(count > 0);
    ASSERT(options->clock != NULL);
    ASSERT(handlers->on_letter != NULL);
    ASSERT(handlers->on_turn_end != NULL);
    struct shard_group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return -ENOMEM;
    group_init_sync(group);
    group->options = *options;
    group->handlers = *handlers;
    find_cpus(group);
    group->mailboxes = calloc((size_t)count * count, sizeof(struct mailbox *));
    group->shards = aligned_alloc(_Alignof(struct shard), count * sizeof *group->shards);
    int status = group->mailboxes == NULL || group->shards == NULL ? -ENOMEM : 0;
    if (group->shards != NULL)
        memset(group->shards, 0, count * sizeof *group->shards);
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = shard_open(group, i, contexts[i]);
    if (status != 0) {
        shard_group_close(&group);
        return status;
    }
    *group_r = group;
    return 0;
}

int shard_group_start(struct shard_group *group)
{
    ASSERT(group->finished == 0);
    for (; group->started < group->options.shard_count; group->started++) {
        struct shard *shard = &group->shards[group->started];
        int result = pthread_create(&shard->thread, NULL, shard_main, shard);
        if (result != 0)
            return -result;
    }
    pthread_mutex_lock(&group->lock);
    while (group->running < group->started)
        pthread_cond_wait(&group->has_changed, &group->lock);
    pthread_mutex_unlock(&group->lock);
    return 0;
}

bool shard_group_join(struct shard_group *group, uint64_t timeout_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t nanoseconds = (uint64_t)until.tv_nsec + timeout_us % 1000000 * 1000;
    until.tv_sec += (time_t)(timeout_us / 1000000 + nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
    int result = 0;
    pthread_mutex_lock(&group->lock);
    while (group->finished < group->started && result == 0)
        result = pthread_cond_timedwait(&group->has_changed, &group->lock, &until);
    bool is_done = group->finished == group->started;
    pthread_mutex_unlock(&group->lock);
    for (; is_done && group->started > 0; group->started--)
        pthread_join(group->shards[group->started - 1].thread, NULL);
    return is_done;
}

void shard_group_close(struct shard_group **group)
{
    struct shard_group *closing = *group;
    uint32_t count = closing->options.shard_count;
    ASSERT(closing->started == 0);
    for (uint32_t i = 0; closing->shards != NULL && i < count; i++) {
        io_close_loop(&closing->shards[i].io);
        free(closing->shards[i].has_posted);
    }
    for (uint32_t i = 0; closing->mailboxes != NULL && i < count * count; i++)
        mailbox_close(&closing->mailboxes[i]);
    free(closing->shards);
    free(closing->mailboxes);
    pthread_mutex_destroy(&closing->lock);
    pthread_cond_destroy(&closing->has_changed);
    free(closing);
    *group = NULL;
}

struct shard *shard_group_shard(struct shard_group *group, uint32_t index)
{
    ASSERT(index < group->options.shard_count);
    return &group->shards[index];
}

void shard_group_signal(struct shard_group *group, uint32_t signal)
{
    for (uint32_t i = 0; i < group->options.shard_count; i++) {
        struct shard *shard = &group->shards[i];
        atomic_fetch_or_explicit(&shard->signals, signal, memory_order_release);
        io_wake_from_thread(shard->io);
    }
}
