/* PROTOCOL, "HTTP": heads by their bytes, whole and split at every byte. */
#include "protocol/http.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE "<!doctype html><p>page"

static const struct origin origins[] = {
    {.kind = ORIGIN_HOST, .scheme = {"https", 5}, .host = {.kind = HOST_NAME, .name = {"a.example", 9}}, .port = 443},
    {.kind = ORIGIN_HOST, .scheme = {"https", 5}, .host = {.kind = HOST_NAME, .name = {"b.example", 9}}, .port = 8443},
    {.kind = ORIGIN_BELOW, .scheme = {"https", 5}, .host = {.kind = HOST_NAME, .name = {"c.example", 9}}, .port = 443},
};
static const struct host hosts[] = {
    {.kind = HOST_NAME, .name = {"chat.example", 12}},
    {.kind = HOST_NAME, .name = {"port.example", 12}, .has_port = true, .port = 8443},
    {.kind = HOST_NAME, .name = {"tls.example", 11}, .has_port = true, .port = 443},
};
static const struct web_file files[] = {{{"/", 1}, "text/html; charset=utf-8", "\"0a\"", {PAGE, sizeof PAGE - 1}}};
static const struct http_options options = {
    .origins = origins, .origin_count = 3, .hosts = hosts, .host_count = 3, .files = files, .file_count = 1};
static const struct http_options echo_options = {.any_path = true};

/* What was answered, copied before the head is closed. */
struct answer {
    enum http_verdict verdict;
    uint16_t status;
    uint32_t used;
    char text[2048]; /* answer and body */
};

/* Feeds `text` in pieces of `piece` bytes, each at an address of its own that is gone when the call returns. */
static struct answer feed(const struct http_options *chosen, const char *text, size_t bytes, size_t piece)
{
    struct http_head *head = http_head_open(chosen);
    struct http_result result = {.verdict = HTTP_MORE};
    size_t at = 0;
    while (at < bytes && result.verdict == HTTP_MORE) {
        size_t count = bytes - at < piece ? bytes - at : piece;
        char *copy = malloc(count);
        memcpy(copy, text + at, count);
        result = http_head_feed(head, copy, count);
        free(copy);
        at += result.verdict == HTTP_MORE ? count : result.used;
    }
    struct answer answer = {.verdict = result.verdict, .status = result.status, .used = (uint32_t)at};
    if (result.verdict != HTTP_MORE)
        snprintf(answer.text, sizeof answer.text, "%.*s%.*s", (int)result.answer.bytes, result.answer.data,
                 (int)result.body.bytes, result.body.data == NULL ? "" : result.body.data);
    http_head_close(&head);
    cr_assert_null(head);
    return answer;
}

static struct answer ask(const char *text)
{
    return feed(&options, text, strlen(text), strlen(text));
}

#define HEAD "GET /ws HTTP/1.1\r\nHost: chat.example\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define GOOD HEAD UPGRADE KEY VERSION

/* Refused with `status`, one line that says why, and the end of the connection; however the head is split. */
static void expect_refused(const char *text, uint16_t status)
{
    for (size_t piece = 1; piece <= strlen(text); piece = piece < 3 ? piece + 1 : piece * 3) {
        struct answer answer = feed(&options, text, strlen(text), piece);
        cr_assert_eq(answer.verdict, HTTP_ANSWER, "%s", text);
        cr_assert_eq(answer.status, status, "%u instead of %u for %s", answer.status, status, text);
        char *body = strstr(answer.text, "\r\n\r\n");
        cr_assert_not_null(body);
        cr_assert_not_null(strstr(answer.text, "Connection: close\r\n"));
        cr_assert_not_null(strstr(answer.text, "X-Content-Type-Options: nosniff\r\n"));
        char length[48];
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body + 4));
        cr_assert_not_null(strstr(answer.text, length), "%s", answer.text);
        cr_assert(strlen(body + 4) > 1 && body[4 + strlen(body + 4) - 1] == '\n');
    }
}

