#include "history/peers_walks.h"

#include <string.h>

#include "base/assert.h"
#include "storage/runs/store.h"

static void forget(struct peers_walks *walks, uint32_t at)
{
    ASSERT(at < walks->count);
    walks->bytes -= walks->walks[at].bytes;
    walks->count--;
    memmove(&walks->walks[at], &walks->walks[at + 1], (walks->count - at) * sizeof walks->walks[0]);
}

static void close_oldest(struct peers_walks *walks)
{
    store_peers_close(&walks->walks[0].peers);
    forget(walks, 0);
}

void peers_walks_fini(struct peers_walks *walks)
{
    while (walks->count > 0)
        close_oldest(walks);
}

void peers_walks_expire(struct peers_walks *walks, uint64_t now_us)
{
    while (walks->count > 0 && now_us - walks->walks[0].kept_us >= PEERS_WALKS_US)
        close_oldest(walks);
}

void peers_walks_keep(struct peers_walks *walks, struct store_peers **peers, const struct peers_moment *moment,
                      uint64_t next, uint64_t now_us)
{
    struct peers_walk walk = {.peers = *peers, .moment = *moment, .next = next, .kept_us = now_us};
    *peers = NULL;
    store_peers_rest(walk.peers);
    walk.bytes = store_peers_bytes(walk.peers);
    if (walk.bytes > PEERS_WALKS_BYTES_MAX) {
        store_peers_close(&walk.peers);
        return;
    }
    while (walks->count == PEERS_WALKS_MAX || walks->bytes + walk.bytes > PEERS_WALKS_BYTES_MAX)
        close_oldest(walks);
    walks->walks[walks->count++] = walk;
    walks->bytes += walk.bytes;
}

bool peers_walks_take(struct peers_walks *walks, struct span user, uint64_t before, struct peers_walk *walk_r)
{
    for (uint32_t i = 0; i < walks->count; i++)
        if (walks->walks[i].next == before && store_peers_is_of(walks->walks[i].peers, user)) {
            *walk_r = walks->walks[i];
            forget(walks, i);
            return true;
        }
    return false;
}
