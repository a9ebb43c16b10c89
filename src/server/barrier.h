/*
 * barrier.h: waits until this node is known to have owned its slot later than now. In a cluster another node may own
 * the slots before this one learns that: so an answer that must not be older than its question waits here. A barrier is
 * passed when a batch that was begun after it is committed; one batch serves all barriers of a turn. Without a cluster
 * each barrier is passed at once. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_BARRIER_H
#define CHITCHAT_SERVER_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct core;

enum barrier_end {
    BARRIER_PASSED,
    BARRIER_LATE, /* the log has not answered for CORE_WRITE_SLOW_US */
    BARRIER_LOST, /* the log has failed, or is another node's: this one cannot answer any more */
};

/* Embedded in a struct of its owner. Zeroed: it does not wait. */
struct barrier {
    /* Set by the owner. Called once, perhaps before barrier_begin returns. */
    void (*on_end)(struct core *core, struct barrier *barrier, enum barrier_end end);
    bool is_patient; /* waits for as long as it takes: never LATE or LOST */

    /* Of this module. */
    struct list link;
    uint64_t sequence; /* the batch that it waits for; 0: it does not wait; UINT64_MAX: one that is not begun yet */
    uint64_t since_us; /* monotonic */
};

/* A shard's state of this module. */
struct barriers {
    struct list waiting; /* oldest first, but for those of UINT64_MAX */
};

void barriers_init(struct barriers *barriers);

/* `barrier` does not wait (asserted); it stays where it is until on_end or barrier_leave. */
void barrier_begin(struct core *core, struct barrier *barrier);
/* Does not wait any more, if it did: on_end is not called. */
void barrier_leave(struct barrier *barrier);
static inline bool barrier_waits(const struct barrier *barrier)
{
    return barrier->sequence != 0;
}

/* All batches up to number `sequence` are committed. */
void barriers_on_durable(struct core *core, uint64_t sequence);
/* The log has failed, or is another node's. */
void barriers_on_failed(struct core *core);
/* Once a second: ends those that have waited too long. */
void barriers_tick(struct core *core);

#endif
