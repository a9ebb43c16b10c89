/*
 * network.h: a network of IP addresses, as --trust-proxy writes it: 10.0.0.0/8, fd00::/8, or one address. Pure; any
 * thread.
 */
#ifndef CHITCHAT_BASE_NETWORK_H
#define CHITCHAT_BASE_NETWORK_H

#include "base/address.h"
#include "base/span.h"

struct network {
    struct address address; /* its bits after the prefix are zero */
    uint8_t prefix_bits;    /* 0 to 128; of an IPv4 network 96 more than in its text */
};

enum network_verdict {
    NETWORK_GOOD,
    NETWORK_NOT_ONE, /* the text is no network */
    NETWORK_LOOSE,   /* bits after the prefix are set: 10.0.0.1/8 */
};

/* Reads an address as 192.0.2.1 or 2001:db8::1, without brackets and port. False: `text` is something else, and
 * *address_r is unknown. */
bool network_parse_address(struct span text, struct address *address_r);
enum network_verdict network_parse(struct span text, struct network *network_r);
/* Whether it has all IPv4 addresses, as 0.0.0.0/0 and ::/0. */
bool network_is_everything(const struct network *network);
bool network_has(const struct network *network, const struct address *address);
/* Whether one of `networks` has `address`. An unknown address is in none. */
bool networks_have(const struct network *networks, uint32_t count, const struct address *address);

#endif
