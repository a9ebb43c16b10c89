/*
 * timers.h: a hashed timing wheel (Varghese and Lauck, 1987, scheme 6): 1,024 slots of 65.5 ms, so one turn of the
 * wheel takes 67 s; a timer further away stays in its slot for several turns. Set, move and clear take constant time. A
 * timer never fires early, and at the latest with the first timers_advance that is one slot later and has calls left.
 * One thread (a shard's, which gets its timers from shard_timers). The caller gives the time (monotonic µs), which
 * never steps back.
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
    uint64_t at_us; /* when it is due */
};

struct timers {
    uint64_t slot_now; /* the first slot that timers_advance has not emptied; numbers count from time 0 */
    uint32_t count;    /* timers that are set */
    struct list due;   /* timers of the slot before it that timers_advance has not handled */
    struct list slots[TIMERS_SLOTS];
};

/* An empty wheel at `now_us`. */
void timers_init(struct timers *timers, uint64_t now_us);
/* A timer that is not set. */
void timer_init(struct timer *timer);
bool timer_is_set(const struct timer *timer);

/* Sets or moves `timer`, which is borrowed until it fires or is cleared. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at_us);
/* Clears `timer` if it is set. */
void timers_clear(struct timers *timers, struct timer *timer);

/* Calls `on_timer` for timers that are due, at most `fired_max` of them. `on_timer` may set and clear any timer. True:
 * more timers may be due. */
bool timers_advance(struct timers *timers, uint64_t now_us, uint32_t fired_max,
                    void (*on_timer)(void *context, struct timer *timer), void *context);

/* Microseconds until the next slot with a timer, at most `limit_us`; 0 while timers of an emptied slot are left. */
uint64_t timers_wait_us(const struct timers *timers, uint64_t now_us, uint64_t limit_us);

#endif
