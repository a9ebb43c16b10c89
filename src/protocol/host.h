/*
 * host.h: a host and its port, as the Host header, an origin and --host write them. Pure; any thread.
 *
 * A host is an IPv4 address in four decimal parts, an IPv6 address in brackets, or else a name. Addresses are compared
 * by value; names without regard to case and to a dot at the end. Other forms of an IPv4 address (127.1, 0x7f000001)
 * count as names, since a browser writes the four parts before it sends them.
 */
#ifndef CHITCHAT_PROTOCOL_HOST_H
#define CHITCHAT_PROTOCOL_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* Of the DNS, without the final dot. */
#define HOST_NAME_BYTES_MAX 253u
/* A name with its final dot, a colon and a port. */
#define HOST_TEXT_BYTES_MAX (HOST_NAME_BYTES_MAX + 1 + 1 + 5)

enum host_kind {
    HOST_NONE,
    HOST_NAME,
    HOST_IPV4,
    HOST_IPV6,
};

struct host {
    enum host_kind kind;
    bool has_port;
    uint16_t port;       /* 0 without has_port */
    struct span name;    /* HOST_NAME: as in the text, without the final dot; borrowed from the text */
    uint8_t address[16]; /* HOST_IPV4: the first 4; in network order */
};

/* Reads HOST or HOST:PORT; "HOST:" has no port (RFC 3986, 3.2.3). A name has letters, digits, - and _ between single
 * dots, so that it can be printed without escapes. False: `text` is not a host (user@, a path, a port past 65535, an
 * empty text), and the kind of *host_r is HOST_NONE. */
bool host_parse(struct span text, struct host *host_r);

/* Whether both are the same host; ports do not count. HOST_NONE equals no host, itself included. */
bool host_equal(const struct host *a, const struct host *b);

#endif
