/*
 * timeline.h: the queue of one user's entries that are not durable yet. Pure: calls no io and reads no clock. Shard's
 * thread.
 *
 * Entries enter in order of ts. They leave in that order, each once it is settled (durable) and all before it have
 * left; a refused entry leaves at once, from wherever it stands. What lies below the oldest entry of the queue is
 * visible and never changes again: `last`, history, replay and pushes see only that. An entry's `prev` is computed when
 * the entry leaves, so the chain of what left has no gap.
 *
 * An entry is embedded in its owner, which is one side of a send (struct delivery, struct arrival). The timeline
 * borrows the entry until it leaves, and its record with it: the owner keeps a reference to the record until then.
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

/* timeline_mark of an empty queue: everything is visible. */
#define TIMELINE_MARK_NONE (LIMIT_TS_MAX + 1)

enum entry_state { ENTRY_PENDING, ENTRY_SETTLED, ENTRY_LEFT };

struct entry {
    struct list link; /* in the parked list of struct user_keys, then timeline->pending, then fanout->entries */
    uint64_t ts;
    uint64_t prev;         /* set when the entry leaves; 0 if the timeline knew no earlier one */
    struct record *record; /* a reference of the entry's owner */
    uint8_t role;          /* enum role: the sender's timeline or the recipient's */
    uint8_t state;         /* enum entry_state */
};

struct timeline {
    struct list pending;         /* struct entry.link, ascending by ts: pending and settled ones */
    uint64_t newest;             /* highest ts that was appended or learned; 0: none yet */
    uint64_t last;               /* highest ts that left or was learned; complete once last_is_known */
    uint32_t pending_bytes;      /* bodies of the records in the queue */
    uint16_t settled_count;      /* of the queue; while it is 0, release need not read the oldest entry from memory */
    uint16_t pending_count : 15; /* entries in the queue, the settled ones included */
    uint16_t last_is_known : 1;
};
_Static_assert(TIMELINE_PENDING_MAX < 1u << 15, "both counts can reach it");
_Static_assert(sizeof(struct timeline) == 40, "each connected user has one");

/* An empty queue, whose last is not known. */
void timeline_init(struct timeline *timeline);

/* Whether one more entry fits the limits. `left_count` entries have left and still count (fanout.h); `bytes` are the
 * record bodies of the new entry and of those. */
bool timeline_has_room(const struct timeline *timeline, uint32_t left_count, uint32_t bytes);
/* Borrows `entry`, with ts, record and role set and its link in no list, and puts it at the end as pending. Asserts
 * that its ts is above `newest` and that the queue has fewer than TIMELINE_PENDING_MAX entries. */
void timeline_append(struct timeline *timeline, struct entry *entry);
/* `entry` (pending: asserted) is durable, and leaves by timeline_release. */
void timeline_settle(struct timeline *timeline, struct entry *entry);
/* `entry` (pending: asserted) was not stored: gives it back to its owner at once. */
void timeline_refuse(struct timeline *timeline, struct entry *entry);
/* Gives back the oldest entry, with its prev set and `last` moved on; NULL if the oldest is pending or the queue is
 * empty. */
struct entry *timeline_release(struct timeline *timeline);
/* The ts of the oldest entry in the queue, below which all is visible; TIMELINE_MARK_NONE if the queue is empty. */
uint64_t timeline_mark(const struct timeline *timeline);
/* `read` is the newest ts that a login found in memory and in runs, 0 for none. `last` becomes the higher one of it and
 * of what has left since, and is known from now on. */
void timeline_learn_last(struct timeline *timeline, uint64_t read);
/* The entries up to `ts` are gone, and none of them is in the queue (asserted): `last` is `ts` at least, so that it is
 * the `prev` of the next entry. Whether `last` is known does not change. */
void timeline_cut(struct timeline *timeline, uint64_t ts);
/* The entry of the queue at `ts`, borrowed; NULL if there is none. */
struct entry *timeline_find(const struct timeline *timeline, uint64_t ts);

#endif
