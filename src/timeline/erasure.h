/*
 * erasure.h: a user's timeline is erased: all entries up to a ts are gone (storage/runs/cuts.h). The other copy of each
 * message, in the timeline of the other user, stays. Shard's thread, that of the user.
 *
 * An erasure takes a ts of its own, above that of each entry so far. It waits until none of these is pending: then each
 * of them is durable or was refused. Then its record goes into the WAL. When that is durable, nothing reads the entries
 * any more, the user's connections are closed with 4203, and the erasure is done. Sends that come meanwhile have a
 * higher ts, and stay.
 *
 * After a failed WAL write of any shard, a send that is pending may stay so for ever. Erasures that have no record yet
 * are then refused: by the shard that failed at once, by the others within a second.
 *
 * The window of used keys stays (idempotency.h): a send that is repeated after the erasure is not stored again.
 */
#ifndef CHITCHAT_TIMELINE_ERASURE_H
#define CHITCHAT_TIMELINE_ERASURE_H

#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

struct core;
struct user;

/* Erasures of a shard at a time. */
#define ERASURES_MAX 1024u
/* The close code of a connection whose timeline was cut above its cursor. */
#define ERASURE_CLOSE_CODE 4203u

enum erasure_outcome {
    ERASURE_DONE,
    ERASURE_BUSY,    /* nothing was erased: no room now */
    ERASURE_FULL,    /* nothing was erased: the shard has as many cuts as it can */
    ERASURE_REFUSED, /* nothing was erased: the store has failed and takes no more */
    ERASURE_UNKNOWN, /* the WAL write failed; the next start decides */
};

/* Embedded in a struct of the caller, who owns it. */
struct erasure {
    /* Set by the caller. Called once, maybe by erasure_begin itself. From then on the erasure is the caller's again. */
    void (*done)(struct core *core, struct erasure *erasure);

    /* Set before `done`. */
    uint8_t outcome; /* enum erasure_outcome */
    uint64_t ts;     /* ERASURE_DONE: entries up to it are gone */

    /* The module's. */
    struct list link;
    struct user *user; /* a reference */
    uint64_t sequence; /* the WAL batch */
};

/* A shard's state of this module. */
struct erasures {
    struct list waiting; /* struct erasure.link: for pending entries, or for a place in the batch */
    struct list written; /* in the WAL, ascending by sequence */
    uint32_t count;
};

void erasures_init(struct erasures *erasures);

/* Erases the timeline of `user`, who belongs to this shard (asserted) and need not have one. Borrows `erasure` until
 * `done`. */
void erasure_begin(struct core *core, struct span user, struct erasure *erasure);

/* End of a turn, before the WAL batch is taken: gives erasures their places in it. */
void erasures_step(struct core *core);
/* All WAL batches up to `sequence` are durable. Whether a timeline was cut. */
bool erasures_on_durable(struct core *core, uint64_t sequence);
/* A WAL write of this shard has failed. */
void erasures_on_wal_failed(struct core *core);
/* Once a second: refuses the erasures that have no record yet, if the store has failed. */
void erasures_tick(struct core *core);

/* Up to which ts entries of `user` are gone; 0: none. Without cuts it costs one load. */
uint64_t erasure_gone_ts(const struct core *core, struct span user);
/* Up to which ts entries of `user` must not be shown: gone, or hidden by --retention (retention.h). */
uint64_t erasure_cut_ts(const struct core *core, struct span user);

#endif
