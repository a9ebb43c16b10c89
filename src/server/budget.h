/*
 * budget.h: what one shard may use of the server's memory (--memory), and for what.
 *
 * The limit covers what the server takes for itself: anonymous memory (RssAnon in /proc/PID/status). It does not cover
 * pages of mapped run files, which are the kernel's page cache and go when it wants them, what the kernel keeps for
 * sockets and rings, nor the filters of runs (1.2 bytes for each user in a run), which grow with what is stored.
 *
 * An equal part for each shard, cut up like this:
 *
 *     two generations of recent messages      2 x --memtable-bytes
 *     connections themselves                  --connections x BUDGET_CONN_BYTES, spread over the shards
 *     buffers of a fixed size                 BUDGET_FIXED_BYTES
 *     the rest, in sixteenths:   5 records under way, 2 their places in the memtable, 1 sends under way,
 *                                4 output that waits, 2 input that waits, 1 keys, a half HTTP heads of which a part has
 *                                come, a half left over
 *
 * Whatever reaches its part makes the server refuse (`busy`), read more slowly, or cut off who does not read; it never
 * takes from another part. Pure.
 */
#ifndef CHITCHAT_SERVER_BUDGET_H
#define CHITCHAT_SERVER_BUDGET_H

#include "cli/config.h"

/* struct conn, its slot, its user. */
#define BUDGET_CONN_BYTES 1024u
/* Log: 2 batches, 2 MiB. Rings and their buffers: 6. Pages on their way from the reader: 64 in each of three lanes, of
 * at most 512 KiB, 160 KiB and 64 KiB: 46. Pages of history read ahead: 256 of at most 64 KiB: 16. Slices of a
 * checkpoint and of a merge, twice 8 MiB, with LMDB's lists: 24. Scratch and code: 18. */
#define BUDGET_FIXED_BYTES (UINT64_C(112) << 20)
/* With less than this left to be cut up, a shard cannot work. */
#define BUDGET_REST_MIN_BYTES (UINT64_C(192) << 20)
/* Where the user sets no limit: so much for each shard, or more if its generations need it. */
#define BUDGET_SHARD_BYTES (UINT64_C(1) << 30)

struct budget {
    uint64_t heap_bytes;     /* records, those of the generations among them */
    uint64_t output_bytes;   /* waiting for connections to read it */
    uint64_t stash_bytes;    /* read, and not taken up yet */
    uint64_t message_bytes;  /* of messages of which a part has come */
    uint64_t key_bytes;      /* hashes of keys */
    uint32_t deliveries_max; /* sends of this shard's users under way, and as many to them */
    uint32_t histories_max;  /* pages asked for */
    uint32_t heads_max;      /* of HTTP, of which a part has come */
};

/* What the server may use, whether the user said so or not. */
uint64_t budget_total(const struct config *config, uint32_t shards);
/* 0 and *budget_r; or, when the options do not fit the limit, what it must be at least. */
uint64_t budget_make(const struct config *config, uint32_t shards, struct budget *budget_r);

#endif
