/*
 * tls_tickets.h: the keys of session tickets, for all shards. A ticket holds the session, encrypted for this server
 * alone, so the server keeps no sessions, and a ticket from one shard is good on each. A key makes tickets for an hour
 * and is known for three hours more; then it is erased. No key survives the process.
 *
 * Any thread. A lock is held for a few instructions; only handshakes take it.
 */
#ifndef CHITCHAT_CONNECTION_TLS_TICKETS_H
#define CHITCHAT_CONNECTION_TLS_TICKETS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define TLS_TICKET_KEYS 4u
#define TLS_TICKET_KEY_S 3600u
/* How long a ticket is good at the most. Clients are given this lifetime, and the server checks it. */
#define TLS_TICKET_LIFE_S ((TLS_TICKET_KEYS - 1) * TLS_TICKET_KEY_S)

struct tls_ticket_key {
    uint64_t made_us; /* monotonic */
    uint8_t name[16];
    uint8_t cipher_key[32];
    uint8_t mac_key[32];
};

struct tls_tickets {
    /* Set by open, then only read. */
    struct clock *clock;

    /* Under the lock. */
    pthread_mutex_t lock;
    struct tls_ticket_key keys[TLS_TICKET_KEYS]; /* newest first */
    uint32_t count;
};

enum tls_ticket_match { TLS_TICKET_UNKNOWN, TLS_TICKET_NEWEST, TLS_TICKET_OLDER };

/* Borrows `clock`. */
void tls_tickets_init(struct tls_tickets *tickets, struct clock *clock);
/* Erases the keys. */
void tls_tickets_fini(struct tls_tickets *tickets);
/* A copy of the key for new tickets, made now if the newest is too old. False: no random numbers. */
bool tls_tickets_newest(struct tls_tickets *tickets, struct tls_ticket_key *key_r);
/* A copy of the key with this name, if it is not too old. *key_r is set unless the result is TLS_TICKET_UNKNOWN. */
enum tls_ticket_match tls_tickets_find(struct tls_tickets *tickets, const uint8_t name[16],
                                       struct tls_ticket_key *key_r);

#endif
