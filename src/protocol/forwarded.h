/*
 * forwarded.h: the address of a client behind proxies, from the headers X-Forwarded-For and Forwarded (RFC 7239). Pure;
 * any thread.
 *
 * Each proxy appends the address of its own peer, so the entries on the right are from the proxies nearest to this
 * server. Entries are read from the right: those of trusted proxies are passed over, and the first other one is the
 * client. What stands left of it came from the client and is not read. If all are trusted proxies, the leftmost is the
 * client. A header may come in several lines, which are one list.
 */
#ifndef CHITCHAT_PROTOCOL_FORWARDED_H
#define CHITCHAT_PROTOCOL_FORWARDED_H

#include "base/network.h"
#include "base/span.h"

/* Networks of trusted proxies; borrowed. */
struct forwarded_proxies {
    const struct network *networks;
    uint32_t count;
};

enum forwarded_state {
    FORWARDED_ABSENT,    /* no entry */
    FORWARDED_PROXIES,   /* all entries are trusted proxies; `address` is the leftmost */
    FORWARDED_CLIENT,    /* `address` is the client */
    FORWARDED_HIDDEN,    /* the client's entry has no address: `unknown` or a name that a proxy made up */
    FORWARDED_MALFORMED, /* the client's entry is not what the header may have */
};

/* The lines of one header so far. A struct of zeros: none. */
struct forwarded {
    enum forwarded_state state;
    struct address address; /* FORWARDED_PROXIES, FORWARDED_CLIENT; else unknown */
};

/* Takes the next line of X-Forwarded-For: addresses between commas, each with or without a port. */
void forwarded_add_for(struct forwarded *forwarded, struct span line, const struct forwarded_proxies *proxies);
/* Takes the next line of Forwarded: elements between commas, of which the parameter `for` is read. */
void forwarded_add(struct forwarded *forwarded, struct span line, const struct forwarded_proxies *proxies);

#endif