static void expect_upgrade(const char *text)
{
    struct answer answer = ask(text);
    cr_assert_eq(answer.status, 101, "%s for %s", answer.text, text);
    cr_assert_eq(answer.verdict, HTTP_UPGRADE);
    cr_assert_eq(answer.used, strlen(text));
    cr_assert_not_null(strstr(answer.text, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
}

Test(http, the_key_of_rfc_6455_has_the_accept_value_of_rfc_6455)
{
    char out[29];
    http_accept_value(SPAN_LITERAL("dGhlIHNhbXBsZSBub25jZQ=="), out);
    cr_assert_str_eq(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

Test(http, a_correct_upgrade_is_accepted_however_it_is_split)
{
    const char *text = GOOD "\r\n";
    struct answer whole = ask(text);
    expect_upgrade(text);
    for (size_t piece = 1; piece < strlen(text); piece++) {
        struct answer answer = feed(&options, text, strlen(text), piece);
        cr_assert_eq(answer.verdict, HTTP_UPGRADE);
        cr_assert_eq(answer.used, strlen(text));
        cr_assert_str_eq(answer.text, whole.text);
    }
}

Test(http, what_follows_the_head_is_left_to_the_websocket)
{
    const char *text = GOOD "\r\n\x81\x85 frame";
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct answer answer = feed(&options, text, strlen(text), piece);
        cr_assert_eq(answer.verdict, HTTP_UPGRADE);
        cr_assert_eq(answer.used, strlen(GOOD "\r\n"));
    }
}

Test(http, names_and_tokens_are_read_in_any_case_and_lists_searched)
{
    expect_upgrade(
        HEAD "uPGRADE: WebSocket\r\nCONNECTION: keep-alive, Upgrade\r\nsec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==  \r\n"
             "SEC-WEBSOCKET-VERSION:\t13\r\n\r\n");
    expect_upgrade(HEAD "Upgrade: foo, websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n" KEY VERSION
                        "\r\n");
}

Test(http, a_query_and_the_absolute_form_are_understood)
{
    expect_upgrade("GET /ws?token=x/y HTTP/1.1\r\nHost: a\r\n" UPGRADE KEY VERSION "\r\n");
    expect_upgrade("GET http://a/ws HTTP/1.1\r\nHost: a\r\n" UPGRADE KEY VERSION "\r\n");
    expect_refused("GET http://a/wsx HTTP/1.1\r\nHost: a\r\n\r\n", 404);
}

Test(http, the_subprotocol_is_given_back_only_if_it_was_offered)
{
    cr_assert_null(strstr(ask(GOOD "\r\n").text, "Sec-WebSocket-Protocol"));
    const char *wanted = "Sec-WebSocket-Protocol: chitchat.v1\r\n";
    cr_assert_not_null(strstr(ask(GOOD "Sec-WebSocket-Protocol: chitchat.v1\r\n\r\n").text, wanted));
    cr_assert_not_null(strstr(ask(GOOD "Sec-WebSocket-Protocol: a.v1, chitchat.v1\r\n\r\n").text, wanted));
    cr_assert_not_null(
        strstr(ask(GOOD "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: chitchat.v1\r\n\r\n").text, wanted));
    cr_assert_null(strstr(ask(GOOD "Sec-WebSocket-Protocol: chitchat.v2\r\n\r\n").text, "Sec-WebSocket-Protocol"));
}

Test(http, extensions_are_never_accepted)
{
    cr_assert_null(strstr(ask(GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n").text, "Extensions"));
}

Test(http, a_plain_get_and_other_versions_are_told_what_to_upgrade_to)
{
    const char *texts[] = {HEAD "\r\n", HEAD "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY VERSION "\r\n",
                           HEAD UPGRADE KEY "\r\n", HEAD UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n",
                           HEAD UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect_refused(texts[i], 426);
        cr_assert_not_null(strstr(ask(texts[i]).text, "Upgrade: websocket\r\n"));
        cr_assert_not_null(strstr(ask(texts[i]).text, "Sec-WebSocket-Version: 13\r\n"));
    }
}

Test(http, an_upgrade_that_is_not_correct_is_400)
{
    expect_refused("GET /ws HTTP/1.1\r\n" UPGRADE KEY VERSION "\r\n", 400);
    expect_refused("GET /ws HTTP/1.0\r\nHost: a\r\n" UPGRADE KEY VERSION "\r\n", 400);
    expect_refused(HEAD "Upgrade: websocket\r\n" KEY VERSION "\r\n", 400);
    expect_refused(HEAD UPGRADE VERSION "\r\n", 400);
    const char *keys[] = {"",
                          "short",
                          "dGhlIHNhbXBsZSBub25jZQ",
                          "dGhlIHNhbXBsZSBub25jZQ==x",
                          "dGhlIHNhbXBsZSBub25jZQ=!",
                          "!!!!IHNhbXBsZSBub25jZQ==",
                          "dGhlIHNhbXBsZSBub25jZQAA"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, HEAD UPGRADE VERSION "Sec-WebSocket-Key: %s\r\n\r\n", keys[i]);
        expect_refused(text, 400);
    }
}

Test(http, a_header_that_may_come_once_and_comes_twice_is_400)
{
    const char *again[] = {KEY, VERSION, "Host: chat.example\r\n", "Upgrade: websocket\r\n",
                           "Origin: http://chat.example\r\nOrigin: http://chat.example\r\n"};
    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, GOOD "%s\r\n", again[i]);
        expect_refused(text, 400);
    }
}

Test(http, a_body_is_400)
{
    expect_refused(GOOD "Content-Length: 1\r\n\r\n", 400);
    expect_refused(GOOD "Transfer-Encoding: chunked\r\n\r\n", 400);
    expect_upgrade(GOOD "Content-Length: 0\r\n\r\n");
}

Test(http, what_is_no_http_is_400)
{
    const char *texts[] = {"\x16\x03\x01\x02",
                           "nonsense\r\n\r\n",
                           "GET /ws\r\n\r\n",
                           "GET  HTTP/1.1\r\n\r\n",
                           "GET /ws HTTP/1.1\r\nHost : a\r\n\r\n",
                           "GET /ws HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
                           "GET /ws HTTP/1.1\r\nHost: a\r\nX:\r\n\tfolded\r\n\r\n",
                           "GET /ws HTTP/1.1\r\nX\x01: a\r\n\r\n",
                           "GET /ws HTTP/3.0\r\nHost: a\r\n\r\n",
                           "get /ws HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_refused(texts[i], 400);
}

Test(http, paths_and_methods)
{
    expect_refused("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404);
    expect_refused("GET /ws/ HTTP/1.1\r\nHost: a\r\n\r\n", 404);
    expect_refused("GET /WS HTTP/1.1\r\nHost: a\r\n\r\n", 404);
    expect_refused("POST /ws HTTP/1.1\r\nHost: a\r\n\r\n", 405);
    cr_assert_eq(ask("HEAD /ws HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
    expect_refused("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405);
    cr_assert_not_null(strstr(ask("POST /ws HTTP/1.1\r\nHost: a\r\n\r\n").text, "Allow: GET\r\n"));
    cr_assert_not_null(strstr(ask("POST / HTTP/1.1\r\nHost: a\r\n\r\n").text, "Allow: GET, HEAD\r\n"));
}

Test(http, health_is_ok)
{
    struct answer answer = ask("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_eq(answer.status, 200);
    cr_assert_str_eq(strstr(answer.text, "\r\n\r\n") + 4, "ok\n");
}

static const char *is_not_ready(const void *health)
{
    return health;
}

Test(http, health_says_why_the_server_is_not_ready)
{
    struct http_options not_ready = options;
    not_ready.not_ready = is_not_ready;
    not_ready.health = "the disk is full";
    const char *text = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    struct answer answer = feed(&not_ready, text, strlen(text), 7);
    cr_assert_eq(answer.status, 503);
    cr_assert_not_null(strstr(answer.text, "HTTP/1.1 503 Service Unavailable\r\n"));
    cr_assert_str_eq(strstr(answer.text, "\r\n\r\n") + 4, "the disk is full\n");
    not_ready.health = NULL;
    cr_assert_eq(feed(&not_ready, text, strlen(text), 7).status, 200);
}

Test(http, the_api_is_given_to_the_caller_if_there_is_one)
{
    struct http_options with_api = options;
    with_api.has_api = true;
    const char *texts[] = {"POST /api/v1/x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
                           "GET /api/v1 HTTP/1.1\r\n\r\nbody"};
    for (size_t i = 0; i < 2; i++) {
        struct answer answer = feed(&with_api, texts[i], strlen(texts[i]), strlen(texts[i]));
        cr_assert_eq(answer.verdict, HTTP_API);
        cr_assert_eq(answer.used, strlen(texts[i]) - 4, "the body is not the head's");
        cr_assert_neq(feed(&options, texts[i], strlen(texts[i]), 5).verdict, HTTP_API);
    }
    const char *other = "GET /api/v10/x HTTP/1.1\r\nHost: a\r\n\r\n";
    cr_assert_eq(feed(&with_api, other, strlen(other), 5).status, 404);
}

Test(http, origins_absent_own_or_allowed_upgrade_and_others_are_403)
{
    const char *good[] = {"http://chat.example",  "https://chat.example",   "HTTPS://Chat.Example",
                          "https://a.example",    "https://b.example:8443", "https://a.example:443",
                          "https://www.c.example"};
    const char *bad[] = {"https://c.example",
                         "https://evil.example",
                         "https://a.example.evil",
                         "http://a.example",
                         "https://b.example",
                         "null",
                         "",
                         "chat.example",
                         "http://chat.example:81"};
    char text[512];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(text, sizeof text, GOOD "Origin: %s\r\n\r\n", good[i]);
        expect_upgrade(text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, GOOD "Origin: %s\r\n\r\n", bad[i]);
        expect_refused(text, 403);
    }
    static const struct origin all = {.kind = ORIGIN_ANY};
    static const struct http_options open_to_all = {.origins = &all, .origin_count = 1};
    snprintf(text, sizeof text, GOOD "Origin: https://evil.example\r\n\r\n");
    cr_assert_eq(feed(&open_to_all, text, strlen(text), 7).verdict, HTTP_UPGRADE);
}

/* An upgrade under `host` by a page of `origin` (NULL: without Origin). */
static const char *upgrade_by_page(const char *host, const char *origin)
{
    static char text[1024];
    snprintf(text, sizeof text, "GET /ws HTTP/1.1\r\nHost: %s\r\n%s%s%s" UPGRADE KEY VERSION "\r\n", host,
             origin == NULL ? "" : "Origin: ", origin == NULL ? "" : origin, origin == NULL ? "" : "\r\n");
    return text;
}

Test(http, a_page_whose_origin_is_a_known_host_upgrades)
{
    const char *const cases[][2] = {
        /* Addresses, in whichever form they come. */
        {"127.0.0.1:8080", "http://127.0.0.1:8080"},
        {"192.168.1.7", "http://192.168.1.7"},
        {"10.0.0.1:443", "https://10.0.0.1"},
        {"[::1]:8080", "http://[::1]:8080"},
        {"[0:0::0:1]:8080", "http://[::1]:8080"},
        {"[2001:DB8::A]", "https://[2001:db8::a]"},
        /* Names that stand for themselves. */
        {"localhost:8080", "http://localhost:8080"},
        {"LocalHost", "http://localhost"},
        {"localhost.:8080", "http://localhost.:8080"},
        /* Names of the option, at any port if it gives none. */
        {"chat.example", "http://chat.example"},
        {"chat.example", "https://chat.example"},
        {"chat.example:8080", "http://chat.example:8080"},
        {"chat.example:8080", "https://chat.example:8080"},
        {"CHAT.example", "https://Chat.EXAMPLE"},
        {"chat.example.", "https://chat.example."},
        {"port.example:8443", "https://port.example:8443"},
        {"port.example:8443", "http://port.example:8443"},
        {"tls.example", "https://tls.example"},
        {"tls.example:443", "https://tls.example"},
        /* The default port, written by one or by both. */
        {"chat.example:443", "https://chat.example"},
        {"chat.example", "https://chat.example:443"},
        {"chat.example:80", "http://chat.example"},
        {"chat.example", "http://chat.example:80"},
        {"chat.example:443", "HTTPS://chat.example:443"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_upgrade(upgrade_by_page(cases[i][0], cases[i][1]));
}

Test(http, a_page_under_a_host_that_is_not_known_is_403_and_told_of_the_option)
{
    const char *const cases[][3] = {
        {"evil.example:8080", "http://evil.example:8080", "--host evil.example\n"},
        {"evil.example", "https://evil.example", "--host evil.example\n"},
        {"Evil.Example.", "http://evil.example", "--host Evil.Example\n"},
        {"xchat.example", "http://xchat.example", "--host xchat.example\n"},
        {"chat.example.evil", "http://chat.example.evil", "--host chat.example.evil\n"},
        {"a.localhost:8080", "http://a.localhost:8080", "--host a.localhost\n"},
        {"localhost.evil", "http://localhost.evil", "--host localhost.evil\n"},
        /* Known at another port only. */
        {"port.example", "http://port.example", "--host port.example\n"},
        {"port.example:8080", "http://port.example:8080", "--host port.example\n"},
        {"tls.example", "http://tls.example", "--host tls.example\n"},
        /* What a browser would never send as an address is a name. */
        {"127.1:8080", "http://127.1:8080", "--host 127.1\n"},
        {"1.2.3.4.", "http://1.2.3.4.", "--host 1.2.3.4\n"},
        /* An allowed origin as Host makes no host known. */
        {"b.example", "https://b.example", "--host b.example\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = upgrade_by_page(cases[i][0], cases[i][1]);
        expect_refused(text, 403);
        cr_assert_not_null(strstr(ask(text).text, cases[i][2]), "%s", ask(text).text);
    }
    char host[254], origin[sizeof host + 7];
    memset(host, 'e', 253);
    host[253] = '\0';
    snprintf(origin, sizeof origin, "http://%s", host);
    expect_refused(upgrade_by_page(host, origin), 403);
    cr_assert_not_null(strstr(ask(upgrade_by_page(host, origin)).text, host), "the longest name fits the answer");
}

Test(http, a_page_whose_origin_is_not_the_host_is_403)
{
    const char *const cases[][2] = {
        {"127.0.0.1:8080", "http://evil.example:8080"},
        {"127.0.0.1:8080", "http://127.0.0.1:8081"},
        {"127.0.0.1:8080", "http://127.0.0.1"},
        {"127.0.0.1:8080", "http://localhost:8080"},
        {"127.0.0.1:8080", "http://127.0.0.2:8080"},
        {"127.0.0.1:8080", "ftp://127.0.0.1:8080"},
        {"127.0.0.1:8080", "ws://127.0.0.1:8080"},
        {"127.0.0.1:8080", "//127.0.0.1:8080"},
        {"127.0.0.1:8080", "127.0.0.1:8080"},
        {"127.0.0.1:8080", "null"},
        {"127.0.0.1:8080", "file://"},
        {"127.0.0.1:8080", ""},
        {"127.0.0.1:8080", "http://"},
        {"127.0.0.1:8080", "http://127.0.0.1:8080/"},
        {"127.0.0.1:8080", "http://evil@127.0.0.1:8080"},
        {"127.0.0.1:8080", "http://127.0.0.1:8080 http://evil.example"},
        {"[::1]:8080", "http://[::2]:8080"},
        {"[::1]:8080", "http://127.0.0.1:8080"},
        {"chat.example:80", "https://chat.example"},
        {"chat.example:443", "http://chat.example"},
        {"chat.example", "http://chat.example:8080"},
        {"chat.example:8080", "http://chat.example"},
        {"chat.example", "http://evil.chat.example"},
        {"evil.example", "http://chat.example"},
        {"", "http://chat.example"},
        {"", "http://"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = upgrade_by_page(cases[i][0], cases[i][1]);
        expect_refused(text, 403);
        cr_assert_not_null(strstr(ask(text).text, "--origin"), "%s", ask(text).text);
    }
}

Test(http, without_origin_or_with_an_allowed_one_any_host_upgrades)
{
    const char *const some[] = {"evil.example:8080", "chat.example", "127.1", ""};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        expect_upgrade(upgrade_by_page(some[i], NULL));
        expect_upgrade(upgrade_by_page(some[i], "https://a.example"));
        expect_upgrade(upgrade_by_page(some[i], "HTTPS://B.example:8443"));
    }
}

Test(http, without_options_addresses_and_localhost_are_known_alone)
{
    static const struct http_options bare = {0};
    const struct {
        const char *host, *origin;
        uint16_t status;
    } cases[] = {{"127.0.0.1:8080", "http://127.0.0.1:8080", 101},
                 {"[::1]", "http://[::1]", 101},
                 {"localhost", "https://localhost", 101},
                 {"chat.example", "http://chat.example", 403}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = upgrade_by_page(cases[i].host, cases[i].origin);
        cr_assert_eq(feed(&bare, text, strlen(text), 9).status, cases[i].status, "%s", cases[i].host);
    }
}

Test(http, a_host_header_that_is_no_host_is_400)
{
    const char *const bad[] = {"user@chat.example",
                               "http://chat.example",
                               "chat.example/",
                               "chat.example:99999",
                               "chat.example:x",
                               "chat example",
                               "[::1",
                               "[::1%25lo]:8080",
                               "a,b",
                               "chat..example",
                               "*.chat.example",
                               "<script>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_refused(upgrade_by_page(bad[i], NULL), 400);
        expect_refused(upgrade_by_page(bad[i], "https://a.example"), 400);
    }
    expect_refused("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400);
    expect_refused("GET /healthz HTTP/1.1\r\nHost: user@a\r\n\r\n", 400);
}

Test(http, the_page_and_health_are_given_under_every_host)
{
    const char *const some[] = {"evil.example:8080", "127.0.0.1", "[::1]:1", ""};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", some[i]);
        cr_assert_eq(ask(text).status, 200, "%s", text);
        snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", some[i]);
        cr_assert_eq(ask(text).status, 200, "%s", text);
    }
}

/* A head of exactly `bytes`. */
static const char *head_of(size_t bytes)
{
    static char text[10000];
    int begun = snprintf(text, sizeof text, GOOD "X-Fill: ");
    memset(text + begun, 'f', bytes - (size_t)begun - 4);
    memcpy(text + bytes - 4, "\r\n\r\n", 5);
    return text;
}

Test(http, a_refusal_of_HEAD_has_no_body_however_the_head_is_split)
{
    const char *text = "HEAD /healthz HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n";
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct answer answer = feed(&options, text, strlen(text), piece);
        cr_assert_eq(answer.status, 400);
        cr_assert_str_eq(strstr(answer.text, "\r\n\r\n"), "\r\n\r\n", "in pieces of %zu", piece);
    }
}

Test(http, a_head_of_8192_bytes_is_accepted_and_one_more_is_431)
{
    expect_upgrade(head_of(8192));
    expect_refused(head_of(8193), 431);
    char endless[9000];
    memset(endless, 'f', sizeof endless);
    memcpy(endless, "GET /ws?", 8);
    struct answer answer = feed(&options, endless, 8191, 100);
    cr_assert_eq(answer.verdict, HTTP_MORE);
    answer = feed(&options, endless, 9000, 100);
    cr_assert_eq(answer.status, 431);
}

Test(http, bytes_of_the_websocket_do_not_count_for_the_head)
{
    char text[9000];
    memcpy(text, head_of(8192), 8192);
    memset(text + 8192, 0x81, 800);
    struct answer answer = feed(&options, text, 8992, 8992);
    cr_assert_eq(answer.verdict, HTTP_UPGRADE);
    cr_assert_eq(answer.used, 8192);
}

Test(http, the_echo_server_upgrades_anywhere)
{
    const char *text = "GET /any/where HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n" UPGRADE KEY VERSION "\r\n";
    cr_assert_eq(feed(&echo_options, text, strlen(text), 1000).verdict, HTTP_UPGRADE);
}

static void expect_fixed(struct span answer, const char *begin)
{
    char text[512], length[48];
    snprintf(text, sizeof text, "%.*s", (int)answer.bytes, answer.data);
    cr_assert_eq(strncmp(text, begin, strlen(begin)), 0);
    cr_assert_not_null(strstr(text, "X-Content-Type-Options: nosniff\r\n"));
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(strstr(text, "\r\n\r\n") + 4));
    cr_assert_not_null(strstr(text, length));
}

Test(http, an_answer_without_a_head_has_a_true_length_and_a_503_says_when_to_come_back)
{
    expect_fixed(http_answer_full(), "HTTP/1.1 503 Service Unavailable\r\nRetry-After: ");
    expect_fixed(http_answer_address(), "HTTP/1.1 503 Service Unavailable\r\nRetry-After: ");
    expect_fixed(http_answer_not_tls(), "HTTP/1.1 400 ");
}

Test(http, a_refused_page_is_given_with_its_origin_and_host)
{
    const char *text = upgrade_by_page("evil.example:8080", "http://evil.example:8080");
    struct http_head *head = http_head_open(&options);
    struct http_result result = http_head_feed(head, text, strlen(text));
    cr_assert_eq(result.page, HTTP_PAGE_UNKNOWN_HOST);
    cr_assert(span_equal(result.origin, SPAN_LITERAL("http://evil.example:8080")));
    cr_assert(span_equal(result.host, SPAN_LITERAL("evil.example:8080")));
    http_head_close(&head);
}
