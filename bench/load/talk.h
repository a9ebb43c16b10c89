/*
 * talk.h: the conversations of a session, as it has seen them: the newest entry of each, what was received and not yet
 * seen, what was sent and not yet seen by the other user. `peers` and the pushes `seen` and `seen_by` are compared with
 * that. All functions are for the thread of the session's worker, except load_talks_close and load_talks_check.
 *
 * Kept only where it is needed (load_options_talks): 16 bytes for each entry that is not yet seen.
 */
#ifndef CHITCHAT_BENCH_LOAD_TALK_H
#define CHITCHAT_BENCH_LOAD_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct load_run;
struct load_session;
struct load_worker;

/* An entry: its ts in this user's timeline, and the hash of its mid. */
struct load_place {
    uint64_t ts, mid;
};

/* Entries in the order of ts, without those that were dropped at the front. */
struct load_trail {
    struct load_place *places; /* owned */
    uint32_t first, count, room;
};

struct load_talk {
    uint32_t peer;
    uint64_t count, sum, places; /* of all its entries, as those of a session */
    struct load_place last;
    struct load_trail received; /* above `seen` */
    struct load_trail sent;     /* from `seen_by` on */
    struct load_place seen;     /* the user's mark, as far as this connection knows; ts 0: none */
    struct load_place seen_by;
    struct load_place early;  /* a seen_by that came before the ok of its message; ts 0: none */
    struct load_place asked;  /* the mark that is in flight; ts 0: none */
    struct load_place wanted; /* the one that follows; ts 0: none */
    uint64_t asked_us;
    uint64_t pushed, pushed_by; /* ts of the last push `seen`, and `seen_by` */
    bool is_refused;            /* `asked` was refused for now */
    uint32_t typed, typing;     /* requests sent to this user, pushes from them */
};

struct load_talks {
    struct load_talk *list; /* owned */
    uint32_t count, room;
    uint32_t *slots; /* owned: a hash table of numbers in `list`, from 1 on; 0: free */
    uint32_t slot_count;
};

uint64_t load_talk_mid(struct span mid);
/* The conversation with a user; the second returns NULL if there is none yet. */
struct load_talk *load_talk_with(struct load_session *session, uint32_t peer);
struct load_talk *load_talk_find(const struct load_session *session, uint32_t peer);
/* Takes an entry of the timeline: `from` and `to` are users, `hash` is that of the entry's text and mid. Returns the
 * conversation. */
struct load_talk *load_talk_entry(struct load_worker *worker, struct load_session *session, uint32_t from, uint32_t to,
                                  struct load_place place, uint64_t hash);
/* How many received entries are above `ts`. */
uint32_t load_talk_unseen(const struct load_talk *talk, uint64_t ts);
/* The entry with this ts that this user has received, or sent; false: there is none among those that are kept. */
bool load_talk_received(const struct load_talk *talk, uint64_t ts, struct load_place *place_r);
bool load_talk_sent(const struct load_talk *talk, uint64_t ts, struct load_place *place_r);
/* The mark, or that of the other user, is now here. */
void load_talk_set_seen(struct load_worker *worker, struct load_talk *talk, struct load_place place);
void load_talk_set_seen_by(struct load_worker *worker, struct load_talk *talk, struct load_place place);

void load_talks_close(struct load_talks *talks);
/* Main thread, after the workers have ended: how many conversations are not alike on both sides; `text` describes the
 * first. */
uint64_t load_talks_check(const struct load_run *run, char *text, size_t room);

#endif
