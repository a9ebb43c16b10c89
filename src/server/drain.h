/*
 * drain.h: between SIGTERM and the stop (stop.h) the server drains: health checks get 503 (server->is_draining), no
 * connection is admitted, and those that are open are closed with 1001 one by one, evenly over the time of the drain.
 * So their clients do not come back all at once. Until then they are served like before. A connection with unanswered
 * requests is passed over; it gets its 1001 later, or from the stop. So do those that have not sent their HTTP head,
 * and requests of programs. Shard's thread, but for drain_time_us.
 */
#ifndef CHITCHAT_SERVER_DRAIN_H
#define CHITCHAT_SERVER_DRAIN_H

#include <stdint.h>

#include "shard/timers.h"

struct core;

/* Few connections need less than --drain-s: at least so many are closed in a second. */
#define DRAIN_RATE_MIN 1000u

/* A shard's state of this module. Zeros: the drain has not begun. */
struct drain {
    uint64_t begin_us; /* monotonic */
    uint32_t count;    /* connections at the begin */
    uint32_t closed;   /* of these, so far */
    uint32_t slot;     /* that is looked at next */
    struct timer timer;
};

/* How long a drain of so many connections takes; 0: none is needed, or wanted (`drain_s` 0). Pure. */
uint64_t drain_time_us(uint32_t drain_s, uint32_t connections);

/* How many of `count` are to be closed after `elapsed_us` of `duration_us`. Pure. */
uint32_t drain_due(uint32_t count, uint64_t elapsed_us, uint64_t duration_us);

void drain_init(struct drain *drain);
/* End of a turn, while SIGNAL_DRAIN is set and SIGNAL_STOP is not. server->drain_us is set. */
void drain_step(struct core *core);

#endif
