/* PROTOCOL, "HTTP": what a trusted proxy forwards. */
#include "protocol/http.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"

static const struct host hosts[] = {{.kind = HOST_NAME, .name = {"chat.example", 12}}};
/* Trusted: 10.0.0.0/8. */
static const struct network networks[] = {{{{[10] = 0xff, [11] = 0xff, [12] = 10}}, 104}};
static const struct address proxy = {{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}};
static const struct http_options options = {.hosts = hosts, .host_count = 1, .proxies = {networks, 1}};

/* An upgrade with `headers`, sent by `peer`. The spans of the result are void. */
static struct http_result ask_from(const struct address *peer, const char *headers, char *address)
{
    char text[1024];
    struct http_head *head = http_head_open(&options);
    if (peer != NULL)
        http_head_set_peer(head, peer);
    snprintf(text, sizeof text, "GET /ws HTTP/1.1\r\n" UPGRADE KEY VERSION "%s\r\n", headers);
    struct http_result result = http_head_feed(head, text, strlen(text));
    address_write(&result.address, address);
    http_head_close(&head);
    return result;
}

#define HOST "Host: chat.example\r\n"

Test(http_proxies, a_trusted_proxy_forwards_the_address_of_the_client)
{
    const struct {
        const char *headers, *address;
        bool is_ignored;
    } cases[] = {
        {HOST, "unknown", false},
        {HOST "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7", false},
        {HOST "x-forwarded-for: 203.0.113.1\r\nX-Forwarded-For: 192.0.2.7, 10.0.0.2\r\n", "192.0.2.7", false},
        {HOST "Forwarded: for=\"[2001:db8::1]:4711\";proto=https\r\n", "2001:db8::1", false},
        {HOST "Forwarded: for=_hidden\r\n", "unknown", false},
        {HOST "X-Forwarded-For: nonsense\r\n", "unknown", true},
        {HOST "Forwarded: nonsense\r\n", "unknown", true},
        {HOST "X-Forwarded-For:\r\n", "unknown", false},
        /* One was set by the proxy, the other by the client: nobody knows which. */
        {HOST "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n", "192.0.2.7", false},
        {HOST "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=203.0.113.1\r\n", "unknown", true},
        {HOST "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=unknown\r\n", "unknown", true},
        {HOST "X-Forwarded-For: 192.0.2.7\r\nForwarded: nonsense\r\n", "unknown", true},
        {HOST "X-Forwarded-For: 192.0.2.7\r\nForwarded:\r\n", "192.0.2.7", false},
    };
    char address[ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_result result = ask_from(&proxy, cases[i].headers, address);
        cr_assert_eq(result.status, 101, "%s", cases[i].headers);
        cr_assert_str_eq(address, cases[i].address, "%s", cases[i].headers);
        cr_assert_eq(result.ignored != NULL, cases[i].is_ignored, "%s", cases[i].headers);
    }
}

Test(http_proxies, an_answer_that_is_no_upgrade_has_the_forwarded_address_too)
{
    char address[ADDRESS_TEXT_BYTES];
    struct http_result result =
        ask_from(&proxy, HOST "Origin: https://evil.example\r\nX-Forwarded-For: 192.0.2.7\r\n", address);
    cr_assert_eq(result.status, 403);
    cr_assert_eq(result.page, HTTP_PAGE_FOREIGN);
    cr_assert_str_eq(address, "192.0.2.7");
    result = ask_from(&proxy, HOST "Upgrade: again\r\nX-Forwarded-For: 192.0.2.7\r\n", address);
    cr_assert_eq(result.status, 400);
    cr_assert_str_eq(address, "192.0.2.7");
}

#define SAID_BY_A_CLIENT                                                                                               \
    HOST "Origin: https://evil.example\r\nX-Forwarded-For: 192.0.2.7\r\nForwarded: nonsense\r\n"                       \
         "X-Forwarded-Host: evil.example\r\n"

Test(http_proxies, another_peer_forwards_nothing)
{
    const struct address other = {{[10] = 0xff, [11] = 0xff, [12] = 11, [15] = 1}};
    const struct address unknown = {{0}};
    const struct address *const peers[] = {NULL, &other, &unknown};
    char address[ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        struct http_result result = ask_from(peers[i], SAID_BY_A_CLIENT, address);
        cr_assert_eq(result.page, HTTP_PAGE_FOREIGN);
        cr_assert_str_eq(address, "unknown");
        cr_assert_null(result.ignored);
    }
}

Test(http_proxies, the_host_that_a_trusted_proxy_forwards_counts_instead_of_its_own)
{
    const struct {
        const char *headers;
        uint16_t status;
        enum http_page_verdict page;
        bool is_ignored;
    } cases[] = {
        {"Host: 127.0.0.1:8080\r\nOrigin: https://chat.example\r\n", 403, HTTP_PAGE_FOREIGN, false},
        {"Host: 127.0.0.1:8080\r\nX-Forwarded-Host: chat.example\r\nOrigin: https://chat.example\r\n", 101,
         HTTP_PAGE_ALLOWED, false},
        {"Host: backend\r\nX-Forwarded-Host: chat.example:443\r\nOrigin: https://chat.example\r\n", 101,
         HTTP_PAGE_ALLOWED, false},
        {"Host: chat.example\r\nX-Forwarded-Host: other.example\r\nOrigin: https://chat.example\r\n", 403,
         HTTP_PAGE_FOREIGN, false},
        /* The name must be known all the same. */
        {"Host: chat.example\r\nX-Forwarded-Host: evil.example\r\nOrigin: https://evil.example\r\n", 403,
         HTTP_PAGE_UNKNOWN_HOST, false},
        {"Host: chat.example\r\nX-Forwarded-Host: a, b\r\nOrigin: https://chat.example\r\n", 101, HTTP_PAGE_ALLOWED,
         true},
        {"Host: chat.example\r\nX-Forwarded-Host: b.example\r\nX-Forwarded-Host: chat.example\r\n"
         "Origin: https://chat.example\r\n",
         101, HTTP_PAGE_ALLOWED, true},
        {"Host: chat.example\r\nX-Forwarded-Host:\r\nOrigin: https://chat.example\r\n", 101, HTTP_PAGE_ALLOWED, false},
        {"Host: a b\r\nX-Forwarded-Host: chat.example\r\nOrigin: https://chat.example\r\n", 400, HTTP_PAGE_ALLOWED,
         false},
    };
    char address[ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_result result = ask_from(&proxy, cases[i].headers, address);
        cr_assert_eq(result.status, cases[i].status, "%u for %s", result.status, cases[i].headers);
        cr_assert_eq(result.page, cases[i].page, "%s", cases[i].headers);
        cr_assert_eq(result.ignored != NULL, cases[i].is_ignored, "%s", cases[i].headers);
    }
}
