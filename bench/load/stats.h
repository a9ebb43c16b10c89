/*
 * stats.h: what a run counts. Each worker counts in its own struct, without a lock, and publishes it from time to time;
 * the main thread adds up what was published. No function here takes a lock.
 */
#ifndef CHITCHAT_BENCH_LOAD_STATS_H
#define CHITCHAT_BENCH_LOAD_STATS_H

#include <stdint.h>

#include "load/histogram.h"

enum load_count {
    LOAD_ACKNOWLEDGED, /* sends answered with ok */
    LOAD_DELIVERED,    /* entries that came as `msg` to a live connection */
    LOAD_REPLAYED,     /* those that came before `live` */
    LOAD_PAGES,
    LOAD_PAGE_MESSAGES,
    LOAD_LOGINS,
    LOAD_PEERS_PAGES,
    LOAD_MARKS,         /* `seen`, answered with ok */
    LOAD_RECEIPTS,      /* pushes `seen_by` */
    LOAD_TYPED,         /* `typing`, answered with ok */
    LOAD_TYPING_PUSHES, /* at most one a second and pair */
    LOAD_DUPLICATE_OKS, /* a resend that the key made safe */
    LOAD_BUSY,          /* refused for now: the server has no room */
    LOAD_RATE_LIMITED,  /* refused for now: the user has used up their rate */
    LOAD_UNAVAILABLE,
    LOAD_CONNECT_FAILED,
    LOAD_HANDSHAKES, /* of TLS */
    LOAD_RESUMED,    /* those of them that resumed an earlier session */
    LOAD_CUT_OFF,    /* the server ended a connection: expected where it is killed, else an error */
    /* Promises that were broken. */
    LOAD_BROKEN_CHAIN, /* `prev` is not the cursor, or `ts` not above it: an entry is missing, twice or out of order */
    LOAD_BROKEN_CONTENT, /* not what was sent, or another sender or recipient */
    LOAD_BROKEN_ORDER,   /* two sends of one connection to one recipient, swapped */
    LOAD_BROKEN_REPLY,   /* an answer unknown to the protocol, or to no request */
    LOAD_BROKEN_RESUME,  /* `reset`, `live` before the end of the replay, a `last` below the cursor */
    LOAD_BROKEN_HISTORY, /* pages that are not the timeline */
    LOAD_BROKEN_TALKS,   /* `peers`, `seen`, `seen_by` that are not what was sent, received and marked */
    LOAD_BROKEN_TYPING,  /* from nobody, or more often than once a second */
    LOAD_BROKEN_CLOSE,   /* a connection that the server ended without cause */
    LOAD_BROKEN_COUNT,   /* at the end: connections that did not get exactly what was acknowledged */
    LOAD_COUNTS
};
#define LOAD_BROKEN_FIRST LOAD_BROKEN_CHAIN

enum load_latency {
    LOAD_SEND_TO_OK,
    LOAD_SEND_TO_DELIVERY,
    LOAD_CONNECT_TO_LOGIN,
    LOAD_CONNECT_TO_LIVE, /* of those that came back with `after` */
    LOAD_PAGE,
    LOAD_PEERS_PAGE,
    LOAD_SEEN_TO_OK,
    LOAD_TYPING_TO_OK,
    LOAD_LATENCIES
};

struct load_stats {
    uint64_t counts[LOAD_COUNTS];
    struct load_histogram latencies[LOAD_LATENCIES];
};

void load_stats_merge(struct load_stats *into, const struct load_stats *from);
/* Each adds one half: LOAD_COUNTS counts, or LOAD_LATENCIES histograms. */
void load_stats_add_counts(struct load_stats *into, const uint64_t *counts);
void load_stats_add_latencies(struct load_stats *into, const struct load_histogram *latencies);
void load_stats_clear(struct load_stats *stats);
/* How many promises were broken. */
uint64_t load_stats_broken(const struct load_stats *stats);
/* `name` is for JSON, `text` for people. */
const char *load_stats_count_name(enum load_count count);
const char *load_stats_count_text(enum load_count count);
const char *load_stats_latency_name(enum load_latency latency);
const char *load_stats_latency_text(enum load_latency latency);

#endif
