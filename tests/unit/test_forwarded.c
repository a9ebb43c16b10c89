#include "protocol/forwarded.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

typedef void add_function(struct forwarded *, struct span, const struct forwarded_proxies *);

/* Trusted: 10.0.0.0/8 and fd00::/8. */
static void add(add_function *adds, struct forwarded *forwarded, const char *line)
{
    struct network networks[2];
    struct forwarded_proxies proxies = {networks, COUNT(networks)};
    cr_assert_eq(network_parse(SPAN_LITERAL("10.0.0.0/8"), &networks[0]), NETWORK_GOOD);
    cr_assert_eq(network_parse(SPAN_LITERAL("fd00::/8"), &networks[1]), NETWORK_GOOD);
    size_t bytes = strlen(line);
    char *copy = malloc(bytes + (bytes == 0));
    memcpy(copy, line, bytes);
    adds(forwarded, (struct span){copy, bytes}, &proxies);
    free(copy);
}

static void expect(const struct forwarded *forwarded, enum forwarded_state state, const char *address, const char *what)
{
    char text[ADDRESS_TEXT_BYTES];
    address_write(&forwarded->address, text);
    cr_assert_eq(forwarded->state, state, "%d for %s", (int)forwarded->state, what);
    cr_assert_str_eq(text, address, "%s", what);
}

struct one_line {
    const char *line;
    enum forwarded_state state;
    const char *address;
};

static void expect_lines(add_function *adds, const struct one_line *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct forwarded forwarded = {.state = FORWARDED_ABSENT};
        add(adds, &forwarded, cases[i].line);
        expect(&forwarded, cases[i].state, cases[i].address, cases[i].line);
    }
}

