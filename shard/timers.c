#include "shard/timers.h"

#include "base/assert.h"

static uint64_t slot_of(uint64_t at_us)
{
    return at_us / TIMERS_SLOT_US;
}

/* The first slot that does not begin before `at_us`: when the slot's time has come, the timer is due. */
static uint64_t slot_due(uint64_t at_us)
{
    return slot_of(at_us) + (at_us % TIMERS_SLOT_US != 0);
}

void timers_init(struct timers *timers, uint64_t now_us)
{
    timers->slot_now = slot_of(now_us) + 1;
    timers->count = 0;
    list_init(&timers->due);
    for (uint32_t i = 0; i < TIMERS_SLOTS; i++)
        list_init(&timers->slots[i]);
}

void timer_init(struct timer *timer)
{
    list_init(&timer->link);
    timer->at_us = 0;
}

bool timer_is_set(const struct timer *timer)
{
    return list_is_linked(&timer->link);
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t at_us)
{
    timers_clear(timers, timer);
    timer->at_us = at_us;
    uint64_t slot = slot_due(at_us);
    /* An overdue timer goes into the next slot: one that on_timer sets cannot make the current slot's list endless. */
    if (slot < timers->slot_now)
        slot = timers->slot_now;
    list_append(&timers->slots[slot % TIMERS_SLOTS], &timer->link);
    timers->count++;
}

void timers_clear(struct timers *timers, struct timer *timer)
{
    if (!timer_is_set(timer))
        return;
    ASSERT(timers->count > 0);
    list_remove(&timer->link);
    timers->count--;
}

/* Moves a slot's list to `due`, so that a timer that is set into the same slot again is not met in the same pass. */
static void slot_shift(struct list *slot, struct list *due)
{
    list_init(due);
    if (list_is_empty(slot))
        return;
    *due = *slot;
    due->next->prev = due;
    due->prev->next = due;
    list_init(slot);
}

/* Takes the next timer of `due` that is due, and puts those of a later turn of the wheel back; NULL: none is left. */
static struct timer *due_take(struct timers *timers, uint64_t now_us)
{
    for (struct list *link; (link = list_shift(&timers->due)) != NULL;) {
        struct timer *timer = container_of(link, struct timer, link);
        if (timer->at_us <= now_us)
            return timer;
        list_append(&timers->slots[slot_due(timer->at_us) % TIMERS_SLOTS], link);
    }
    return NULL;
}

bool timers_advance(struct timers *timers, uint64_t now_us, uint32_t fired_max,
                    void (*on_timer)(void *context, struct timer *timer), void *context)
{
    ASSERT(on_timer != NULL);
    uint64_t end = slot_of(now_us) + 1;
    uint32_t fired = 0;
    /* After a sleep of more than one turn of the wheel each slot is emptied once. */
    if (end > timers->slot_now + TIMERS_SLOTS)
        timers->slot_now = end - TIMERS_SLOTS;
    for (;;) {
        for (struct timer *timer; fired < fired_max && (timer = due_take(timers, now_us)) != NULL; fired++) {
            ASSERT(timers->count > 0);
            timers->count--;
            on_timer(context, timer);
        }
        if (!list_is_empty(&timers->due))
            return true;
        if (timers->slot_now >= end)
            return false;
        slot_shift(&timers->slots[timers->slot_now++ % TIMERS_SLOTS], &timers->due);
    }
}

uint64_t timers_wait_us(const struct timers *timers, uint64_t now_us, uint64_t limit_us)
{
    if (timers->count == 0)
        return limit_us;
    if (!list_is_empty(&timers->due))
        return 0;
    for (uint64_t slot = timers->slot_now; slot < timers->slot_now + TIMERS_SLOTS; slot++) {
        uint64_t at_us = slot * TIMERS_SLOT_US;
        uint64_t wait_us = at_us > now_us ? at_us - now_us : 0;
        if (wait_us >= limit_us)
            return limit_us;
        if (!list_is_empty(&timers->slots[slot % TIMERS_SLOTS]))
            return wait_us;
    }
    return limit_us;
}
