/* What bench/hostile computes: the count of what a server answers, the bytes of the attacks, options and verdicts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "hostile_options.h"
#include "hostile_plan.h"
#include "hostile_report.h"
#include "hostile_scan.h"

#define STREAM_BYTES 8192u
#define LONG_BYTES 3000u

static size_t put_frame(char *out, uint8_t first, const char *payload, size_t bytes)
{
    size_t at = 0;
    out[at++] = (char)first;
    out[at++] = (char)(bytes < 126 ? bytes : 126);
    if (bytes >= 126) {
        out[at++] = (char)(bytes >> 8);
        out[at++] = (char)bytes;
    }
    memcpy(out + at, payload, bytes);
    return at + bytes;
}

static size_t put_text(char *out, const char *text)
{
    return put_frame(out, 0x81, text, strlen(text));
}

/* An upgrade, and one frame or two of each kind; one is longer than what a scan keeps. */
static size_t write_stream(char *out)
{
    char page[LONG_BYTES];
    memset(page, 'x', sizeof page);
    memcpy(page, "{\"op\":\"history\"", 15);
    size_t at = (size_t)sprintf(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    at += put_text(out + at, "{\"op\":\"ok\",\"id\":1,\"user\":\"a\"}");
    at += put_text(out + at, "{\"op\":\"msg\",\"ts\":1,\"text\":\"{\\\"op\\\":\\\"ok\\\"\"}");
    at += put_frame(out + at, 0x81, page, sizeof page);
    at += put_frame(out + at, 0x89, "", 0);
    at += put_text(out + at, "{\"op\":\"error\",\"id\":2,\"code\":\"busy\",\"message\":\"later\",\"retry_after\":50}");
    at += put_text(out + at, "{\"op\":\"error\",\"code\":\"bad_json\",\"message\":\"no JSON\"}");
    at += put_frame(out + at, 0x8A, "abc", 3);
    at += put_text(out + at, "{\"op\":\"live\"}");
    at += put_text(out + at, "{\"op\":\"ok\",\"id\":3}");
    return at + put_frame(out + at, 0x88, "\x0f\xa1", 2);
}

Test(hostile_scan, counts_the_same_whatever_the_pieces)
{
    char stream[STREAM_BYTES];
    size_t bytes = write_stream(stream);
    for (size_t piece = 1; piece <= bytes; piece++) {
        struct hostile_scan scan;
        struct hostile_counts counts = {0};
        hostile_scan_init(&scan);
        for (size_t at = 0; at < bytes; at += piece)
            cr_assert_eq(hostile_scan_take(&scan, stream + at, bytes - at < piece ? bytes - at : piece, &counts), 0);
        const struct hostile_counts wanted = {.oks = 2,
                                              .errors = 2,
                                              .refused = 1,
                                              .messages = 1,
                                              .pages = 1,
                                              .lives = 1,
                                              .pongs = 1,
                                              .pings = 1,
                                              .closes = 1};
        cr_assert(memcmp(&counts, &wanted, sizeof counts) == 0, "in pieces of %zu", piece);
        cr_assert_eq(scan.status, 101);
        cr_assert_eq(scan.close_code, 4001);
        cr_assert_eq(hostile_counts_replies(&counts), 5);
    }
}

Test(hostile_scan, a_refused_upgrade_has_a_status_and_no_frames)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\nfull\n\x81\x02{}";
    struct hostile_scan scan = {.status = 0};
    struct hostile_counts counts = {0};
    for (size_t at = 0; at < sizeof answer - 1; at++)
        cr_assert_eq(hostile_scan_take(&scan, answer + at, 1, &counts), 0);
    cr_expect_eq(scan.status, 503);
    cr_expect_not(scan.is_upgraded);
    cr_expect_eq(hostile_counts_replies(&counts), 0);
}

