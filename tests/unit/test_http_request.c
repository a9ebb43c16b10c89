/* Requests on a connection that serves many: by their bytes, whole and split at every byte. */
#include "protocol/http_request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: h\r\n"
#define POST "POST /x HTTP/1.1\r\n" HOST

/* What came of some bytes, as text: "HEAD", "END METHOD TARGET [BODY]", "400". */
struct trace {
    char text[8192];
    char body[4096];
    size_t body_bytes;
};

static void note(struct trace *trace, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct trace *trace, const char *format, ...)
{
    size_t used = strlen(trace->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trace->text + used, sizeof trace->text - used, format, arguments);
    va_end(arguments);
}

static void on_body(void *context, const char *data, size_t bytes)
{
    struct trace *trace = context;
    cr_assert(trace->body_bytes + bytes <= sizeof trace->body);
    memcpy(trace->body + trace->body_bytes, data, bytes);
    trace->body_bytes += bytes;
}

static bool note_event(struct trace *trace, const struct http_parser *parser, const struct http_fed *fed)
{
    if (fed->event == HTTP_EVENT_MORE)
        return true;
    if (fed->event == HTTP_EVENT_ERROR) {
        note(trace, "%u", fed->status);
        cr_assert_not_null(fed->message);
        return false;
    }
    const struct http_request_head *head = http_parser_head(parser);
    if (fed->event == HTTP_EVENT_HEAD) {
        note(trace, "HEAD ");
        return true;
    }
    note(trace, "END %s %.*s [%.*s]%s ", http_method_name(head->method).data, (int)head->target_bytes, head->target,
         (int)trace->body_bytes, trace->body, head->keeps_alive ? "" : " close");
    trace->body_bytes = 0;
    return true;
}

/* Feeds `text` in pieces of `piece` bytes, each at an address of its own that is gone when the call returns. */
static void feed(const char *text, size_t bytes, size_t piece, struct trace *trace)
{
    *trace = (struct trace){.body_bytes = 0};
    struct http_parser *parser = http_parser_begin(malloc(http_parser_bytes()), on_body, trace);
    bool goes_on = true;
    for (size_t at = 0; at < bytes && goes_on;) {
        size_t count = bytes - at < piece ? bytes - at : piece;
        char *copy = malloc(count);
        memcpy(copy, text + at, count);
        struct http_fed fed = http_parser_feed(parser, copy, count);
        cr_assert(fed.event == HTTP_EVENT_MORE || fed.used <= count);
        cr_assert(fed.event != HTTP_EVENT_MORE || fed.used == count);
        goes_on = note_event(trace, parser, &fed);
        free(copy);
        at += fed.used;
    }
    if (goes_on && http_parser_is_inside(parser))
        note(trace, "MORE");
    free(parser);
}

static void gives(const char *text, const char *wanted)
{
    struct trace trace;
    for (size_t piece = 1; piece <= strlen(text); piece = piece < 7 ? piece + 1 : piece * 2) {
        feed(text, strlen(text), piece, &trace);
        cr_expect_str_eq(trace.text, wanted, "in pieces of %zu: %s\ngave %s\nnot  %s", piece, text, trace.text, wanted);
    }
    feed(text, strlen(text), strlen(text), &trace);
    cr_expect_str_eq(trace.text, wanted, "whole: %s\ngave %s\nnot  %s", text, trace.text, wanted);
}

