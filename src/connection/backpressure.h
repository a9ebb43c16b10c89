/*
 * backpressure.h: what a shard does when much output waits for connections that do not read. Output has a part of the
 * shard's memory, core->budget.output_bytes.
 *
 *     calm    less than half is used: each connection has its own limits
 *     tight   from half on: a connection is read, and gets pages, only while none of its output waits; a push may wait
 *             if the connection's output then stays within an eighth of the free part, else the connection is dropped
 *     full    from seven eighths on: no requests are read, no pages and no replays are written; once a second
 *             every connection is dropped that has read nothing for BACKPRESSURE_STALL_S, or that is closing and
 *             still has output
 *
 * Work that did not find room is deferred: when less than three quarters are used, all connections and the reader's
 * jobs continue. Shard's thread.
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

/* A shard's state of this module. */
struct backpressure {
    bool has_deferred; /* something was deferred since the last pass over the slots began */
    uint32_t at;       /* the slot that the pass visited last */
    uint32_t left;     /* slots that the pass has not visited yet */
    struct log_limit log_limit;
};

/* Bytes of output that wait for connections. */
uint64_t backpressure_output_bytes(const struct core *core);
/* At least half of the output memory is used; true when it is full, too. */
bool backpressure_is_tight(const struct core *core);
/* At least seven eighths of it are used. */
bool backpressure_is_full(const struct core *core);
/* A connection with less waiting output than this may get more: `bytes` (above 0) while memory is calm, 1 while it is
 * tight, 0 while it is full; then the work counts as deferred. */
uint32_t backpressure_pause_bytes(struct core *core, uint32_t bytes);
/* Whether the output of `conn` has room for a push of `bytes`. */
bool backpressure_may_push(const struct core *core, const struct conn *conn, size_t bytes);
/* Some work was deferred, since the output memory is full. */
void backpressure_defer(struct core *core);
/* End of a turn: continues deferred work when there is room, for a bounded number of connections. True: some are left
 * for the next turn. */
bool backpressure_step(struct core *core);
/* Once a second: while output memory is full, drops connections that do not read. */
void backpressure_tick(struct core *core);

#endif
