/* Addresses of servers, and the upgrade of a client. */
#include <criterion/criterion.h>
#include <string.h>

#include "cli/client_upgrade.h"
#include "cli/client_url.h"

static void assert_url(const char *text, bool is_tls, const char *host, const char *port, const char *path)
{
    struct client_url url;
    const char *wrong = client_url_parse(text, "ws", &url);
    cr_assert_null(wrong, "%s: %s", text, wrong);
    cr_expect_eq(url.is_tls, is_tls, "%s", text);
    cr_expect_str_eq(url.host, host);
    cr_expect_str_eq(url.port, port);
    cr_expect_str_eq(url.path, path);
}

Test(client_url, reads_what_people_write)
{
    char host[CLIENT_URL_HOST_TEXT_BYTES];
    struct client_url url;
    assert_url("ws://127.0.0.1:8080/ws", false, "127.0.0.1", "8080", "/ws");
    assert_url("wss://chat.example.org", true, "chat.example.org", "443", "");
    assert_url("WSS://x/", true, "x", "443", "");
    assert_url("ws://[::1]:080/a/b?c=d", false, "::1", "80", "/a/b?c=d");
    assert_url("ws://x?c", false, "x", "80", "/?c");
    cr_assert_null(client_url_parse("ws://[::1]", "ws", &url));
    client_url_host(&url, host);
    cr_expect_str_eq(host, "[::1]:80");
    cr_expect_null(client_url_parse("https://x", "http", &url));
}

Test(client_url, refuses_the_rest)
{
    static const char *const wrong[] = {
        "",          "x",        "127.0.0.1:8080", "http://x",   "ws:/x",           "ws://",
        "ws://x:0",  "ws://x:",  "ws://x:65536",   "ws://x:1x",  "ws://a b",        "ws://a@b",
        "ws://[::1", "ws://:80", "ws://x/#y",      "ws://x/a b", "ws://x/\r\nA: b", "ws://\xc3\xa4"};
    struct client_url url;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_not_null(client_url_parse(wrong[i], "ws", &url), "%s", wrong[i]);
}

/* The key and its answer are those of RFC 6455, section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define GOOD                                                                                                           \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= "   \
    "\r\n\r\n"

Test(client_upgrade, takes_the_answer_when_its_head_is_whole)
{
    struct client_upgrade upgrade;
    for (size_t bytes = 1; bytes < sizeof GOOD - 1; bytes++)
        cr_assert_eq(client_upgrade_read((struct span){GOOD, bytes}, KEY, &upgrade), CLIENT_UPGRADE_PART);
    cr_assert_eq(client_upgrade_read(span_of(GOOD "frame"), KEY, &upgrade), CLIENT_UPGRADE_DONE);
    cr_expect_eq(upgrade.head_bytes, sizeof GOOD - 1);
}

Test(client_upgrade, refuses_other_answers_and_says_what_they_are)
{
    char big[CLIENT_UPGRADE_HEAD_BYTES + 1];
    struct client_upgrade upgrade;
    const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\nfull\nof users\n";
    cr_assert_eq(client_upgrade_read(span_of(busy), KEY, &upgrade), CLIENT_UPGRADE_REFUSED);
    cr_expect_eq(upgrade.status, 503);
    cr_expect_eq(upgrade.retry_after_s, 7);
    cr_expect(span_equal(upgrade.body, SPAN_LITERAL("full")));
    cr_expect_eq(client_upgrade_read(span_of("HTTP/1.1 101 x\r\n\r\n"), KEY, &upgrade), CLIENT_UPGRADE_REFUSED);
    cr_expect_eq(client_upgrade_read(span_of("SSH-2.0-x\r\n"), KEY, &upgrade), CLIENT_UPGRADE_REFUSED);
    cr_expect_eq(upgrade.status, 0);
    memset(big, 'x', sizeof big);
    memcpy(big, "HTTP/1.1 101 ", 13);
    cr_expect_eq(client_upgrade_read((struct span){big, sizeof big}, KEY, &upgrade), CLIENT_UPGRADE_REFUSED);
}
