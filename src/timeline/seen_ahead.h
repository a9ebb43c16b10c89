/*
 * seen_ahead.h: marks read ahead. Who marks the messages of a peer one after another, and only runs have them, would
 * wake the reader for each mark. So a job that reads for a pair of user and peer which has read before reads the next
 * messages from the peer, too, and the marks after it are answered from there.
 *
 * A table has SEEN_AHEAD_PLACES places. A place belongs to one pair; another one with the same place takes it away. The
 * place has the mark that runs have of the pair, and what runs have from the peer at from <= ts < to: all of it, as
 * `items`. So for `before` in that range (from < before <= to) the newest message in runs below `before` is the newest
 * item below it; and without such an item there is none at `from` or above.
 *
 * When that holds. Runs get entries and marks from memory alone, when a generation becomes a run. So a place is used
 * only while memory has all that it had when the request that filled it looked there: while the oldest generation in
 * memory is the same (`oldest`). What comes into memory later, the caller finds there. Else runs lose what is cut, and
 * nothing more: a merge writes the same rows and marks again. A cut hides what it covers before a merge drops it, and
 * the caller's `after` is at the cut or above. Entries that were pending when the request looked are at `to` or above.
 *
 * The shard's thread has the table. From seen_ahead_take to seen_ahead_return a place is its taker's, which fills it on
 * the reader's thread; until then it is not found, and not taken again. A look-up allocates nothing and waits for
 * nothing.
 */
#ifndef CHITCHAT_TIMELINE_SEEN_AHEAD_H
#define CHITCHAT_TIMELINE_SEEN_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/message.h"
#include "base/span.h"

struct store_page;
struct store_reader;

/* The simulator has few pairs, and they have few messages. */
#ifdef CHITCHAT_FAULTS
#define SEEN_AHEAD_PLACES 8u
#define SEEN_AHEAD_ITEMS 3u
#else
#define SEEN_AHEAD_PLACES 64u
#define SEEN_AHEAD_ITEMS 64u
#endif
/* A job stops reading ahead at so many bytes of rows. */
#define SEEN_AHEAD_BYTES (64u << 10)

/* A message that was received. */
struct seen_item {
    uint64_t ts;       /* in the timeline of the user; */
    uint64_t other_ts; /* in that of the peer */
    uint8_t mid[LIMIT_MID_BYTES];
};

struct seen_place {
    /* The shard's thread only. */
    bool is_taken;
    bool is_known;   /* not while it is taken: the mark and the items hold for the pair, as long as `oldest` does */
    uint32_t oldest; /* the number of the oldest generation in memory at the look */
    uint8_t user_bytes;
    uint8_t peer_bytes;
    char names[2 * LIMIT_USER_BYTES]; /* the user's, then the peer's; no bytes: the place is free */

    /* The taker's while it is taken. */
    uint64_t mark;
    uint64_t from;
    uint64_t to;
    uint32_t count;
    struct seen_item items[SEEN_AHEAD_ITEMS]; /* ascending by ts */
};

/* A shard's table; all zero: empty. */
struct seen_ahead {
    uint32_t taken_count;
    struct seen_place places[SEEN_AHEAD_PLACES];
};

struct seen_ahead_key {
    uint64_t hash;    /* reads_pair_hash */
    struct span user; /* borrowed, for the call */
    struct span peer;
    uint32_t oldest; /* the number of the oldest generation in memory now */
};

/* Shard's thread: whether the table says which mark runs have, and, unless all below `before` is seen by that mark,
 * which message from the peer is the newest that they have at after < ts < before. If so, *mark_r is the mark (0:
 * none), and *item_r the message, borrowed until the next call of seen_ahead_take; NULL: none, or all is seen. An empty
 * range asks for the mark alone. */
bool seen_ahead_find(const struct seen_ahead *ahead, const struct seen_ahead_key *key, uint64_t after, uint64_t before,
                     uint64_t *mark_r, const struct seen_item **item_r);

/* Shard's thread: the place for the pair, for a job that reads for it: the caller gives it back with seen_ahead_return.
 * NULL: another job has it. *is_again_r: the pair had the place already, so its next messages are worth reading. */
struct seen_place *seen_ahead_take(struct seen_ahead *ahead, const struct seen_ahead_key *key, bool *is_again_r);
/* Shard's thread: the job has ended, and has filled the place if `is_known`. */
void seen_ahead_return(struct seen_ahead *ahead, struct seen_place *place, bool is_known);

/* Reader's thread, with the place taken: runs have `mark`, and at after < ts < before no message from the peer but
 * `message` (borrowed; NULL: none), which is the newest one. */
void seen_place_begin(struct seen_place *place, uint64_t mark, uint64_t after, uint64_t before,
                      const struct message *message);
/* Reader's thread, after seen_place_begin: goes on with what runs have below `bound`, as far as the place has room and
 * one read gets. `page` is for the read. 0; or -errno: the place is as before. */
int seen_place_read(struct seen_place *place, struct store_reader *reader, struct store_page *page, uint64_t bound);

#endif
