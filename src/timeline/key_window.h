/*
 * key_window.h: the keyed sends of one user that a retry may meet: the newest 10,000 of the last 24 hours, as {ts, hash
 * of the key} (memtable_key_hash). A hit is only a hint, to be verified on the record at that ts. The shard's thread.
 *
 * A ring in order of ts, grown as needed, and chains by hash over it: a look-up, an add and a remove cost the same
 * whatever the size. A user with few keys takes a few hundred bytes, one with 10,000 about 220 KiB. All windows of a
 * shard count their bytes in one struct key_memory; what would go past its limit is -ENOMEM and changes nothing: the
 * caller closes a window that was not used for long and tries again.
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

/* An empty window. `memory` is borrowed and outlives it. 0 or -ENOMEM. */
int key_window_open(struct key_window **window_r, struct key_memory *memory);
/* Gives its bytes back to `memory`. Nulls *window; NULL is fine. */
void key_window_close(struct key_window **window);

/* Adds what was read: `count` sends, newest first, no ts twice. May be called for each source (memory, runs) in any
 * order, also after key_window_add: a ts that is in already is skipped, and only the newest LIMIT_KEYS of all stay.
 * Borrows `keyed`. 0, or nothing changed and -ENOMEM, or -EBADMSG if the order is another or a ts is none (a damaged
 * run). */
int key_window_load(struct key_window *window, const struct memtable_keyed *keyed, uint32_t count);

/* Adds a send; `ts` is above every other: asserted. With LIMIT_KEYS in, the oldest goes. 0 or -ENOMEM. */
int key_window_add(struct key_window *window, uint64_t ts, uint64_t hash);
/* Takes a send out again that was refused. Nothing happens if it is not in. */
void key_window_remove(struct key_window *window, uint64_t ts);
/* Drops what is 24 hours old at `now_us` (wall time, as ts). */
void key_window_expire(struct key_window *window, uint64_t now_us);

/* Goes over the sends with `hash`, newest first: the newest one below *ts_inout is put there and it returns true; false
 * when there is none left.
 *
 *     uint64_t ts = KEY_WINDOW_NEWEST;
 *     while (key_window_find(window, hash, &ts))
 *         look at the record at ts
 */
#define KEY_WINDOW_NEWEST UINT64_MAX
bool key_window_find(const struct key_window *window, uint64_t hash, uint64_t *ts_inout);

uint32_t key_window_count(const struct key_window *window);

#endif
