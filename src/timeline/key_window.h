/*
 * key_window.h: the keyed sends of one user that a retry may repeat: the newest LIMIT_KEYS of the last 24 hours, as
 * {ts, hash of the key} (memtable_key_hash). A hit is only a hint, to be verified on the record at that ts. Shard's
 * thread.
 *
 * The window is a ring in order of ts with hash chains over it. A look-up follows one chain; an add is amortized
 * constant time (the ring doubles as it fills); a remove is a binary search. A user with few keys takes a few hundred
 * bytes, one with LIMIT_KEYS 214 KiB.
 *
 * All windows of a shard count their bytes in one struct key_memory. What would exceed its limit is -ENOMEM and changes
 * nothing: the caller may close a window that was not used lately and try again.
 */
#ifndef CHITCHAT_TIMELINE_KEY_WINDOW_H
#define CHITCHAT_TIMELINE_KEY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "storage/memtable/memtable.h"

struct key_window;

struct key_memory {
    uint64_t bytes; /* of all windows */
    uint64_t bytes_max;
};

/* An empty window. Borrows `memory` until the window is closed. 0 and *window_r, owned by the caller; or -ENOMEM. */
int key_window_open(struct key_window **window_r, struct key_memory *memory);
/* Frees the window and takes its bytes off `memory`. Nulls *window; NULL is fine. */
void key_window_close(struct key_window **window);

/* Adds `count` sends that were read, newest first, no ts twice. May be called for each source (queue, memory, runs), in
 * any order, also after key_window_add: a ts that the window has already is skipped, and the newest LIMIT_KEYS of all
 * stay. Borrows `keyed` for the call. 0; or nothing is changed and -ENOMEM, or -EBADMSG for another order or a ts above
 * LIMIT_TS_MAX (a damaged run). */
int key_window_load(struct key_window *window, const struct memtable_keyed *keyed, uint32_t count);

/* Adds a send; `ts` is above every other and at most LIMIT_TS_MAX: asserted. With LIMIT_KEYS there, the oldest is
 * dropped. 0 or -ENOMEM. */
int key_window_add(struct key_window *window, uint64_t ts, uint64_t hash);
/* Removes the send at `ts`, which was refused. Does nothing if the window does not have it. */
void key_window_remove(struct key_window *window, uint64_t ts);
/* Drops sends that are 24 hours old at `now_us` (core_keys_now_us). */
void key_window_expire(struct key_window *window, uint64_t now_us);

/* Goes over the sends with `hash`, newest first: puts the newest ts below *ts_inout there and returns true; false when
 * none is left.
 *
 *     uint64_t ts = KEY_WINDOW_NEWEST;
 *     while (key_window_find(window, hash, &ts))
 *         look at the record at ts
 */
#define KEY_WINDOW_NEWEST UINT64_MAX
bool key_window_find(const struct key_window *window, uint64_t hash, uint64_t *ts_inout);

/* The sends in the window. For tests. */
uint32_t key_window_count(const struct key_window *window);

#endif
