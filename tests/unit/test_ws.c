/* RFC 6455 as the server enforces it: each input whole, byte by byte, and cut in two at every byte. */
#include "protocol/ws.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

#define FIN 0x80
#define MESSAGE_MAX 70000u
#define POOL_MAX (1u << 20)

static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};

/* Bytes from a client. */
struct input {
    uint8_t *bytes;
    size_t count;
};

static void put(struct input *input, const void *data, size_t bytes)
{
    input->bytes = realloc(input->bytes, input->count + bytes + 1);
    memcpy(input->bytes + input->count, data, bytes);
    input->count += bytes;
}

static void frame(struct input *input, int first, const char *payload, size_t bytes)
{
    uint8_t head[14] = {(uint8_t)first};
    size_t head_bytes = 2;
    head[1] = (uint8_t)(0x80 | (bytes < 126 ? bytes : bytes < 65536 ? 126u : 127u));
    for (int shift = bytes < 126 ? -1 : bytes < 65536 ? 8 : 56; shift >= 0; shift -= 8)
        head[head_bytes++] = (uint8_t)((uint64_t)bytes >> shift);
    put(input, head, head_bytes);
    put(input, mask, 4);
    put(input, payload, bytes);
    for (size_t i = 0; i < bytes; i++)
        input->bytes[input->count - bytes + i] ^= mask[i % 4];
}

static struct input of_frame(int first, const char *payload)
{
    struct input input = {0};
    frame(&input, first, payload, strlen(payload));
    return input;
}

static struct input of_bytes(const char *bytes, size_t count)
{
    struct input input = {0};
    put(&input, bytes, count);
    return input;
}

/* What came, as a line: `text(hi) ping(x) close(1000) error(1002)`. */
static const char *events_of(struct input input, size_t first, size_t piece, bool allow_binary)
{
    static char text[300000];
    struct ws_pool *pool;
    struct ws ws;
    size_t at = 0, out = 0;
    text[0] = '\0';
    cr_assert_eq(ws_pool_open(&pool, MESSAGE_MAX, POOL_MAX, allow_binary), 0);
    ws_init(&ws);
    while (at < input.count && !ws.closed) {
        size_t bytes = at == 0 && first > 0 ? first : piece;
        bytes = input.count - at < bytes ? input.count - at : bytes;
        char *copy = malloc(bytes), *data = copy;
        size_t left = bytes;
        memcpy(copy, input.bytes + at, bytes);
        at += bytes;
        while (left > 0 && !ws.closed) {
            struct ws_event event;
            size_t before = left;
            ws_next(&ws, pool, &data, &left, &event);
            cr_assert(left < before || event.kind != WS_EVENT_MORE);
            static const char *const names[] = {[WS_EVENT_PING] = "ping",
                                                [WS_EVENT_PONG] = "pong",
                                                [WS_EVENT_CLOSE] = "close",
                                                [WS_EVENT_ERROR] = "error"};
            switch (event.kind) {
            case WS_EVENT_FRAGMENT:
            case WS_EVENT_MORE: continue;
            case WS_EVENT_MESSAGE:
            case WS_EVENT_PING:
            case WS_EVENT_PONG:
                out += (size_t)snprintf(text + out, sizeof text - out, "%s(%.*s) ",
                                        event.kind == WS_EVENT_MESSAGE ? event.opcode == WS_TEXT ? "text" : "binary"
                                                                       : names[event.kind],
                                        (int)event.bytes, event.bytes == 0 ? "" : event.data);
                break;
            case WS_EVENT_CLOSE:
            case WS_EVENT_ERROR:
                out += (size_t)snprintf(text + out, sizeof text - out, "%s(%u) ", names[event.kind], event.code);
                cr_assert(event.kind == WS_EVENT_CLOSE || event.reason[0] != '\0', "an error says why");
                break;
            }
        }
        free(copy);
    }
    ws_fini(&ws, pool);
    ws_pool_close(&pool);
    return text;
}

static void expect_mode(struct input input, const char *wanted, bool allow_binary)
{
    cr_assert_str_eq(events_of(input, 0, input.count, allow_binary), wanted);
    cr_assert_str_eq(events_of(input, 0, 1, allow_binary), wanted, "byte by byte");
    for (size_t cut = 1; cut < input.count && input.count < 1000; cut++)
        cr_assert_str_eq(events_of(input, cut, input.count, allow_binary), wanted, "cut at %zu", cut);
    free(input.bytes);
}