Test(hostile_scan, a_fragment_is_what_no_server_sends)
{
    static const char stream[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n\x80\x01x";
    struct hostile_scan scan = {.status = 0};
    struct hostile_counts counts = {0};
    cr_expect_eq(hostile_scan_take(&scan, stream, sizeof stream - 1, &counts), -EPROTO);
}

/* The frames of a block from `at` on: all masked, with this first byte and payload length. */
static uint32_t count_frames(const struct hostile_bytes *block, size_t at, uint8_t first, uint8_t bytes)
{
    uint32_t count = 0;
    for (; at < block->bytes; at += 6u + bytes, count++) {
        cr_assert_eq((uint8_t)block->data[at], first);
        cr_assert_eq((uint8_t)block->data[at + 1], 0x80u | bytes);
    }
    cr_assert_eq(at, block->bytes);
    return count;
}

static struct hostile_bytes build(const char *name)
{
    struct hostile_bytes block;
    uint32_t index = hostile_plan_find(name, strlen(name));
    cr_assert(index < hostile_plan_count(), "%s", name);
    cr_assert_eq(hostile_plan_build_block(hostile_plan_at(index), "127.0.0.1:1", "me", &block), 0);
    return block;
}

Test(hostile_plan, a_flood_is_whole_frames_of_one_kind)
{
    static const struct {
        const char *name;
        uint8_t first, bytes;
    } floods[] = {{"pongs", 0x8A, 0}, {"pings", 0x89, 0}, {"pings-125", 0x89, 125}, {"bad-requests", 0x81, 2}};
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        struct hostile_bytes block = build(floods[i].name);
        uint32_t count = count_frames(&block, 0, floods[i].first, floods[i].bytes);
        cr_expect(count > 100 && count * block.unit_bytes == block.bytes && block.loop_at == 0, "%s", floods[i].name);
        hostile_bytes_free(&block);
    }
}

Test(hostile_plan, continuations_begin_once_and_never_end)
{
    struct hostile_bytes block = build("continuations");
    cr_expect_eq((uint8_t)block.data[0], 0x01);
    cr_expect_eq(block.loop_at, 6);
    cr_expect(count_frames(&block, block.loop_at, 0x00, 0) > 100);
    hostile_bytes_free(&block);
}

Test(hostile_plan, a_partial_head_has_no_blank_line_and_is_below_the_limit)
{
    struct hostile_bytes block = build("partial-heads");
    cr_expect_null(memmem(block.data, block.bytes, "\r\n\r\n", 4));
    cr_expect(block.bytes > 7000 && block.bytes < 8192);
    hostile_bytes_free(&block);
}

Test(hostile_plan, keyed_sends_have_one_length_and_as_many_keys_as_a_window)
{
    struct hostile_bytes block = build("key-windows");
    cr_assert_eq(block.unit_bytes * LIMIT_KEYS, block.bytes);
    cr_expect_not_null(memmem(block.data, block.unit_bytes, "\"key\":\"00000000\"", 16));
    cr_expect_not_null(
        memmem(block.data + block.bytes - block.unit_bytes, block.unit_bytes, "\"key\":\"00009999\"", 16));
    hostile_bytes_free(&block);
}

Test(hostile_plan, garbage_is_neither_http_nor_frames)
{
    struct hostile_bytes block = build("garbage-frames");
    cr_expect_neq(block.data[0] & 0x70, 0, "reserved bits");
    cr_expect_null(memchr(block.data, '\n', block.bytes));
    hostile_bytes_free(&block);
}

Test(hostile_plan, a_declared_length_stands_in_eight_bytes)
{
    struct hostile_bytes block = build("huge-lengths");
    cr_expect_eq(memcmp(block.data, "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x", 15), 0);
    hostile_bytes_free(&block);
}

/* One record of type 22, handshake, with one message of type 1, ClientHello. */
Test(hostile_plan, a_hello_is_one_whole_record)
{
    struct hostile_bytes block = build("tls-hellos");
    const uint8_t *data = (const uint8_t *)block.data;
    cr_assert_gt(block.bytes, 9);
    cr_expect_eq(data[0], 22);
    cr_expect_eq(5u + data[3] * 256u + data[4], block.bytes);
    cr_expect_eq(data[5], 1);
    cr_expect_eq(9u + data[7] * 256u + data[8], block.bytes);
    hostile_bytes_free(&block);
}

Test(hostile_plan, bad_frames_stand_between_the_upgrade_and_the_login)
{
    struct hostile_bytes opening;
    const struct hostile_plan *plan = hostile_plan_at(hostile_plan_find("bad-frames", 10));
    cr_assert_eq(hostile_plan_build_opening(plan, "127.0.0.1:1", "me", &opening), 0);
    const char *end = memmem(opening.data, opening.bytes, "\r\n\r\n", 4);
    cr_assert_not_null(end);
    size_t at = (size_t)(end - opening.data) + 4;
    for (uint32_t i = 0; i < 2000; i++, at += 7)
        cr_assert_eq(memcmp(opening.data + at, "\x81\x81\0\0\0\0{", 7), 0);
    cr_expect_not_null(memmem(opening.data + at, opening.bytes - at, "\"login\"", 7));
    cr_expect_eq(hostile_plan_opening_answers(plan), 2001);
    hostile_bytes_free(&opening);
}

