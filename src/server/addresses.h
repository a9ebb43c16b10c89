/*
 * addresses.h: limits for each address that connects: connections at a time, new connections a second, and failed
 * logins a second. One table for the whole server, since the connections of one address are spread over all shards.
 * Any thread.
 *
 * An IPv4 address counts for itself. An IPv6 address counts with all others of its /64, which one customer usually has.
 * Loopback addresses have no limits unless the options say otherwise: all clients of a proxy on this machine would
 * count as one. The unknown address has none either.
 *
 * The table is used when a connection comes or goes, when a proxy names the client's address, at a login, and never for
 * a send. Its size is fixed by the number of connections that the server takes. It consists of sets of ADDRESSES_WAYS
 * entries; a keyed hash chooses the set, so that nobody can choose addresses that share one. An entry without
 * connections keeps its rates until its set needs it: the one that was used longest ago goes first. If each entry of
 * the set has connections, the newcomer has no limits of its address (ADDRESS_UNCOUNTED). That happens to less than one
 * connection in a hundred when all connections of a full server come from different addresses. Memory of sets that were
 * never used is not touched.
 *
 * The sets share ADDRESSES_LOCKS mutexes. Two shards rarely need the same one at the same moment, and the owner holds
 * it for a lookup of ADDRESSES_WAYS keys: no system call, no allocation. A lock-free table would need an atomic update
 * of a key, a count and two token buckets at once.
 */
#ifndef CHITCHAT_SERVER_ADDRESSES_H
#define CHITCHAT_SERVER_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/hash.h"

#define ADDRESSES_WAYS 16u
#define ADDRESSES_LOCKS 256u

struct addresses;

/* 0: no limit. */
struct address_limits {
    uint32_t connections; /* at a time */
    uint32_t rate;        /* new connections a second */
    uint32_t login_rate;  /* failed logins a second */
    bool has_loopback;    /* loopback addresses have limits too */
};

enum address_verdict {
    ADDRESS_WITHIN,    /* counted, unless the address has no limits */
    ADDRESS_UNCOUNTED, /* the table has no entry for it: it has no limits */
    ADDRESS_TOO_MANY,  /* refused: has as many connections as it may */
    ADDRESS_TOO_FAST,  /* refused: too many new connections in this second */
};

/* The entry of a connection whose address is not counted. */
#define ADDRESS_NO_ENTRY 0u

/* Opens a table for a server of so many connections. Copies `limits`. Nobody may know `seed` who could choose
 * addresses. 0 or -ENOMEM; the caller closes *addresses_r. */
int addresses_open(struct addresses **addresses_r, const struct address_limits *limits, uint32_t connections,
                   struct hash_key seed);
/* Nulls *addresses; NULL is fine. */
void addresses_close(struct addresses **addresses);
/* The memory of a table for so many connections. Pure. */
uint64_t addresses_bytes(uint32_t connections);

/* Counts a connection from `address` at `now_us` (monotonic). If it is not refused, *entry_r is what addresses_leave
 * needs, ADDRESS_NO_ENTRY if it is not counted. If it is refused, nothing is counted, and *entry_r is ADDRESS_NO_ENTRY.
 */
enum address_verdict addresses_enter(struct addresses *addresses, const struct address *address, uint64_t now_us,
                                     uint32_t *entry_r);
/* The connection of `entry` is gone: `entry` means nothing to it any more. */
void addresses_leave(struct addresses *addresses, uint32_t entry, uint64_t now_us);
/* Whether a login may be tried. False: too many failed, and *retry_after_ms_r is set. `entry` is that of a connection,
 * here and below. */
bool addresses_may_log_in(struct addresses *addresses, uint32_t entry, uint64_t now_us, uint32_t *retry_after_ms_r);
/* A login failed by a fault of the client. */
void addresses_count_failed_login(struct addresses *addresses, uint32_t entry, uint64_t now_us);
/* Connections that are counted. Slow: it reads the whole table. */
uint64_t addresses_count(struct addresses *addresses);

#endif
