/*
 * timers.h: a hashed timing wheel (Varghese and Lauck, 1987, scheme 6): 1,024 slots of 64 ms, one turn 65.5 s; a
 * timer further away goes round. Setting, moving and clearing are constant. A timer fires at its time or up to one slot
 * later, never before. One thread; the caller gives the time (monotonic µs), which never steps back.
 */
#ifndef CHITCHAT_SHARD_TIMERS_H
#define CHITCHAT_SHARD_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define TIMERS_SLOT_US 65536u
#define TIMERS_SLOTS 1024u

struct timer {
    struct list link;
    uint64_t at_us;
};

struct timers {
    uint64_t slot_now; /* the first slot not yet looked at */
    uint32_t count;
    struct list due; /* of the slot before it, not yet looked at */
    struct list slots[TIMERS_SLOTS];
};

void timers_init(struct timers *timers, uint64_t now_us);
void timer_init(struct timer *timer);
bool timer_is_set(const struct timer *timer);

/* Sets or moves `timer`. Borrows it until it fires or is cleared. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at_us);
void timers_clear(struct timers *timers, struct timer *timer);

/* Calls `on_timer` for those that are due, at most `fired_max` of them; it may set and clear any timer. True: more are
 * due. */
bool timers_advance(struct timers *timers, uint64_t now_us, uint32_t fired_max,
                    void (*on_timer)(void *context, struct timer *timer), void *context);

/* Microseconds until the next slot that holds a timer (no search further than `limit_us`, which is returned if none).
 */
uint64_t timers_wait_us(const struct timers *timers, uint64_t now_us, uint64_t limit_us);

#endif
