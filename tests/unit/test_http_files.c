/* PROTOCOL, "HTTP": the files of the web client. */
#include "protocol/http.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define PAGE "<!doctype html><p>page"
#define SCRIPT "import './x.js';"

static const struct web_file files[] = {
    {{"/", 1}, "text/html; charset=utf-8", "\"0a\"", {PAGE, sizeof PAGE - 1}},
    {{"/app.js", 7}, "text/javascript; charset=utf-8", "\"0b\"", {SCRIPT, sizeof SCRIPT - 1}},
};
static const struct http_options options = {.files = files, .file_count = 2};

struct answer {
    uint16_t status;
    char text[2048]; /* with the body */
};

static struct answer ask(const char *text)
{
    struct http_head *head = http_head_open(&options);
    struct http_result result = http_head_feed(head, text, strlen(text));
    struct answer answer = {.status = result.status};
    cr_assert_eq(result.verdict, HTTP_ANSWER);
    snprintf(answer.text, sizeof answer.text, "%.*s%.*s", (int)result.answer.bytes, result.answer.data,
             (int)result.body.bytes, result.body.data == NULL ? "" : result.body.data);
    http_head_close(&head);
    return answer;
}

Test(http_files, a_file_comes_with_its_type_and_a_policy_and_head_gives_no_body)
{
    static const char *const headers[] = {"Content-Security-Policy: default-src 'none'; script-src 'self'; ",
                                          "X-Content-Type-Options: nosniff\r\n",
                                          "X-Frame-Options: DENY\r\n",
                                          "Referrer-Policy: no-referrer\r\n",
                                          "Cross-Origin-Opener-Policy: same-origin\r\n",
                                          "Cross-Origin-Resource-Policy: same-origin\r\n",
                                          "Cache-Control: no-cache\r\n",
                                          "Connection: close\r\n"};
    struct answer page = ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct answer script = ask("GET /app.js?x HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_eq(page.status, 200);
    cr_assert_eq(script.status, 200);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        cr_assert_not_null(strstr(page.text, headers[i]), "%s", headers[i]);
        cr_assert_not_null(strstr(script.text, headers[i]), "%s", headers[i]);
    }
    cr_assert_not_null(
        strstr(page.text, "Content-Type: text/html; charset=utf-8\r\nContent-Length: 22\r\nETag: \"0a\"\r\n"));
    cr_assert_not_null(strstr(script.text, "Content-Type: text/javascript; charset=utf-8\r\n"));
    cr_assert_not_null(strstr(script.text, "ETag: \"0b\"\r\n"));
    cr_assert_str_eq(strstr(page.text, "\r\n\r\n") + 4, PAGE);
    cr_assert_str_eq(strstr(script.text, "\r\n\r\n") + 4, SCRIPT);
    struct answer head = ask("HEAD /?x HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_eq(head.status, 200);
    cr_assert_str_eq(strstr(head.text, "\r\n\r\n") + 4, "");
    cr_assert_not_null(strstr(head.text, "Content-Length: 22\r\n"));
    cr_assert_eq(ask("GET / HTTP/1.0\r\n\r\n").status, 200);
}

Test(http_files, a_file_that_the_client_has_is_304_without_a_body)
{
    static const char *const known[] = {"\"0b\"", "W/\"0b\"", "\"x\", \"0b\"", "\"x\" ,W/\"0b\"", "*"};
    static const char *const other[] = {"\"0a\"", "0b", "\"0B\"", "\"0b", "", "w/\"0b\"", "**"};
    char text[256];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        snprintf(text, sizeof text, "GET /app.js HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n", known[i]);
        struct answer answer = ask(text);
        cr_assert_eq(answer.status, 304, "%s", text);
        cr_assert_not_null(strstr(answer.text, "HTTP/1.1 304 Not Modified\r\n"));
        cr_assert_not_null(strstr(answer.text, "ETag: \"0b\"\r\nCache-Control: no-cache\r\n"));
        cr_assert_str_eq(strstr(answer.text, "\r\n\r\n") + 4, "");
        cr_assert_null(strstr(answer.text, "Content-Length"));
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        snprintf(text, sizeof text, "GET /app.js HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n", other[i]);
        cr_assert_eq(ask(text).status, 200, "%s", text);
    }
}

Test(http_files, a_path_that_is_not_exactly_that_of_a_file_is_404_and_another_method_405)
{
    static const char *const paths[] = {"/app.js/", "//app.js", "/x/../app.js", "/app%2ejs", "/APP.js", "/index.html"};
    char text[256];
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
        cr_assert_eq(ask(text).status, 404, "%s", paths[i]);
    }
    struct answer answer = ask("POST /app.js HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_eq(answer.status, 405);
    cr_assert_not_null(strstr(answer.text, "Allow: GET, HEAD\r\n"));
}