static void expect(struct input input, const char *wanted)
{
    expect_mode(input, wanted, false);
}

Test(ws, a_text_is_unmasked_and_given)
{
    expect(of_frame(FIN | WS_TEXT, "Hello"), "text(Hello) ");
    expect(of_frame(FIN | WS_TEXT, ""), "text() ");
}

Test(ws, frames_that_follow_each_other_are_given_one_by_one)
{
    struct input input = of_frame(FIN | WS_TEXT, "one");
    frame(&input, FIN | WS_PING, "two", 3);
    frame(&input, FIN | WS_PONG, "", 0);
    frame(&input, FIN | WS_TEXT, "three", 5);
    expect(input, "text(one) ping(two) pong() text(three) ");
}

Test(ws, fragments_are_put_together_and_control_frames_may_stand_between)
{
    struct input input = of_frame(WS_TEXT, "Hel");
    frame(&input, FIN | WS_PING, "p", 1);
    frame(&input, 0, "", 0);
    frame(&input, 0, "lo ", 3);
    frame(&input, FIN | WS_PONG, "q", 1);
    frame(&input, FIN, "you", 3);
    expect(input, "ping(p) pong(q) text(Hello you) ");
}

Test(ws, a_character_may_be_cut_by_fragments_at_every_byte)
{
    const char *text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
    for (size_t i = 0; i <= strlen(text); i++)
        for (size_t k = i; k <= strlen(text); k++) {
            struct input input = {0};
            char wanted[64];
            frame(&input, WS_TEXT, text, i);
            frame(&input, 0, text + i, k - i);
            frame(&input, FIN, text + k, strlen(text) - k);
            snprintf(wanted, sizeof wanted, "text(%s) ", text);
            expect(input, wanted);
        }
}

Test(ws, lengths_of_every_form_are_read)
{
    static const size_t lengths[] = {125, 126, 127, 65535, 65536, MESSAGE_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *payload = malloc(lengths[i] + 1), *wanted = malloc(lengths[i] + 16);
        memset(payload, 'x', lengths[i]);
        payload[lengths[i]] = '\0';
        sprintf(wanted, "text(%s) ", payload);
        expect(of_frame(FIN | WS_TEXT, payload), wanted);
        free(payload);
        free(wanted);
    }
}

Test(ws, a_frame_that_is_not_masked_is_1002)
{
    expect(of_bytes("\x81\x02hi", 4), "error(1002) ");
    expect(of_bytes("\x89\x00", 2), "error(1002) ");
}

