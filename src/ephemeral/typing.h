/*
 * typing.h: `typing`: a user tells another one that they write. Nothing of it is stored, and it is the first to go when
 * there is much to do: it is dropped, and nobody hears of it.
 *
 * The sender's shard lets one `typing` a second of each pair of users pass. It remembers pairs by a hash of 32 bits, in
 * a table of a fixed size whose pages are touched only as pairs come. A row has TYPING_ROW_PAIRS places; where all of
 * them are of the last second, another pair is dropped. So a pair never passes twice in a second, and a user who does
 * not type costs nothing.
 *
 * A letter carries it to the shard of the recipient, TYPING_OUT_MAX at a time between two shards, and none while more
 * than half of the sends between them are in flight. There each connection of the recipient gets a push, as long as the
 * turn has time and the connection has room (conn_push_ephemeral). Shard's thread.
 */
#ifndef CHITCHAT_EPHEMERAL_TYPING_H
#define CHITCHAT_EPHEMERAL_TYPING_H

#include <stdint.h>

#include "base/hash.h"
#include "base/pool.h"
#include "base/span.h"
#include "server/letter.h"

struct conn;
struct core;

#define TYPING_OUT_MAX 256u
#define TYPING_INTERVAL_MS 1000u
#define TYPING_ROWS 4096u /* of a cache line */
#define TYPING_ROW_PAIRS 8u

/* Pairs whose `typing` has passed lately. */
struct typing_row {
    struct {
        uint32_t hash;  /* of the pair; 0: the place is free */
        uint32_t at_ms; /* when it passed: monotonic, modulo 2^32 */
    } pairs[TYPING_ROW_PAIRS];
};
_Static_assert(sizeof(struct typing_row) == 64, "a look-up touches one cache line");

/* A shard's state of this module. */
struct typings {
    struct hash_key seed;
    struct typing_row *rows; /* TYPING_ROWS of them */
    struct pool pool;        /* letters */
};

/* Copies `seed`. 0 or -ENOMEM; typings_fini follows in either case. */
int typings_init(struct typings *typings, struct hash_key seed);
/* Frees the table and all letters. A struct of zeros is fine. */
void typings_fini(struct typings *typings);

/* Whether a `typing` of `from` to `to` may pass at `now_ms` (monotonic, modulo 2^32): if so, it counts as passed. The
 * time may be any. Pure. */
bool typing_may_pass(struct typings *typings, struct span from, struct span to, uint32_t now_ms);

/* The user of `conn` types to `to`, which is borrowed. */
void typing_take(struct core *core, struct conn *conn, struct span to);

/* From on_letter (core_handlers.c): one that shard `from` has posted; an own one that shard `from` has returned. */
void typing_arrive(struct core *core, uint32_t from, struct letter *letter);
void typing_on_returned(struct core *core, uint32_t from, struct letter *letter);

#endif
