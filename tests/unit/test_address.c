#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>

#include "base/address.h"

static struct address ipv4(const char *text)
{
    struct sockaddr_storage storage = {.ss_family = AF_INET};
    cr_assert_eq(inet_pton(AF_INET, text, &((struct sockaddr_in *)&storage)->sin_addr), 1);
    return address_of(&storage);
}

static struct address ipv6(const char *text)
{
    struct sockaddr_storage storage = {.ss_family = AF_INET6};
    cr_assert_eq(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&storage)->sin6_addr), 1);
    return address_of(&storage);
}

static void expect_text(struct address address, const char *expected)
{
    char text[ADDRESS_TEXT_BYTES];
    address_write(&address, text);
    cr_expect_str_eq(text, expected);
}

Test(address, texts)
{
    expect_text(ipv4("192.0.2.7"), "192.0.2.7");
    expect_text(ipv6("::ffff:192.0.2.7"), "192.0.2.7");
    expect_text(ipv6("2001:db8::1"), "2001:db8::1");
    expect_text(ipv6("2001:db8:1111:2222:3333:4444:5555:6666"), "2001:db8:1111:2222:3333:4444:5555:6666");
}

Test(address, an_ipv4_address_is_the_same_in_both_families)
{
    struct address a = ipv4("192.0.2.7");
    struct address b = ipv6("::ffff:192.0.2.7");
    struct address other = ipv4("192.0.2.8");
    cr_expect(address_equal(&a, &b));
    cr_expect(address_is_ipv4(&b));
    cr_expect_not(address_equal(&a, &other));
    struct address v6 = ipv6("2001:db8::1");
    cr_expect_not(address_is_ipv4(&v6));
}

Test(address, other_families_are_unknown)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNIX};
    struct address address = address_of(&storage);
    cr_expect_not(address_is_known(&address));
    expect_text(address, "unknown");
    struct address known = ipv4("192.0.2.7");
    cr_expect(address_is_known(&known));
}

Test(address, loopback)
{
    static const char *const not_loopback[] = {"126.255.255.255", "128.0.0.1"};
    struct address first = ipv4("127.0.0.1"), last = ipv4("127.255.255.255"), v6 = ipv6("::1"), other = ipv6("::2");
    struct address unknown = {{0}};
    cr_expect(address_is_loopback(&first) && address_is_loopback(&last) && address_is_loopback(&v6));
    cr_expect_not(address_is_loopback(&other) || address_is_loopback(&unknown));
    for (size_t i = 0; i < sizeof not_loopback / sizeof not_loopback[0]; i++) {
        struct address address = ipv4(not_loopback[i]);
        cr_expect_not(address_is_loopback(&address));
    }
}