Test(ws, reserved_bits_and_opcodes_are_1002)
{
    for (int bit = 0x10; bit <= 0x40; bit <<= 1)
        expect(of_frame(FIN | bit | WS_TEXT, "x"), "error(1002) ");
    static const int reserved[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        expect(of_frame(FIN | reserved[i], "x"), "error(1002) ");
}

Test(ws, control_frames_are_short_and_whole)
{
    char payload[200];
    memset(payload, 'p', sizeof payload);
    payload[125] = '\0';
    struct input fine = of_frame(FIN | WS_PING, payload);
    char wanted[256];
    snprintf(wanted, sizeof wanted, "ping(%s) ", payload);
    expect(fine, wanted);
    payload[125] = 'p';
    payload[126] = '\0';
    expect(of_frame(FIN | WS_PING, payload), "error(1002) ");
    expect(of_frame(WS_PING, "x"), "error(1002) ");
    expect(of_frame(WS_CLOSE, ""), "error(1002) ");
}

Test(ws, fragments_out_of_order_are_1002)
{
    expect(of_frame(FIN, "continuation of nothing"), "error(1002) ");
    expect(of_frame(0, "the same, unfinished"), "error(1002) ");
    struct input input = of_frame(WS_TEXT, "begun");
    frame(&input, FIN | WS_TEXT, "another", 7);
    expect(input, "error(1002) ");
    input = of_frame(FIN | WS_TEXT, "done");
    frame(&input, FIN, "more", 4);
    expect(input, "text(done) error(1002) ");
}

Test(ws, lengths_in_a_longer_form_than_needed_or_of_64_bits_are_1002)
{
    expect(of_bytes("\x81\xFE\x00\x05\0\0\0\0hello", 13), "error(1002) ");
    expect(of_bytes("\x81\xFF\0\0\0\0\0\0\x01\x00\0\0\0\0", 14), "error(1002) ");
    expect(of_bytes("\x81\xFF\x80\0\0\0\0\0\0\0\0\0\0\0", 14), "error(1002) ");
}

Test(ws, a_message_over_the_limit_is_1009_before_its_payload_comes)
{
    expect(of_bytes("\x81\xFF\0\0\0\0\0\x01\x11\x71\0\0\0\0", 14), "error(1009) ");
    struct input input = {0};
    char *half = calloc(1, MESSAGE_MAX);
    memset(half, 'x', MESSAGE_MAX);
    frame(&input, WS_TEXT, half, MESSAGE_MAX - 10);
    put(&input, "\x80\x8B\0\0\0\0", 6);
    expect(input, "error(1009) ");
    free(half);
}

Test(ws, binary_is_1003_unless_it_is_allowed)
{
    expect(of_frame(FIN | WS_BINARY, "\x01\xFF"), "error(1003) ");
    expect_mode(of_frame(FIN | WS_BINARY, "\x01\xFF"), "binary(\x01\xFF) ", true);
}

Test(ws, text_that_is_not_utf8_is_1007)
{
    static const char *const texts[] = {"\xFF", "a\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "cut \xE2\x82"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect(of_frame(FIN | WS_TEXT, texts[i]), "error(1007) ");
}

Test(ws, text_that_is_not_utf8_fails_before_the_message_is_whole)
{
    struct input input = of_frame(WS_TEXT, "fine");
    frame(&input, 0, "\xFF", 1);
    expect(input, "error(1007) ");
    input = of_frame(WS_TEXT, "\xE2\x82");
    frame(&input, FIN, "x", 1);
    expect(input, "error(1007) ");
}

static struct input of_close(const char *payload, size_t bytes)
{
    struct input input = {0};
    frame(&input, FIN | WS_CLOSE, payload, bytes);
    return input;
}

Test(ws, a_close_is_given_with_what_to_answer)
{
    expect(of_close("", 0), "close(1000) ");
    expect(of_close("\x03\xE8", 2), "close(1000) ");
    expect(of_close("\x03\xE9"
                    "bye",
                    5),
           "close(1001) ");
    expect(of_close("\x0F\xA1", 2), "close(4001) ");
    expect(of_close("\x0B\xB8", 2), "close(3000) ");
}

Test(ws, a_close_with_half_a_code_a_reserved_code_or_a_reason_that_is_not_utf8_is_refused)
{
    expect(of_close("\x03", 1), "error(1002) ");
    static const unsigned codes[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        char payload[2] = {(char)(codes[i] >> 8), (char)codes[i]};
        expect(of_close(payload, 2), "error(1002) ");
    }
    expect(of_close("\x03\xE8\xFF", 3), "error(1007) ");
    expect(of_close("\x03\xE8\xE2\x82", 4), "error(1007) ");
}

Test(ws, nothing_is_read_after_a_close_or_an_error)
{
    struct input input = of_close("", 0);
    frame(&input, FIN | WS_TEXT, "late", 4);
    expect(input, "close(1000) ");
    input = of_frame(FIN, "wrong");
    frame(&input, FIN | WS_TEXT, "late", 4);
    expect(input, "error(1002) ");
}

Test(ws, at_a_boundary_a_connection_owns_no_parser)
{
    struct ws_pool *pool;
    struct ws ws;
    struct ws_event event;
    cr_assert_eq(ws_pool_open(&pool, MESSAGE_MAX, POOL_MAX, false), 0);
    ws_init(&ws);
    for (int i = 0; i < 3; i++) {
        struct input input = of_frame(FIN | WS_TEXT, "Hello");
        char *data = (char *)input.bytes;
        size_t first = 4, rest = input.count - 4;
        ws_next(&ws, pool, &data, &first, &event);
        cr_assert_eq(event.kind, WS_EVENT_MORE);
        cr_assert_not_null(ws.parser, "in the middle of a frame it has one");
        ws_next(&ws, pool, &data, &rest, &event);
        cr_assert_eq(event.kind, WS_EVENT_MESSAGE);
        rest = 0;
        ws_next(&ws, pool, &data, &rest, &event);
        cr_assert_null(ws.parser);
        free(input.bytes);
    }
    ws_fini(&ws, pool);
    ws_pool_close(&pool);
}

Test(ws, a_parser_in_the_middle_of_a_message_goes_on_in_another_pool)
{
    struct ws_pool *here, *there;
    struct ws ws;
    struct ws_event event;
    cr_assert(ws_pool_open(&here, MESSAGE_MAX, POOL_MAX, false) == 0
              && ws_pool_open(&there, MESSAGE_MAX, POOL_MAX, false) == 0);
    ws_init(&ws);
    struct input input = of_frame(WS_TEXT, "Hel");
    frame(&input, FIN, "lo", 2);
    char *data = (char *)input.bytes;
    size_t first = 11, rest = input.count - 11;
    ws_next(&ws, here, &data, &first, &event);
    cr_assert_eq(event.kind, WS_EVENT_FRAGMENT);
    cr_assert_eq(first, 2, "the next frame's first bytes are the caller's");
    ws_next(&ws, here, &data, &first, &event);
    cr_assert_eq(event.kind, WS_EVENT_MORE);
    ws_leave(&ws, here);
    ws_enter(&ws, there);
    ws_next(&ws, there, &data, &rest, &event);
    cr_assert_eq(event.kind, WS_EVENT_MESSAGE);
    cr_assert_eq(event.bytes, 5);
    cr_assert_arr_eq(event.data, "Hello", 5);
    ws_fini(&ws, there);
    ws_pool_close(&here);
    ws_pool_close(&there);
    free(input.bytes);
}

/* The beginnings of messages of 60,000 bytes, on connections that then fall silent. */
Test(ws, messages_that_are_half_here_take_no_more_memory_than_the_pool_may_have)
{
    enum { COUNT = 64 };
    struct ws_pool *pool;
    struct ws ws[COUNT];
    struct ws_event event;
    uint32_t refused = 0;
    char *text = malloc(60000);
    memset(text, 'x', 60000);
    cr_assert_eq(ws_pool_open(&pool, MESSAGE_MAX, POOL_MAX, false), 0);
    for (int i = 0; i < COUNT; i++) {
        struct input input = {0};
        frame(&input, FIN | WS_TEXT, text, 60000);
        char *data = (char *)input.bytes;
        size_t left = input.count - 1;
        ws_init(&ws[i]);
        ws_next(&ws[i], pool, &data, &left, &event);
        if (event.kind == WS_EVENT_ERROR) {
            cr_assert_eq(event.code, 1011);
            refused++;
        }
        free(input.bytes);
    }
    cr_assert_gt(refused, COUNT - 17, "each takes 64 KiB, the pool has 1 MiB");
    cr_assert_lt(refused, COUNT - 8);
    for (int i = 0; i < COUNT; i++)
        ws_fini(&ws[i], pool);
    struct input input = of_frame(FIN | WS_TEXT, "again");
    char *data = (char *)input.bytes;
    ws_init(&ws[0]);
    ws_next(&ws[0], pool, &data, &input.count, &event);
    cr_assert_eq(event.kind, WS_EVENT_MESSAGE, "what they had is free again");
    free(input.bytes);
    free(text);
    ws_pool_close(&pool);
}

Test(ws, headers_are_written_in_their_shortest_form)
{
    uint8_t out[WS_HEADER_BYTES_MAX];
    cr_assert_eq(ws_header_write(out, WS_TEXT, 125), 2);
    cr_assert_arr_eq(out, "\x81\x7D", 2);
    cr_assert_eq(ws_header_write(out, WS_TEXT, 126), 4);
    cr_assert_arr_eq(out, "\x81\x7E\x00\x7E", 4);
    cr_assert_eq(ws_header_write(out, WS_BINARY, 65535), 4);
    cr_assert_arr_eq(out, "\x82\x7E\xFF\xFF", 4);
    cr_assert_eq(ws_header_write(out, WS_TEXT, 65536), 10);
    cr_assert_arr_eq(out, "\x81\x7F\0\0\0\0\0\x01\0\0", 10);
}

Test(ws, a_close_frame_has_its_code_and_as_much_of_the_reason_as_fits)
{
    uint8_t out[128];
    char reason[300];
    cr_assert_eq(ws_close_write(out, 4002, "silent"), 10);
    cr_assert_arr_eq(out, "\x88\x08\x0F\xA2silent", 10);
    memset(reason, 'r', sizeof reason);
    reason[299] = '\0';
    cr_assert_eq(ws_close_write(out, 1001, reason), 127);
    cr_assert_eq(out[1], 125);
}
