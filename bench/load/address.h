/*
 * address.h: where the server listens: ADDR:PORT, [ADDR6]:PORT or NAME:PORT. A name may stand for several addresses;
 * the first that answers is used. Any thread may read; the main thread changes it.
 */
#ifndef CHITCHAT_BENCH_LOAD_ADDRESS_H
#define CHITCHAT_BENCH_LOAD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define LOAD_ADDRESSES_MAX 8u
#define LOAD_ADDRESS_TEXT_BYTES 280u
#define LOAD_HOST_BYTES_MAX 255u

struct load_address {
    char text[LOAD_ADDRESS_TEXT_BYTES]; /* as it was given */
    char host[LOAD_HOST_BYTES_MAX + 1]; /* of the text, without brackets */
    struct sockaddr_storage candidates[LOAD_ADDRESSES_MAX];
    socklen_t bytes[LOAD_ADDRESSES_MAX];
    uint32_t count;
    uint32_t chosen;
    uint16_t port;
};

/* NULL, or what is wrong with the text, as the end of a sentence that begins with it. */
const char *load_address_parse(struct load_address *address_r, const char *text);
/* Chooses the first candidate that accepts a connection: 0, or the -errno of the last one. */
int load_address_probe(struct load_address *address);
/* The chosen candidate; stands as long as the address. */
const struct sockaddr *load_address_chosen(const struct load_address *address, socklen_t *bytes_r);
/* Drops the candidates of other families; false if none is left. */
bool load_address_keep(struct load_address *address, int family);
int load_address_family(const struct load_address *address);

#endif
