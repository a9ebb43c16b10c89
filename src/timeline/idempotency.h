/*
 * idempotency.h: finds out whether the key of a send was used before. Every send passes through idempotency_take, those
 * of one user in order. Shard's thread.
 *
 * At the first keyed send of a user the window of their keys (key_window.h) is loaded: first from the timeline's queue
 * and from memory, then from runs. Until it is loaded all sends of the user are parked; so they are while a hit is
 * verified on a record that only runs have. Otherwise a keyed send without a hit costs one look-up in memory.
 *
 * A hit is a send with the same key. If its entry is still in the queue, the new send waits for it and gets the same
 * outcome; if it is stored, the answer is `dup`. A hit with another text or recipient is answered with `key_conflict`.
 *
 * A window stays in memory while its user is connected, and for some seconds after a program has sent as them
 * (senders.h). All windows of a shard together have core->budget.key_bytes;
 * when that is used up, the least recently used windows are freed.
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
    struct key_memory memory; /* of all windows */
    struct list users;        /* struct user_keys that are ready, least recently used first */
};

/* Takes a delivery from delivery_make, and dispatches it, or answers and frees it, in this call or later. */
void idempotency_take(struct core *core, struct delivery *delivery);
/* The delivery, which is being dispatched, gets `ts`: keeps its key, if it has one. False: no memory, nothing kept. */
bool idempotency_mark_key(struct core *core, struct delivery *delivery, uint64_t ts);
/* The delivery was refused: its key may be used again. */
void idempotency_unmark_key(struct delivery *delivery);
/* If the user is not present (user_is_present): frees the window, now or once it is loaded or verified and nothing is
 * parked. */
void idempotency_on_idle(struct user *user);

#endif