Test(forwarded, the_rightmost_address_that_is_no_trusted_proxy_is_the_client)
{
    const struct one_line cases[] = {
        {"192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {" 192.0.2.7 ", FORWARDED_CLIENT, "192.0.2.7"},
        {"203.0.113.1, 192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {"203.0.113.1,192.0.2.7,10.0.0.2", FORWARDED_CLIENT, "192.0.2.7"},
        {"203.0.113.1, 192.0.2.7,\t10.0.0.2 , fd00::1", FORWARDED_CLIENT, "192.0.2.7"},
        {"2001:db8::1", FORWARDED_CLIENT, "2001:db8::1"},
        {"10.0.0.1", FORWARDED_PROXIES, "10.0.0.1"},
        {"10.0.0.1, 10.0.0.2", FORWARDED_PROXIES, "10.0.0.1"},
        {"192.0.2.7:4711", FORWARDED_CLIENT, "192.0.2.7"},
        {"[2001:db8::1]:4711", FORWARDED_CLIENT, "2001:db8::1"},
        {"[2001:db8::1]", FORWARDED_CLIENT, "2001:db8::1"},
        {"::ffff:192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {"192.0.2.7,", FORWARDED_CLIENT, "192.0.2.7"},
        {"", FORWARDED_ABSENT, "unknown"},
        {" , ,", FORWARDED_ABSENT, "unknown"},
        {"unknown", FORWARDED_HIDDEN, "unknown"},
        {"192.0.2.7, unknown", FORWARDED_HIDDEN, "unknown"},
        {"unknown, 192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
    };
    expect_lines(forwarded_add_for, cases, COUNT(cases));
}

Test(forwarded, what_is_no_address_is_malformed_but_not_read_left_of_the_client)
{
    const struct one_line cases[] = {
        {"nonsense", FORWARDED_MALFORMED, "unknown"},
        {"192.0.2.7, nonsense", FORWARDED_MALFORMED, "unknown"},
        {"192.0.2.7, nonsense, 10.0.0.1", FORWARDED_MALFORMED, "unknown"},
        {"nonsense, 192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {"\", 192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {"192.0.2.7:", FORWARDED_MALFORMED, "unknown"},
        {"192.0.2.7:http", FORWARDED_MALFORMED, "unknown"},
        {"192.0.2.7:123456", FORWARDED_MALFORMED, "unknown"},
        {"192.0.2", FORWARDED_MALFORMED, "unknown"},
        {"192.0.2.7/24", FORWARDED_MALFORMED, "unknown"},
        {"192.0.2.7 192.0.2.8", FORWARDED_MALFORMED, "unknown"},
        {"[2001:db8::1", FORWARDED_MALFORMED, "unknown"},
        {"[2001:db8::1]4711", FORWARDED_MALFORMED, "unknown"},
        {"[]", FORWARDED_MALFORMED, "unknown"},
        {"[", FORWARDED_MALFORMED, "unknown"},
        {":", FORWARDED_MALFORMED, "unknown"},
        {"::", FORWARDED_MALFORMED, "unknown"},
        {"fe80::1%eth0", FORWARDED_MALFORMED, "unknown"},
        {"\"192.0.2.7\"", FORWARDED_MALFORMED, "unknown"},
    };
    expect_lines(forwarded_add_for, cases, COUNT(cases));
}

Test(forwarded, the_header_of_rfc_7239_is_read_in_the_same_way)
{
    const struct one_line cases[] = {
        {"for=192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {"For=192.0.2.7;proto=https;by=10.0.0.1", FORWARDED_CLIENT, "192.0.2.7"},
        {"proto=https; FOR=\"192.0.2.7:4711\" ;host=\"a,b;c\"", FORWARDED_CLIENT, "192.0.2.7"},
        {"for=\"[2001:db8:cafe::17]:4711\"", FORWARDED_CLIENT, "2001:db8:cafe::17"},
        {"for=\"[2001:db8:cafe::17]\"", FORWARDED_CLIENT, "2001:db8:cafe::17"},
        {"for=203.0.113.1, for=192.0.2.7,for=10.0.0.1", FORWARDED_CLIENT, "192.0.2.7"},
        {"for=192.0.2.7, for=\"[fd00::1]\"", FORWARDED_CLIENT, "192.0.2.7"},
        {"for=10.0.0.1", FORWARDED_PROXIES, "10.0.0.1"},
        {"for=unknown", FORWARDED_HIDDEN, "unknown"},
        {"for=_hidden", FORWARDED_HIDDEN, "unknown"},
        {"for=\"_gazonk:_port\"", FORWARDED_HIDDEN, "unknown"},
        {"proto=https", FORWARDED_HIDDEN, "unknown"},
        {";;for=192.0.2.7;;", FORWARDED_CLIENT, "192.0.2.7"},
        {"", FORWARDED_ABSENT, "unknown"},
    };
    expect_lines(forwarded_add, cases, COUNT(cases));
}

Test(forwarded, quotes_of_the_client_change_no_entry_of_a_proxy)
{
    const struct one_line cases[] = {
        {"for=\", for=192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {"for=\"\\, for=192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
        {"for=203.0.113.1;x=\", for=\"192.0.2.7\"", FORWARDED_CLIENT, "192.0.2.7"},
        {"\"\"\", for=\"[2001:db8::1]\";host=\"a,b\"", FORWARDED_CLIENT, "2001:db8::1"},
        {"nonsense, for=192.0.2.7", FORWARDED_CLIENT, "192.0.2.7"},
    };
    expect_lines(forwarded_add, cases, COUNT(cases));
}

Test(forwarded, an_element_that_the_rfc_does_not_allow_is_malformed)
{
    const char *const bad[] = {"nonsense",
                               "192.0.2.7",
                               "for",
                               "for=",
                               "for=\"192.0.2.7",
                               "for=192.0.2.7\"",
                               "for=192.0.2.7;for=192.0.2.8",
                               "for=\"192.0.2.\\7\"",
                               "for=\"192.0.2.7\"x",
                               "for=nonsense",
                               "=192.0.2.7",
                               "for =192.0.2.7",
                               "for=203.0.113.1, nonsense"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct forwarded forwarded = {.state = FORWARDED_ABSENT};
        add(forwarded_add, &forwarded, bad[i]);
        expect(&forwarded, FORWARDED_MALFORMED, "unknown", bad[i]);
    }
}

Test(forwarded, several_lines_are_one_list)
{
    const struct {
        const char *lines[3];
        enum forwarded_state state;
        const char *address;
    } cases[] = {
        {{"203.0.113.1", "192.0.2.7", "10.0.0.1"}, FORWARDED_CLIENT, "192.0.2.7"},
        {{"203.0.113.1", "192.0.2.7", ""}, FORWARDED_CLIENT, "192.0.2.7"},
        {{"192.0.2.7", "10.0.0.2", "10.0.0.1"}, FORWARDED_CLIENT, "192.0.2.7"},
        {{"10.0.0.3", "10.0.0.2", "10.0.0.1"}, FORWARDED_PROXIES, "10.0.0.3"},
        {{"", "10.0.0.2", "10.0.0.1"}, FORWARDED_PROXIES, "10.0.0.2"},
        {{"nonsense", "10.0.0.2", "10.0.0.1"}, FORWARDED_MALFORMED, "unknown"},
        {{"nonsense", "192.0.2.7", "10.0.0.1"}, FORWARDED_CLIENT, "192.0.2.7"},
        {{"192.0.2.7", "nonsense", "10.0.0.1"}, FORWARDED_MALFORMED, "unknown"},
        {{"192.0.2.7", "unknown", "10.0.0.1"}, FORWARDED_HIDDEN, "unknown"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct forwarded forwarded = {.state = FORWARDED_ABSENT};
        for (size_t line = 0; line < 3; line++)
            add(forwarded_add_for, &forwarded, cases[i].lines[line]);
        expect(&forwarded, cases[i].state, cases[i].address, cases[i].lines[1]);
    }
}