Test(http_request, a_request_without_a_body_ends_with_its_head)
{
    gives("GET /a?b=c HTTP/1.1\r\n" HOST "\r\n", "END GET /a?b=c [] ");
    gives("DELETE /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "END DELETE /a [] ");
    gives("POST /a HTTP/1.1\r\n" HOST "\r\n", "END POST /a [] ");
}

Test(http_request, a_body_comes_with_content_length_or_in_chunks)
{
    gives(POST "Content-Length: 5\r\n\r\nhello", "HEAD END POST /x [hello] ");
    gives(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: t\r\n\r\n",
          "HEAD END POST /x [hello] ");
    gives(POST "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "HEAD END POST /x [] ");
}

Test(http_request, requests_follow_each_other)
{
    gives("GET /1 HTTP/1.1\r\n" HOST "\r\n" POST "Content-Length: 2\r\n\r\nokGET /3 HTTP/1.1\r\n" HOST "\r\n",
          "END GET /1 [] HEAD END POST /x [ok] END GET /3 [] ");
    gives("\r\nGET /1 HTTP/1.1\r\n" HOST "\r\n\r\n\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n", "END GET /1 [] END GET /2 [] ");
}

Test(http_request, keep_alive_is_as_the_client_says)
{
    gives("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "END GET / [] close ");
    gives("GET / HTTP/1.0\r\n\r\n", "END GET / [] close ");
    gives("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "END GET / [] ");
}

Test(http_request, an_incomplete_request_waits)
{
    gives("GET / HT", "MORE");
    gives(POST "Content-Length: 5\r\n\r\nhell", "HEAD MORE");
    gives("\r\n\r\n", "");
}

Test(http_request, what_two_servers_could_read_differently_is_refused)
{
    gives(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
    gives(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400");
    gives(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400");
    gives(POST "Content-Length: +5\r\n\r\nhello", "400");
    gives(POST "Content-Length: 5x\r\n\r\nhello", "400");
    gives(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501");
    gives(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
    gives("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400");
    gives("GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", "400");
    gives("GET / HTTP/1.1\n" HOST "\r\n", "400");
    gives("GET / HTTP/1.1\r\n" HOST "A: b\rC: d\r\n\r\n", "400");
    gives("GET / HTTP/1.1\r\n" HOST "A: b\n\r\n", "400");
    gives("GET / HTTP/1.1\r\n" HOST HOST "\r\n", "400");
    gives("GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: a\r\n\r\n", "400");
    gives(POST "Content-Type: a\r\nContent-Type: a\r\n\r\n", "400");
    gives("GET / HTTP/1.1\r\n\r\n", "400");
}

Test(http_request, what_is_no_http_request_is_refused)
{
    gives("hello\r\n\r\n", "400");
    gives("\x16\x03\x01", "400");
    gives("GET / HTTP/1.1\r\n" HOST "A B: c\r\n\r\n", "400");
    gives("GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "400");
    gives("CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n", "400");
    gives(POST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "HEAD 400");
    gives("GET / HTTP/2.0\r\n" HOST "\r\n", "505");
    gives("GET / HTTP/1.1\r\n" HOST "A : c\r\n\r\n", "400");
    gives(POST "Content-Length : 5\r\n\r\nhello", "400");
}

Test(http_request, a_head_has_a_limit)
{
    static char text[HTTP_REQUEST_HEAD_BYTES_MAX + 64];
    const char *begin = "GET / HTTP/1.1\r\n" HOST "A: ";
    struct trace trace;
    memset(text, 'a', sizeof text);
    memcpy(text, begin, strlen(begin));
    memcpy(text + HTTP_REQUEST_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    feed(text, HTTP_REQUEST_HEAD_BYTES_MAX, 1000, &trace);
    cr_expect_str_eq(trace.text, "END GET / [] ");
    memset(text + HTTP_REQUEST_HEAD_BYTES_MAX - 4, 'a', 68);
    feed(text, sizeof text, 1000, &trace);
    cr_expect_str_eq(trace.text, "431");
}

Test(http_request, the_headers_that_matter_are_given)
{
    const char *text =
        "POST /x HTTP/1.1\r\nhost:  h:1 \r\nORIGIN: o\r\nAuthorization: Bearer x\r\nContent-Type: a/b\r\n"
        "Expect: 100-continue\r\nContent-Length: 7\r\n\r\n";
    struct trace trace = {.body_bytes = 0};
    struct http_parser *parser = http_parser_begin(malloc(http_parser_bytes()), on_body, &trace);
    struct http_fed fed = http_parser_feed(parser, text, strlen(text));
    cr_assert_eq(fed.event, HTTP_EVENT_HEAD);
    const struct http_request_head *head = http_parser_head(parser);
    cr_expect(span_equal(head->host, SPAN_LITERAL("h:1")));
    cr_expect(span_equal(head->origin, SPAN_LITERAL("o")));
    cr_expect(span_equal(head->authorization, SPAN_LITERAL("Bearer x")));
    cr_expect(span_equal(head->content_type, SPAN_LITERAL("a/b")));
    cr_expect(span_equal(head->expect, SPAN_LITERAL("100-continue")));
    cr_expect(head->has_length && head->content_length == 7);
    free(parser);
}

Test(http_request, http_1_0_expects_nothing)
{
    const char *text = "POST /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n";
    struct trace trace = {.body_bytes = 0};
    struct http_parser *parser = http_parser_begin(malloc(http_parser_bytes()), on_body, &trace);
    cr_assert_eq(http_parser_feed(parser, text, strlen(text)).event, HTTP_EVENT_HEAD);
    cr_expect(http_parser_head(parser)->expect.data == NULL);
    free(parser);
}
