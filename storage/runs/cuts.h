/*
 * cuts.h: where the timelines of a shard begin. A cut {user, ts} says that the entries of that user up to `ts` are
 * gone: an erasure (timeline/erasure.h). A cut without a user is one for all users of the shard: --retention.
 *
 * A cut becomes durable as a record of the WAL (record.h), and from the next checkpoint on in the manifest, which keeps
 * it: so a client with an older cursor is answered honestly, and `chitchat verify` knows why the other copy of a
 * message has no counterpart. That of a user is dropped when the one for all users says the same (store_find_stale): so
 * with --retention there are no more than were made in that time, and without it all stay, CUTS_MAX at most. Whoever
 * reads hides what a cut covers, wherever it still is; a cut_source leaves it out of the runs that checkpoints and
 * merges write.
 *
 * A keyed send is an exception: its row stays for the 24 hours in which the sender may send again with the same key, so
 * that the recipient does not get it twice. No read shows it meanwhile. Then the next rewrite leaves it out.
 *
 * Pure. One thread at a time.
 */
#ifndef CHITCHAT_STORAGE_RUNS_CUTS_H
#define CHITCHAT_STORAGE_RUNS_CUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"
#include "storage/runs/run_source.h"

/* Cuts that a shard may have. */
#define CUTS_MAX 100000u

struct cut {
    uint64_t ts;       /* entries up to it are gone */
    uint64_t since_id; /* runs of this number or above were written without them, but for keyed sends */
    uint64_t keys_id;  /* of the runs from since_id on only those below it have such keyed sends; 0: none */
    bool is_saved;     /* in the manifest, as it is: there the higher one of both numbers stands for both */
    bool keeps_keys;   /* set by a cut_source, in the cuts that it was given; never set in those of a store */
    uint8_t user_bytes;
    char user[]; /* no bytes: all users */
};

/* A cut by value: what a slice has. */
struct cut_value {
    uint64_t ts;
    uint64_t since_id;
    uint64_t keys_id;
    bool is_saved;
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];
};
#define CUTS_SLICE 64u

struct cuts {
    struct cut **list; /* by user; owned */
    uint32_t count;
    uint32_t room;
};

static inline struct span cut_user(const struct cut *cut)
{
    return (struct span){cut->user, cut->user_bytes};
}

/* No cuts: all zero. */
void cuts_fini(struct cuts *cuts);
/* `user` (copied; at most LIMIT_USER_BYTES, none for all users) is cut at `ts`. A cut never moves back: with one at or
 * above `ts` nothing changes. 0; -ENOMEM; or -ENOSPC: there are CUTS_MAX. */
int cuts_add(struct cuts *cuts, struct span user, uint64_t ts, uint64_t since_id);
/* Forgets the cut of exactly this name, if there is one. */
void cuts_remove(struct cuts *cuts, struct span user);
/* The cut of exactly this name; NULL: none. Borrowed until the next cuts_add or cuts_remove. */
struct cut *cuts_find(const struct cuts *cuts, struct span user);
/* Up to which ts entries of `user` are gone, by their own cut or that for all. 0: none. */
uint64_t cuts_ts(const struct cuts *cuts, struct span user);
/* Copies up to CUTS_SLICE cuts: those that follow `after`, one of an earlier slice; NULL: the first. Allocates nothing,
 * so that a lock need not be held for longer. A cut that was added since, before `after`, is in no slice; one that was
 * removed since changes nothing else. `after` may
 * stand in `slice_r`. Returns how many: fewer than CUTS_SLICE are the last. */
uint32_t cuts_slice(const struct cuts *cuts, const struct cut_value *after, struct cut_value slice_r[CUTS_SLICE]);
/* Adds a copy of `value`, whose user is above all (asserted). 0 or -ENOMEM. */
int cuts_append(struct cuts *cuts, const struct cut_value *value);

/* The rows of `inner` that `cuts` do not cover, and the keyed sends with ts >= `keys_since`, for which the source
 * sets keeps_keys of their cut in `cuts`. Borrows both until the source is closed. 0 or -ENOMEM. */
int cut_source_open(struct run_source **source_r, struct run_source *inner, struct cuts *cuts, uint64_t keys_since);

#endif
