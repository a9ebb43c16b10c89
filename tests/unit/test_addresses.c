#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "server/addresses.h"

TestSuite(addresses, .timeout = 60);

#define SECOND UINT64_C(1000000)
#define NOW (UINT64_C(100) * SECOND)
#define CONNECTIONS 1000u

static struct address at(const char *text)
{
    struct address address = {{[10] = 0xff, [11] = 0xff}};
    int status = strchr(text, ':') == NULL ? inet_pton(AF_INET, text, address.bytes + 12)
                                           : inet_pton(AF_INET6, text, address.bytes);
    cr_assert_eq(status, 1, "%s", text);
    return address;
}

/* The `n`th of addresses that count apart. */
static struct address number(uint32_t n)
{
    struct address address = {{[10] = 0xff, [11] = 0xff, [12] = 10}};
    for (uint32_t i = 0; i < 3; i++)
        address.bytes[13 + i] = (uint8_t)(n >> (16 - 8 * i));
    return address;
}

static struct addresses *open_table(struct address_limits limits)
{
    struct addresses *addresses;
    cr_assert_eq(addresses_open(&addresses, &limits, CONNECTIONS, (struct hash_key){3, 4}), 0);
    return addresses;
}

static enum address_verdict enter_at(struct addresses *addresses, const char *text, uint64_t now_us, uint32_t *entry_r)
{
    struct address address = at(text);
    return addresses_enter(addresses, &address, now_us, entry_r);
}

static enum address_verdict enter(struct addresses *addresses, const char *text)
{
    uint32_t entry;
    return enter_at(addresses, text, NOW, &entry);
}

static void expect_together(const char *one, const char *other, bool are_together)
{
    struct addresses *addresses = open_table((struct address_limits){.connections = 1});
    cr_assert_eq(enter(addresses, one), ADDRESS_WITHIN);
    cr_assert_eq(enter(addresses, other), are_together ? ADDRESS_TOO_MANY : ADDRESS_WITHIN, "%s %s", one, other);
    addresses_close(&addresses);
}

Test(addresses, an_ipv4_address_counts_whole_and_an_ipv6_address_with_its_64)
{
    expect_together("192.0.2.1", "192.0.2.1", true);
    expect_together("192.0.2.1", "192.0.2.2", false);
    expect_together("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true);
    expect_together("2001:db8:1:2::1", "2001:db8:1:3::1", false);
    expect_together("::2", "::3", true);
}

Test(addresses, an_ipv4_address_is_the_same_when_it_is_mapped_into_ipv6)
{
    expect_together("192.0.2.1", "::ffff:192.0.2.1", true);
    expect_together("::ffff:192.0.2.1", "::ffff:192.0.2.2", false);
}

Test(addresses, connections_at_a_time_are_limited_until_one_leaves)
{
    uint32_t entries[3], entry;
    struct addresses *addresses = open_table((struct address_limits){.connections = 3});
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(enter_at(addresses, "192.0.2.1", NOW, &entries[i]), ADDRESS_WITHIN);
    cr_assert_eq(enter_at(addresses, "192.0.2.1", NOW, &entry), ADDRESS_TOO_MANY);
    cr_assert_eq(entry, ADDRESS_NO_ENTRY);
    cr_assert_eq(addresses_count(addresses), 3, "a refused connection is not counted");
    addresses_leave(addresses, entries[1], NOW);
    cr_assert_eq(enter_at(addresses, "192.0.2.1", NOW, &entry), ADDRESS_WITHIN);
    cr_assert_eq(enter(addresses, "192.0.2.1"), ADDRESS_TOO_MANY);
    addresses_close(&addresses);
}

Test(addresses, new_connections_are_limited_by_the_second_also_when_all_have_left)
{
    uint32_t entry;
    struct address address = at("192.0.2.1");
    struct addresses *addresses = open_table((struct address_limits){.rate = 5});
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(addresses_enter(addresses, &address, NOW, &entry), ADDRESS_WITHIN);
        addresses_leave(addresses, entry, NOW);
    }
    cr_assert_eq(addresses_enter(addresses, &address, NOW, &entry), ADDRESS_TOO_FAST);
    cr_assert_eq(enter(addresses, "192.0.2.2"), ADDRESS_WITHIN);
    cr_assert_eq(addresses_enter(addresses, &address, NOW + SECOND / 5, &entry), ADDRESS_WITHIN);
    addresses_leave(addresses, entry, NOW);
    cr_assert_eq(addresses_enter(addresses, &address, NOW + SECOND / 5, &entry), ADDRESS_TOO_FAST);
    addresses_close(&addresses);
}

Test(addresses, failed_logins_stop_all_logins_of_the_address_until_the_rate_allows_one)
{
    uint32_t first, second, other, retry_after_ms = 0;
    struct addresses *addresses = open_table((struct address_limits){.login_rate = 2});
    cr_assert_eq(enter_at(addresses, "2001:db8::1", NOW, &first), ADDRESS_WITHIN);
    cr_assert_eq(enter_at(addresses, "2001:db8::2", NOW, &second), ADDRESS_WITHIN);
    cr_assert_eq(enter_at(addresses, "192.0.2.1", NOW, &other), ADDRESS_WITHIN);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(addresses_may_log_in(addresses, first, NOW, &retry_after_ms));
        addresses_count_failed_login(addresses, first, NOW);
    }
    cr_assert_not(addresses_may_log_in(addresses, second, NOW, &retry_after_ms));
    cr_assert_eq(retry_after_ms, 500);
    cr_assert(addresses_may_log_in(addresses, other, NOW, &retry_after_ms));
    cr_assert(addresses_may_log_in(addresses, second, NOW + SECOND / 2, &retry_after_ms));
    cr_assert(addresses_may_log_in(addresses, second, NOW + SECOND / 2, &retry_after_ms), "a look takes nothing");
    addresses_close(&addresses);
}

