/*
 * timeline.h: the queue of one user's entries on their way to the disk. Pure; the shard's thread.
 *
 * Entries enter in order of ts and leave in that order when they are settled (durable); a refused one leaves at once,
 * wherever it stands. What lies below the oldest pending ts is visible, and never changes again: `last`, history,
 * replay and pushes see only that. `prev` is computed on leaving, so the chain of what left has no hole.
 *
 * An entry is embedded in whatever its owner keeps of a send (a delivery, an arrival); the timeline borrows it until it
 * leaves. The owner holds a reference to the record meanwhile.
 */
#ifndef CHITCHAT_TIMELINE_TIMELINE_H
#define CHITCHAT_TIMELINE_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/list.h"
#include "storage/record.h"

/* Past these, sends from and to the user get `busy`. */
#define TIMELINE_PENDING_MAX 8192u
#define TIMELINE_PENDING_BYTES_MAX (16u << 20)

/* No entry is pending: everything is visible. */
#define TIMELINE_MARK_NONE (LIMIT_TS_MAX + 1)

enum entry_state { ENTRY_PENDING, ENTRY_SETTLED, ENTRY_LEFT };

struct entry {
    struct list link; /* parked (gate.h), then in timeline->pending, then in fanout->entries */
    uint64_t ts;
    uint64_t prev;         /* set on leaving, if the timeline knew its last */
    struct record *record; /* a reference of the entry's owner */
    uint8_t role;          /* enum role: which timeline this is of the two */
    uint8_t state;
};

struct timeline {
    struct list pending;
    uint64_t newest; /* ts of the last entry that entered or left; 0: none yet */
    uint64_t last;   /* ts of the last entry that left; means something when last_is_known */
    uint32_t pending_bytes;
    uint16_t settled_count;      /* without one nobody need look at the oldest, which lies in no near cache */
    uint16_t pending_count : 15; /* those that are settled too */
    uint16_t last_is_known : 1;
};
_Static_assert(TIMELINE_PENDING_MAX < 1u << 15, "both counts hold it");
_Static_assert(sizeof(struct timeline) == 40, "each user that is connected has one");

void timeline_init(struct timeline *timeline);

/* Whether another entry of `bytes` would stay within the limits, beside `others` that have left and count still
 * (`bytes` are theirs too). */
bool timeline_has_room(const struct timeline *timeline, uint32_t others, uint32_t bytes);
/* Puts `entry` (ts, record and role set) at the end, pending. Its ts is above every earlier one's: asserted. */
void timeline_append(struct timeline *timeline, struct entry *entry);
/* It is durable. It stays until all before it have left. */
void timeline_settle(struct timeline *timeline, struct entry *entry);
/* It was not stored: it leaves at once. */
void timeline_refuse(struct timeline *timeline, struct entry *entry);
/* The next entry that leaves, with its prev set and `last` moved on; NULL if the oldest is pending or there is none. */
struct entry *timeline_release(struct timeline *timeline);
/* Below this all is visible. */
uint64_t timeline_mark(const struct timeline *timeline);
/* What a login read from memory and runs: `last` becomes the greater of it and what has left since. */
void timeline_learn_last(struct timeline *timeline, uint64_t read);
/* The pending or settled entry with `ts`, NULL if it is not in the queue. */
struct entry *timeline_find(const struct timeline *timeline, uint64_t ts);

#endif
