#include "base/network.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static struct address address_from(const char *text)
{
    struct address address;
    cr_assert(network_parse_address(span_of(text), &address), "%s", text);
    return address;
}

/* Parses a copy that ends where `text` ends, so that a read past it is noticed. */
static enum network_verdict parse(const char *text, struct network *network_r)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + (bytes == 0));
    memcpy(copy, text, bytes);
    enum network_verdict verdict = network_parse((struct span){copy, bytes}, network_r);
    free(copy);
    return verdict;
}

Test(network, has_the_addresses_of_its_prefix_and_no_other)
{
    const struct {
        const char *network, *address;
        bool has;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"10.0.0.0/8", "a00::1", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.6/31", "192.0.2.7", true},
        {"192.0.2.6/31", "192.0.2.8", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.7/32", "192.0.2.7", true},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"fd00::/8", "fdff::1", true},
        {"fd00::/8", "fe00::1", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::1", "::2", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "192.0.2.7", true},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct network network;
        struct address address = address_from(cases[i].address);
        cr_assert_eq(parse(cases[i].network, &network), NETWORK_GOOD, "%s", cases[i].network);
        cr_assert_eq(network_has(&network, &address), cases[i].has, "%s in %s", cases[i].address, cases[i].network);
    }
}

Test(network, what_is_no_network_is_refused)
{
    const char *const bad[] = {"",
                               "/",
                               "/8",
                               "10.0.0.0/",
                               "10.0.0.0/33",
                               "10.0.0.0/-1",
                               "10.0.0/8",
                               "10.0.0.0/8/8",
                               "10.0.0.0/0008",
                               "::/129",
                               "fd00::/8x",
                               "[::1]",
                               "[::1]/128",
                               "localhost",
                               "10.0.0.0:80",
                               "10.0.0.0 /8",
                               "::1%lo",
                               "*"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct network network;
        cr_assert_eq(parse(bad[i], &network), NETWORK_NOT_ONE, "%s", bad[i]);
    }
}

Test(network, bits_after_the_prefix_are_refused)
{
    const char *const bad[] = {"10.0.0.1/8", "192.0.2.1/31", "fd00::1/8", "0.0.0.1/0", "::1/0", "2001:db8:8000::/32"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct network network;
        cr_assert_eq(parse(bad[i], &network), NETWORK_LOOSE, "%s", bad[i]);
    }
}

Test(network, an_unknown_address_is_in_none)
{
    struct network all;
    struct address unknown = {{0}}, known = address_from("2001:db8::1");
    cr_assert_eq(parse("::/0", &all), NETWORK_GOOD);
    cr_assert_not(networks_have(&all, 1, &unknown));
    cr_assert(networks_have(&all, 1, &known));
    cr_assert_not(networks_have(NULL, 0, &known));
}

Test(network, a_network_of_all_addresses_is_known_as_one)
{
    static const char *const all[] = {"0.0.0.0/0", "::/0", "::/8", "::ffff:0:0/96"};
    static const char *const some[] = {"0.0.0.0/1", "10.0.0.0/8", "fd00::/8", "2000::/3", "127.0.0.1", "::1"};
    struct network network;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cr_assert_eq(network_parse(span_of(all[i]), &network), NETWORK_GOOD, "%s", all[i]);
        cr_assert(network_is_everything(&network), "%s", all[i]);
    }
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        cr_assert_eq(network_parse(span_of(some[i]), &network), NETWORK_GOOD, "%s", some[i]);
        cr_assert_not(network_is_everything(&network), "%s", some[i]);
    }
}
