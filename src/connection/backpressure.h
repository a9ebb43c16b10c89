/*
 * pressure.h: what a shard does when much output waits for connections that do not read it. Its part of the memory is
 * core->budget.output_bytes.
 *
 *     calm    less than half: each connection has its own limits
 *     tight   past half: a connection is read, and gets pages, only when it has read all that it was given; a push may
 *             wait for it up to an eighth of what is left, and whoever has more waiting is cut off at once
 *     full    past seven eighths: no requests are taken up, no pages given; who has not read anything for
 *             BACKPRESSURE_STALL_S is cut off
 *
 * Connections that stopped for this go on when there is room again. Shard's thread.
 */
#ifndef CHITCHAT_CONNECTION_BACKPRESSURE_H
#define CHITCHAT_CONNECTION_BACKPRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log_limit.h"

struct conn;
struct core;

#define BACKPRESSURE_STALL_S 5u

/* What a shard keeps of it. */
struct backpressure {
    bool is_starved; /* something could not go on since it was looked at last */
    uint32_t at;     /* the slot that was looked at last */
    uint32_t left;   /* slots that are still to be looked at */
    struct log_limit log_limit;
};

bool backpressure_is_tight(const struct core *core);
bool backpressure_is_full(const struct core *core);
/* A connection with less than this waiting may be given more; `bytes` where all is calm. */
uint32_t backpressure_pause_bytes(struct core *core, uint32_t bytes);
/* Whether a push of `bytes` may wait for it. */
bool backpressure_may_push(const struct core *core, const struct conn *conn, size_t bytes);
/* Something could not go on. */
void backpressure_starve(struct core *core);
/* End of a turn: lets go on what can, some of the connections in a turn. True: there are more. */
bool backpressure_step(struct core *core);
/* Once a second: cuts off who does not read, if it has to be. */
void backpressure_tick(struct core *core);

#endif
