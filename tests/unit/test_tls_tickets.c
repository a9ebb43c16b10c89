#include <criterion/criterion.h>
#include <string.h>

#include "connection/tls_tickets.h"

#define HOUR_US ((uint64_t)TLS_TICKET_KEY_S * 1000000)

struct set_clock {
    struct clock clock;
    uint64_t now_us;
};

static uint64_t set_now_us(struct clock *clock)
{
    return ((struct set_clock *)(void *)clock)->now_us;
}

static struct set_clock clock_at(uint64_t now_us)
{
    return (struct set_clock){{set_now_us, set_now_us, NULL}, now_us};
}

Test(tls_tickets, a_key_makes_tickets_for_an_hour)
{
    struct set_clock clock = clock_at(5 * HOUR_US);
    struct tls_tickets tickets;
    struct tls_ticket_key first, again, next;
    tls_tickets_init(&tickets, &clock.clock);
    cr_assert(tls_tickets_newest(&tickets, &first));
    clock.now_us += HOUR_US - 1;
    cr_assert(tls_tickets_newest(&tickets, &again));
    cr_assert_eq(memcmp(&first, &again, sizeof first), 0);
    clock.now_us += 1;
    cr_assert(tls_tickets_newest(&tickets, &next));
    cr_assert_neq(memcmp(first.name, next.name, sizeof first.name), 0);
    cr_assert_neq(memcmp(first.cipher_key, next.cipher_key, sizeof first.cipher_key), 0);
    cr_assert_neq(memcmp(first.mac_key, next.mac_key, sizeof first.mac_key), 0);
    tls_tickets_fini(&tickets);
}

Test(tls_tickets, an_old_key_still_opens_tickets_but_asks_for_a_newer_one)
{
    struct set_clock clock = clock_at(1);
    struct tls_tickets tickets;
    struct tls_ticket_key first, next, found;
    tls_tickets_init(&tickets, &clock.clock);
    cr_assert(tls_tickets_newest(&tickets, &first));
    cr_assert_eq(tls_tickets_find(&tickets, first.name, &found), TLS_TICKET_NEWEST);
    for (unsigned hour = 1; hour < TLS_TICKET_KEYS; hour++) {
        clock.now_us += HOUR_US;
        cr_assert(tls_tickets_newest(&tickets, &next));
        cr_assert_eq(tls_tickets_find(&tickets, first.name, &found), TLS_TICKET_OLDER, "hour %u", hour);
        cr_assert_eq(memcmp(&found, &first, sizeof first), 0);
        cr_assert_eq(tls_tickets_find(&tickets, next.name, &found), TLS_TICKET_NEWEST);
    }
    tls_tickets_fini(&tickets);
}

Test(tls_tickets, a_key_is_erased_after_its_time_with_or_without_new_ones)
{
    for (int makes_new = 0; makes_new < 2; makes_new++) {
        struct set_clock clock = clock_at(1);
        struct tls_tickets tickets;
        struct tls_ticket_key first, next;
        tls_tickets_init(&tickets, &clock.clock);
        cr_assert(tls_tickets_newest(&tickets, &first));
        for (unsigned hour = 0; hour < TLS_TICKET_KEYS; hour++) {
            clock.now_us += HOUR_US;
            cr_assert(!makes_new || tls_tickets_newest(&tickets, &next));
        }
        cr_assert_eq(tls_tickets_find(&tickets, first.name, &next), TLS_TICKET_UNKNOWN);
        for (size_t i = 0; i + sizeof first.cipher_key <= sizeof tickets.keys; i++)
            cr_assert_neq(memcmp((const char *)tickets.keys + i, first.cipher_key, sizeof first.cipher_key), 0);
        tls_tickets_fini(&tickets);
    }
}

Test(tls_tickets, a_key_does_not_outlive_its_time_when_handshakes_are_rare)
{
    struct set_clock clock = clock_at(1);
    struct tls_tickets tickets;
    struct tls_ticket_key first, next, found;
    tls_tickets_init(&tickets, &clock.clock);
    cr_assert(tls_tickets_newest(&tickets, &first));
    clock.now_us += TLS_TICKET_KEYS * HOUR_US - 1;
    cr_assert(tls_tickets_newest(&tickets, &next));
    cr_assert_eq(tls_tickets_find(&tickets, first.name, &found), TLS_TICKET_OLDER);
    clock.now_us += 1;
    cr_assert_eq(tls_tickets_find(&tickets, first.name, &found), TLS_TICKET_UNKNOWN);
    cr_assert_eq(tls_tickets_find(&tickets, next.name, &found), TLS_TICKET_NEWEST);
    for (size_t i = 0; i + sizeof first.cipher_key <= sizeof tickets.keys; i++)
        cr_assert_neq(memcmp((const char *)tickets.keys + i, first.cipher_key, sizeof first.cipher_key), 0);
    tls_tickets_fini(&tickets);
}

Test(tls_tickets, the_key_of_another_server_is_unknown)
{
    struct set_clock clock = clock_at(1);
    struct tls_tickets tickets, other;
    struct tls_ticket_key key, found;
    tls_tickets_init(&tickets, &clock.clock);
    tls_tickets_init(&other, &clock.clock);
    cr_assert(tls_tickets_newest(&tickets, &key));
    cr_assert(tls_tickets_newest(&other, &found));
    cr_assert_eq(tls_tickets_find(&other, key.name, &found), TLS_TICKET_UNKNOWN);
    tls_tickets_fini(&tickets);
    tls_tickets_fini(&other);
}
