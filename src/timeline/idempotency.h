/*
 * gate.h: every send goes through the gate of its user, in order: it finds out whether a key was used before.
 *
 * At the first keyed send of a user his window of keys (key_window.h) is read: first what is in the queue and in
 * memory, then what runs hold. Until it is there all his sends are parked, and so they are while a hit is verified on a
 * record that only runs hold. After that a keyed send without a hit costs one look-up in memory.
 *
 * A hit on an entry that is still in the queue waits for it and shares its fate; else it is `dup` or `key_conflict`.
 * Windows are kept while the user is connected, within core->budget.key_bytes for all: those not used for longest go.
 * Shard's thread.
 */
#ifndef CHITCHAT_TIMELINE_IDEMPOTENCY_H
#define CHITCHAT_TIMELINE_IDEMPOTENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "timeline/key_window.h"

struct core;
struct delivery;
struct user;

/* Sends of one user that may be parked; past it they get `busy`. */
#define IDEMPOTENCY_PARKED_MAX 1024u

/* What a shard keeps of its users' keys. */
struct idempotency {
    struct key_memory memory;
    struct list users; /* struct user_keys that are ready, least recently used first */
};

/* Takes a delivery that was made; sooner or later it is dispatched or answered. */
void idempotency_take(struct core *core, struct delivery *delivery);
/* The delivery gets `ts`: keeps its key, if it has one. False: no memory. */
bool idempotency_mark_key(struct core *core, struct delivery *delivery, uint64_t ts);
/* The delivery was refused: its key may be used again. */
void idempotency_unmark_key(struct core *core, struct delivery *delivery);
/* The user has no connection any more: lets go of his window, now or when the gate opens. */
void idempotency_on_idle(struct core *core, struct user *user);

#endif