Test(hostile_plan, names_are_found_whole_and_differ)
{
    cr_expect_eq(hostile_plan_find("pong", 4), UINT32_MAX);
    for (uint32_t i = 0; i < hostile_plan_count(); i++) {
        const char *name = hostile_plan_at(i)->name;
        cr_expect_eq(hostile_plan_find(name, strlen(name)), i, "%s", name);
    }
}

Test(hostile_options, attacks_are_taken_in_their_order_and_unknown_ones_refused)
{
    struct hostile_options options;
    char *good[] = {"hostile", "--attack", "pings,pongs", "--seconds=2", "--check", "127.0.0.1:8080", NULL};
    cr_assert_eq(hostile_options_parse(&options, 6, good), 0);
    cr_expect_eq(options.attack_count, 2);
    cr_expect_eq(options.attacks[0], hostile_plan_find("pings", 5));
    cr_expect_eq(options.attacks[1], hostile_plan_find("pongs", 5));
    cr_expect(options.must_keep && options.address.port == 8080);
    char *bad[][6] = {{"hostile", "--attack", "pings,", "127.0.0.1:8080", NULL},
                      {"hostile", "--seconds", "0", "127.0.0.1:8080", NULL},
                      {"hostile", "--rate", "1.5", "127.0.0.1:8080", NULL},
                      {"hostile", "--window", "513", "127.0.0.1:8080", NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(hostile_options_parse(&options, 4, bad[i]), -1, "%s %s", bad[i][1], bad[i][2]);
}

Test(hostile_options, attacks_on_tls_need_an_address)
{
    struct hostile_options options;
    uint32_t with_tls = 0;
    for (uint32_t i = 0; i < hostile_plan_count(); i++)
        with_tls += hostile_plan_at(i)->is_tls;
    cr_assert_gt(with_tls, 0);
    char *all[] = {"hostile", "127.0.0.1:8080", NULL};
    cr_assert_eq(hostile_options_parse(&options, 2, all), 0);
    cr_expect_eq(options.attack_count, hostile_plan_count() - with_tls);
    char *named[] = {"hostile", "--attack", "tls-hellos", "127.0.0.1:8080", NULL};
    cr_expect_eq(hostile_options_parse(&options, 4, named), -1);
    char *good[] = {"hostile", "--attack", "tls-hellos", "--tls", "127.0.0.1:8443", "127.0.0.1:8080", NULL};
    cr_assert_eq(hostile_options_parse(&options, 6, good), 0);
    cr_expect_eq(options.attack_count, 1);
    cr_expect_eq(options.tls_address.port, 8443);
}

static struct hostile_result *result_of(uint64_t alone_us, uint64_t under_us)
{
    struct hostile_result *result = calloc(1, sizeof *result);
    cr_assert_not_null(result);
    result->plan = hostile_plan_at(0);
    for (uint32_t i = 0; i < 100; i++) {
        load_histogram_add(&result->alone.send, alone_us);
        load_histogram_add(&result->under.send, under_us);
    }
    return result;
}

Test(hostile_report, the_limit_is_25_ms_or_four_times_alone_whichever_is_more)
{
    static const struct {
        uint64_t alone_us, under_us;
        enum hostile_verdict verdict;
    } cases[] = {{1900, 25000, HOSTILE_KEPT},
                 {1900, 25001, HOSTILE_BROKEN},
                 {10000, 40000, HOSTILE_KEPT},
                 {10000, 42000, HOSTILE_BROKEN}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hostile_result *result = result_of(cases[i].alone_us, cases[i].under_us);
        cr_expect_eq(hostile_report_verdict(result), cases[i].verdict, "case %zu", i);
        free(result);
    }
}

Test(hostile_report, a_client_that_is_not_served_makes_no_good_verdict)
{
    static const enum hostile_verdict verdicts[] = {[HOSTILE_SERVED] = HOSTILE_KEPT,
                                                    [HOSTILE_CUT] = HOSTILE_BROKEN,
                                                    [HOSTILE_LOST] = HOSTILE_WAS_LOST,
                                                    [HOSTILE_HUNG] = HOSTILE_IS_HUNG};
    for (enum hostile_fate fate = HOSTILE_SERVED; fate <= HOSTILE_HUNG; fate++) {
        struct hostile_result *under = result_of(1000, 1000), *after = result_of(1000, 1000);
        under->under.fate = fate;
        after->after.fate = fate;
        cr_expect_eq(hostile_report_verdict(under), verdicts[fate]);
        cr_expect_eq(hostile_report_verdict(after), verdicts[fate]);
        free(under);
        free(after);
    }
}
