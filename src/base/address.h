/*
 * address.h: the IP address of a peer, as logs and limits use it. Pure. Any thread.
 */
#ifndef CHITCHAT_BASE_ADDRESS_H
#define CHITCHAT_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d. All zeros: unknown. */
struct address {
    uint8_t bytes[16];
};

/* Room for the text of an address and its NUL. */
#define ADDRESS_TEXT_BYTES 46u

/* The address of a socket address, without its port. Unknown if the family is neither AF_INET nor AF_INET6. */
struct address address_of(const struct sockaddr_storage *socket_address);
bool address_is_ipv4(const struct address *address);
bool address_is_known(const struct address *address);
bool address_equal(const struct address *a, const struct address *b);
/* 127.0.0.0/8 and ::1. */
bool address_is_loopback(const struct address *address);
/* Writes 192.0.2.1, 2001:db8::1, or `unknown`, with a NUL. */
void address_write(const struct address *address, char text[ADDRESS_TEXT_BYTES]);

#endif
