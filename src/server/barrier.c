#include "server/barrier.h"

#include <errno.h>

#include "server/core.h"

void barriers_init(struct barriers *barriers)
{
    list_init(&barriers->waiting);
}

/* A batch that is full, or of the round before, takes no barrier: then the next one is tried. 0 or -EIO. */
static int choose_batch(struct core *core, struct barrier *barrier)
{
    int status = log_begin(&core->wal_writer.log, &barrier->sequence);
    if (status != 0)
        barrier->sequence = UINT64_MAX;
    return status == -EIO ? -EIO : 0;
}

static void end(struct core *core, struct barrier *barrier, enum barrier_end how)
{
    barrier_leave(barrier);
    barrier->on_end(core, barrier, how);
}

void barrier_begin(struct core *core, struct barrier *barrier)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(!barrier_waits(barrier));
    if (core->wal_writer.log.remote == NULL) {
        barrier->on_end(core, barrier, BARRIER_PASSED);
        return;
    }
    metric_add(&core->slot_metrics.barriers, 1);
    if (choose_batch(core, barrier) != 0 && !barrier->is_patient) {
        barrier->sequence = 0;
        barrier->on_end(core, barrier, BARRIER_LOST);
        return;
    }
    barrier->since_us = shard_monotonic_us(core->shard);
    list_init(&barrier->link);
    list_append(&core->barriers.waiting, &barrier->link);
}

void barrier_leave(struct barrier *barrier)
{
    if (!barrier_waits(barrier))
        return;
    list_remove(&barrier->link);
    barrier->sequence = 0;
}

/* Moves those that `is_over` to `ended`: what an on_end does to other barriers then harms no walk. */
static void gather(struct core *core, struct list *ended, bool (*is_over)(struct barrier *barrier, uint64_t bound),
                   uint64_t bound)
{
    list_init(ended);
    for (struct list *at = core->barriers.waiting.next, *next; at != &core->barriers.waiting; at = next) {
        next = at->next;
        if (!is_over(container_of(at, struct barrier, link), bound))
            continue;
        list_remove(at);
        list_append(ended, at);
    }
}

static void end_all(struct core *core, struct list *ended, enum barrier_end how)
{
    while (!list_is_empty(ended))
        end(core, container_of(ended->next, struct barrier, link), how);
}

static bool is_committed(struct barrier *barrier, uint64_t sequence)
{
    return barrier->sequence <= sequence;
}

static bool is_impatient(struct barrier *barrier, uint64_t since_us)
{
    return !barrier->is_patient && barrier->since_us <= since_us;
}

void barriers_on_durable(struct core *core, uint64_t sequence)
{
    struct list ended;
    ASSERT_ON_SHARD(core->shard);
    for (struct list *at = core->barriers.waiting.next; at != &core->barriers.waiting; at = at->next) {
        struct barrier *barrier = container_of(at, struct barrier, link);
        if (barrier->sequence == UINT64_MAX)
            (void)choose_batch(core, barrier);
    }
    gather(core, &ended, is_committed, sequence);
    end_all(core, &ended, BARRIER_PASSED);
}

void barriers_on_failed(struct core *core)
{
    struct list ended;
    ASSERT_ON_SHARD(core->shard);
    gather(core, &ended, is_impatient, UINT64_MAX);
    end_all(core, &ended, BARRIER_LOST);
}

void barriers_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    struct list ended;
    uint64_t now_us = shard_monotonic_us(core->shard);
    if (list_is_empty(&core->barriers.waiting) || now_us < CORE_WRITE_SLOW_US)
        return;
    gather(core, &ended, is_impatient, now_us - CORE_WRITE_SLOW_US);
    end_all(core, &ended, BARRIER_LATE);
}