Test(addresses, zero_is_no_limit)
{
    uint32_t entry, retry_after_ms;
    struct addresses *addresses = open_table((struct address_limits){.connections = 0});
    for (uint32_t i = 0; i < 3 * CONNECTIONS; i++)
        cr_assert_eq(enter_at(addresses, "192.0.2.1", NOW, &entry), ADDRESS_WITHIN);
    addresses_count_failed_login(addresses, entry, NOW);
    cr_assert(addresses_may_log_in(addresses, entry, NOW, &retry_after_ms));
    addresses_leave(addresses, entry, NOW);
    addresses_close(&addresses);
}

Test(addresses, loopback_and_the_unknown_address_have_no_limits_unless_the_options_say_so)
{
    const char *loopback[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};
    struct address unknown = {{0}};
    uint32_t entry, retry_after_ms;
    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
        struct addresses *addresses = open_table((struct address_limits){.connections = 1, .login_rate = 1});
        cr_assert_eq(enter_at(addresses, loopback[i], NOW, &entry), ADDRESS_WITHIN);
        cr_assert_eq(entry, ADDRESS_NO_ENTRY, "%s", loopback[i]);
        addresses_count_failed_login(addresses, entry, NOW);
        cr_assert(addresses_may_log_in(addresses, entry, NOW, &retry_after_ms));
        cr_assert_eq(addresses_enter(addresses, &unknown, NOW, &entry), ADDRESS_WITHIN);
        cr_assert_eq(entry, ADDRESS_NO_ENTRY);
        addresses_close(&addresses);
        addresses = open_table((struct address_limits){.connections = 1, .has_loopback = true});
        cr_assert_eq(enter(addresses, loopback[i]), ADDRESS_WITHIN);
        cr_assert_eq(enter(addresses, loopback[i]), ADDRESS_TOO_MANY, "%s", loopback[i]);
        addresses_close(&addresses);
    }
}

Test(addresses, an_address_that_was_idle_for_longest_is_forgotten_first)
{
    uint32_t entry;
    struct addresses *addresses = open_table((struct address_limits){.rate = 1});
    struct address early = number(0), late;
    cr_assert_eq(addresses_enter(addresses, &early, NOW, &entry), ADDRESS_WITHIN);
    addresses_leave(addresses, entry, NOW);
    cr_assert_eq(addresses_enter(addresses, &early, NOW, &entry), ADDRESS_TOO_FAST);
    for (uint32_t i = 1; i < 100 * CONNECTIONS; i++) {
        late = number(i);
        cr_assert_eq(addresses_enter(addresses, &late, NOW + i * SECOND, &entry), ADDRESS_WITHIN);
        addresses_leave(addresses, entry, NOW + i * SECOND);
        cr_assert_eq(addresses_enter(addresses, &late, NOW + i * SECOND, &entry), ADDRESS_TOO_FAST,
                     "the newest is known");
    }
    cr_assert_eq(addresses_enter(addresses, &early, NOW, &entry), ADDRESS_WITHIN, "was forgotten");
    cr_assert_eq(addresses_count(addresses), 1);
    addresses_close(&addresses);
}

Test(addresses, an_address_with_connections_is_never_forgotten)
{
    uint32_t kept, entry, uncounted = 0;
    struct addresses *addresses = open_table((struct address_limits){.connections = 1});
    struct address first = number(0);
    cr_assert_eq(addresses_enter(addresses, &first, NOW, &kept), ADDRESS_WITHIN);
    for (uint32_t i = 1; i < 10 * CONNECTIONS; i++) {
        struct address address = number(i);
        enum address_verdict verdict = addresses_enter(addresses, &address, NOW, &entry);
        cr_assert(verdict == ADDRESS_WITHIN || verdict == ADDRESS_UNCOUNTED);
        cr_assert_eq(verdict == ADDRESS_UNCOUNTED, entry == ADDRESS_NO_ENTRY);
        uncounted += verdict == ADDRESS_UNCOUNTED;
    }
    cr_assert_gt(uncounted, 0, "the table is full of addresses with connections");
    cr_assert_eq(addresses_count(addresses), 10 * CONNECTIONS - uncounted);
    cr_assert_eq(addresses_enter(addresses, &first, NOW, &entry), ADDRESS_TOO_MANY);
    addresses_close(&addresses);
}

Test(addresses, as_many_addresses_as_connections_are_nearly_all_counted)
{
    uint32_t entry, uncounted = 0;
    struct addresses *addresses = open_table((struct address_limits){.connections = 1});
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct address address = number(i);
        uncounted += addresses_enter(addresses, &address, NOW, &entry) == ADDRESS_UNCOUNTED;
    }
    cr_assert_leq(uncounted, CONNECTIONS / 100);
    addresses_close(&addresses);
}

Test(addresses, the_memory_grows_with_the_connections_and_no_further)
{
    cr_assert_leq(addresses_bytes(100000), 100000u * 128);
    cr_assert_lt(addresses_bytes(1), 32768);
}

Test(addresses, nobody_is_counted_when_all_have_left)
{
    static uint32_t entries[CONNECTIONS];
    struct addresses *addresses = open_table((struct address_limits){.connections = 10, .login_rate = 1});
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct address address = number(i / 3);
        (void)addresses_enter(addresses, &address, NOW, &entries[i]);
    }
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        addresses_leave(addresses, entries[i], NOW);
    cr_assert_eq(addresses_count(addresses), 0);
    addresses_close(&addresses);
}
