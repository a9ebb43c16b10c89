#include "connection/tls_tickets.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/assert.h"

#define KEY_US ((uint64_t)TLS_TICKET_KEY_S * 1000000)

void tls_tickets_init(struct tls_tickets *tickets, struct clock *clock)
{
    *tickets = (struct tls_tickets){.clock = clock};
    pthread_mutex_init(&tickets->lock, NULL);
}

void tls_tickets_fini(struct tls_tickets *tickets)
{
    pthread_mutex_destroy(&tickets->lock);
    OPENSSL_cleanse(tickets, sizeof *tickets);
}

/* Erases the keys that are past their time. */
static void drop_old(struct tls_tickets *tickets, uint64_t now_us)
{
    for (; tickets->count > 0; tickets->count--) {
        struct tls_ticket_key *oldest = &tickets->keys[tickets->count - 1];
        ASSERT(now_us >= oldest->made_us);
        if (now_us - oldest->made_us < TLS_TICKET_KEYS * KEY_US)
            return;
        OPENSSL_cleanse(oldest, sizeof *oldest);
    }
}

/* A new key in front, if the newest has been used for long enough. */
static bool renew(struct tls_tickets *tickets, uint64_t now_us)
{
    struct tls_ticket_key fresh;
    if (tickets->count > 0 && now_us - tickets->keys[0].made_us < KEY_US)
        return true;
    if (RAND_bytes((unsigned char *)&fresh, sizeof fresh) != 1)
        return false;
    fresh.made_us = now_us;
    memmove(tickets->keys + 1, tickets->keys, (TLS_TICKET_KEYS - 1) * sizeof tickets->keys[0]);
    tickets->keys[0] = fresh;
    tickets->count += tickets->count < TLS_TICKET_KEYS;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return true;
}

bool tls_tickets_newest(struct tls_tickets *tickets, struct tls_ticket_key *key_r)
{
    pthread_mutex_lock(&tickets->lock);
    uint64_t now_us = clock_monotonic_us(tickets->clock);
    drop_old(tickets, now_us);
    bool is_good = renew(tickets, now_us);
    *key_r = tickets->keys[0];
    pthread_mutex_unlock(&tickets->lock);
    return is_good;
}

enum tls_ticket_match tls_tickets_find(struct tls_tickets *tickets, const uint8_t name[16],
                                       struct tls_ticket_key *key_r)
{
    enum tls_ticket_match match = TLS_TICKET_UNKNOWN;
    pthread_mutex_lock(&tickets->lock);
    drop_old(tickets, clock_monotonic_us(tickets->clock));
    for (uint32_t i = 0; i < tickets->count && match == TLS_TICKET_UNKNOWN; i++)
        if (memcmp(tickets->keys[i].name, name, sizeof tickets->keys[i].name) == 0) {
            *key_r = tickets->keys[i];
            match = i == 0 ? TLS_TICKET_NEWEST : TLS_TICKET_OLDER;
        }
    pthread_mutex_unlock(&tickets->lock);
    return match;
}
