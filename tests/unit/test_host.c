#include "protocol/host.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Parses a copy that ends where `text` ends, so that a read past it is noticed. */
static bool parse(const char *text, struct host *host_r, char **copy_r)
{
    size_t bytes = strlen(text);
    *copy_r = malloc(bytes + (bytes == 0));
    memcpy(*copy_r, text, bytes);
    return host_parse((struct span){*copy_r, bytes}, host_r);
}

Test(host, names_addresses_and_their_ports_are_read)
{
    const struct {
        const char *text;
        enum host_kind kind;
        int port; /* -1: none */
    } cases[] = {
        {"localhost", HOST_NAME, -1},
        {"chat.example.org:8443", HOST_NAME, 8443},
        {"a", HOST_NAME, -1},
        {"my_service-1:0", HOST_NAME, 0},
        {"chat.example.org.", HOST_NAME, -1},
        {"chat.example.org.:443", HOST_NAME, 443},
        {"xn--bcher-kva.example", HOST_NAME, -1},
        {"a:", HOST_NAME, -1},
        {"a:00065535", HOST_NAME, 65535},
        {"127.0.0.1", HOST_IPV4, -1},
        {"192.168.1.255:80", HOST_IPV4, 80},
        {"0.0.0.0", HOST_IPV4, -1},
        {"[::1]", HOST_IPV6, -1},
        {"[::1]:8080", HOST_IPV6, 8080},
        {"[2001:DB8:0:0:0:0:0:1]:", HOST_IPV6, -1},
        {"[::ffff:127.0.0.1]:1", HOST_IPV6, 1},
        {"127.1", HOST_NAME, -1},
        {"0x7f000001", HOST_NAME, -1},
        {"127.0.0.01", HOST_NAME, -1},
        {"1.2.3.4.5", HOST_NAME, -1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct host host;
        char *copy;
        cr_assert(parse(cases[i].text, &host, &copy), "%s", cases[i].text);
        cr_assert_eq(host.kind, cases[i].kind, "%s", cases[i].text);
        cr_assert_eq(host.has_port, cases[i].port >= 0, "%s", cases[i].text);
        cr_assert_eq(host.port, cases[i].port < 0 ? 0 : cases[i].port, "%s", cases[i].text);
        free(copy);
    }
}

Test(host, what_is_no_host_is_refused)
{
    const char *const cases[] = {
        "",
        ".",
        "..",
        ":80",
        ":",
        "a..b",
        ".a",
        "a b",
        "a/b",
        "a:80:80",
        "a:b",
        "a:65536",
        "a:-1",
        "a:+1",
        "a: 1",
        "u@a",
        "u:p@a",
        "http://a",
        "*",
        "*.a",
        "a?b",
        "a#b",
        "a,b",
        "a%2eb",
        "b\xc3\xbc",
        "[",
        "[]",
        "[]:80",
        "[::1",
        "::1",
        "[::1]80",
        "[::1]:80:80",
        "[::1]:x",
        "[127.0.0.1]",
        "[::1%lo]",
        "[::1]a",
        "a[::1]",
        "[[::1]]",
        "[1:2:3:4:5:6:7:8:9]",
        "a:99999999999999999999",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]",
        "\t",
        "\"",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct host host = {.kind = HOST_NAME};
        char *copy;
        cr_assert_not(parse(cases[i], &host, &copy), "%s", cases[i]);
        cr_assert_eq(host.kind, HOST_NONE, "%s", cases[i]);
        free(copy);
    }
    struct host host;
    cr_assert_not(host_parse((struct span){"a\0b", 3}, &host));
    cr_assert_not(host_parse((struct span){"1.2.3.4\0", 8}, &host));
}

Test(host, a_name_has_at_most_253_characters_beside_its_final_dot)
{
    char text[300];
    struct host host;
    memset(text, 'a', sizeof text);
    cr_assert(host_parse((struct span){text, 253}, &host));
    cr_assert_eq(host.name.bytes, 253);
    cr_assert_not(host_parse((struct span){text, 254}, &host));
    text[253] = '.';
    cr_assert(host_parse((struct span){text, 254}, &host));
    cr_assert_eq(host.name.bytes, 253);
    memcpy(text + 254, ":65535", 6);
    cr_assert(host_parse((struct span){text, HOST_TEXT_BYTES_MAX}, &host));
}

Test(host, hosts_are_equal_by_what_they_mean)
{
    const struct {
        const char *a, *b;
        bool is_equal;
    } cases[] = {
        {"chat.example", "CHAT.Example.:80", true},
        {"chat.example", "chat.example.org", false},
        {"chat.example", "evil.example", false},
        {"[::1]:1", "[0:0:0:0:0:0:0:1]:2", true},
        {"[2001:db8::A]", "[2001:DB8:0::a]", true},
        {"[::1]", "[::2]", false},
        {"127.0.0.1", "127.0.0.1:80", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1", "127.1", false},
        {"127.0.0.1", "[::ffff:127.0.0.1]", false},
        {"127.0.0.1", "localhost", false},
        {"[::1]", "localhost", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct host a, b;
        cr_assert(host_parse(span_of(cases[i].a), &a) && host_parse(span_of(cases[i].b), &b));
        cr_assert_eq(host_equal(&a, &b), cases[i].is_equal, "%s %s", cases[i].a, cases[i].b);
        cr_assert_eq(host_equal(&b, &a), cases[i].is_equal, "%s %s", cases[i].a, cases[i].b);
    }
    const struct host none = {.kind = HOST_NONE};
    cr_assert_not(host_equal(&none, &none));
}
