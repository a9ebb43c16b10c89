/*
 * peers_walks.h: walks over the conversations of a user, page by page: what a page has come across is kept for the next
 * one, which then goes on where the runs were read up to, instead of reading all that is newer again. A kept walk refs
 * no runs, and stands as long as nothing has changed: see peers_page.c. Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_PEERS_WALKS_H
#define CHITCHAT_HISTORY_PEERS_WALKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct store_peers;

/* Of a shard: so many walks, and so much memory. A walk that is not used for so long is closed. */
#define PEERS_WALKS_MAX 64u
#define PEERS_WALKS_BYTES_MAX (8u << 20)
#define PEERS_WALKS_US UINT64_C(10000000)

/* What a page shows is that of one moment. */
struct peers_moment {
    uint64_t bound;      /* reads_bound of the user */
    uint64_t cut;        /* erasure_cut_ts of the user */
    uint32_t generation; /* generations.filling_number */
    bool had_frozen;     /* there was a frozen one */
};

struct peers_walk {
    struct store_peers *peers; /* owned; rests */
    struct peers_moment moment;
    uint64_t next; /* `before` of the next page */
    uint64_t kept_us;
    size_t bytes;
};

struct peers_walks {
    struct peers_walk walks[PEERS_WALKS_MAX]; /* the oldest first */
    uint32_t count;
    size_t bytes;
};

/* None: all zero. Closes all. */
void peers_walks_fini(struct peers_walks *walks);
/* Takes `peers`, of `moment`, whose page is complete and ends at `next`. Older ones are closed where there is no room.
 */
void peers_walks_keep(struct peers_walks *walks, struct store_peers **peers, const struct peers_moment *moment,
                      uint64_t next, uint64_t now_us);
/* The walk of `user` whose next page is that before `before`. The caller owns walk_r->peers. False: there is none. */
bool peers_walks_take(struct peers_walks *walks, struct span user, uint64_t before, struct peers_walk *walk_r);
/* Closes those that were not used for PEERS_WALKS_US. */
void peers_walks_expire(struct peers_walks *walks, uint64_t now_us);

#endif
