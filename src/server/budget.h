/*
 * budget.h: how much of the server's memory (--memory) one shard may use, and for what.
 *
 * The limit covers the server's anonymous memory (RssAnon in /proc/PID/status). It does not cover pages of mapped run
 * files, which are page cache that the kernel can evict; the kernel's memory for sockets and rings; and the filters of
 * runs (1.2 bytes for each user in a run), which grow with the stored data.
 *
 * Each shard has an equal share, divided as follows:
 *
 *     two generations of recent messages      2 x --memtable-bytes
 *     connections themselves                  --connections x BUDGET_CONN_BYTES, spread over the shards; with TLS
 *                                             BUDGET_TLS_BYTES more for each
 *     the HTTP API, if there is one           BUDGET_API_BYTES
 *     handshakes of TLS                       --tls-handshakes x BUDGET_HANDSHAKE_BYTES, with TLS
 *     the table of addresses                  addresses_bytes(--connections), spread over the shards
 *     buffers of a fixed size                 BUDGET_FIXED_BYTES
 *     the rest, in sixteenths:   5 records in flight, 2 their places in the memtable, 1 sends in flight,
 *                                4 waiting output, 1 stashed input, 1 keys, 1 messages in fragments (a half
 *                                with presence, the other half is for that), a half incomplete HTTP heads,
 *                                a half requests for history pages
 *
 * When a part is used up, the server refuses (`busy`), reads more slowly, or closes connections that do not read. No
 * use takes memory from the part of another. Pure.
 */
#ifndef CHITCHAT_SERVER_BUDGET_H
#define CHITCHAT_SERVER_BUDGET_H

#include "cli/config.h"

/* A struct conn, its slot and its user. */
#define BUDGET_CONN_BYTES 1024u
/* A struct tls. */
#define BUDGET_TLS_BYTES 512u
/* What libssl takes during a handshake: 47 KB with a certificate of 1 KB, and more with long chains. */
#define BUDGET_HANDSHAKE_BYTES (UINT64_C(64) << 10)
/* WAL: 2 batches, 2 MiB. Marks in flight and read ahead: 2. Rings and their buffers: 6. Pages in flight at the reader:
 * 64 in each of three lanes, of at most 512 KiB, 160 KiB and 64 KiB: 46. Pages of history read ahead: 256 of at most
 * 64 KiB: 16. Pages of conversations and walks that are kept (STORE_PEERS_BYTES_MAX): 8 above the lane of history.
 * Slices of a checkpoint and of a merge, twice 8 MiB, with LMDB's lists: 24. Scratch and code: 18. */
#define BUDGET_FIXED_BYTES (UINT64_C(122) << 20)
/* 128 HTTP connections of programs with 18 KiB each, bodies of requests (EXCHANGES_BODY_BYTES, EXCHANGES_SMALL_BYTES),
 * and answers of 64 KiB that wait for each of them: 28 MiB. Copies of the messages of batches (BATCHES_BYTES_MAX) and
 * their outcomes: 20; pages for programs, PAGE_READS_ACTIVE_MAX of them: 18; users who are kept (SENDERS_MAX): 5. */
#define BUDGET_API_BYTES (UINT64_C(71) << 20)
/* The rest that is divided in sixteenths must be at least this, else a shard cannot work. */
#define BUDGET_REST_MIN_BYTES (UINT64_C(192) << 20)
/* Without --memory: so much for each shard, or more if its fixed parts need it. */
#define BUDGET_SHARD_BYTES (UINT64_C(1) << 30)

struct budget {
    uint64_t heap_bytes;     /* records, including those of the generations */
    uint64_t output_bytes;   /* output that waits for connections to read it */
    uint64_t stash_bytes;    /* stashed input */
    uint64_t message_bytes;  /* messages of which a part has come */
    uint64_t key_bytes;      /* hashes of keys */
    uint64_t presence_bytes; /* who watches whom; 0 with --presence off */
    uint32_t deliveries_max; /* sends in flight from this shard's users, and as many to them */
    uint32_t histories_max;  /* requested history pages */
    uint32_t heads_max;      /* incomplete HTTP heads */
};

/* Bytes that the server may use: --memory, or the default for these options. */
uint64_t budget_total(const struct config *config, uint32_t shards);
/* 0 and *budget_r. If the options do not fit the limit, returns the least limit in bytes that they fit; *budget_r is
 * left as it is. */
uint64_t budget_make(const struct config *config, uint32_t shards, struct budget *budget_r);

#endif
