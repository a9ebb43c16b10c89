/* The reader of frames and objects. Each object ends where its memory ends, so that a sanitizer finds a read beyond it.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/text.h"
#include "load/wire.h"

static char *held;

/* Reads a copy of the bytes; true if they are one object and nothing else. The object borrows `held`. */
static bool read_bytes(const char *bytes, size_t count, struct load_wire_object *object)
{
    free(held);
    held = malloc(count);
    cr_assert(count == 0 || held != NULL);
    if (count > 0)
        memcpy(held, bytes, count);
    const char *end = held + count;
    return count > 0 && load_wire_read_object(held, end, object) == end;
}

static bool read_json(const char *json, struct load_wire_object *object)
{
    return read_bytes(json, strlen(json), object);
}

static void check_text(const char *text)
{
    char json[256];
    struct load_wire_object object;
    snprintf(json, sizeof json, "{\"from\":\"ann\",\"text\":\"%s\",\"to\":\"bob\"}", text);
    cr_assert(read_json(json, &object), "%s", json);
    cr_expect_eq(object.text.bytes, strlen(text));
    cr_expect_eq(memcmp(object.text.data, text, strlen(text)), 0);
    cr_expect(load_wire_is(object.from, "ann") && load_wire_is(object.to, "bob"), "%s", json);
}

Test(load_wire, a_string_ends_at_the_first_quote_that_no_backslash_takes)
{
    char text[80];
    for (size_t bytes = 0; bytes < 70; bytes++) {
        memset(text, 'x', bytes);
        text[bytes] = '\0';
        check_text(text);
        for (size_t at = 0; at + 2 <= bytes; at++) {
            memset(text, 'x', bytes);
            text[at] = '\\';
            text[at + 1] = at % 2 == 0 ? '"' : '\\';
            check_text(text);
        }
    }
    check_text("\\\\\\\"\\\\");
}

Test(load_wire, a_number_is_read_at_every_length)
{
    uint64_t numbers[] = {0,
                          7,
                          10,
                          9999999,
                          10000000,
                          12345678,
                          99999999,
                          100000000,
                          1234567890123456,
                          9876543210987654,
                          UINT64_C(12345678901234567890)};
    char json[128];
    struct load_wire_object object;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(json, sizeof json, "{\"ts\":%" PRIu64 ",\"prev\":%" PRIu64 "}", numbers[i], numbers[i]);
        cr_assert(read_json(json, &object), "%s", json);
        cr_expect(object.has_ts && object.ts == numbers[i] && object.prev == numbers[i], "%s", json);
    }
}

Test(load_wire, what_is_no_digit_ends_a_number_wherever_it_stands)
{
    static const char others[] = {'/', ':', ' ', 'a', '.', '-', '\0', '\x7f', '\x80', (char)0xb0, (char)0xb9, '\xff'};
    struct load_wire_object object;
    for (size_t at = 0; at < 16; at++) {
        for (size_t i = 0; i < sizeof others; i++) {
            char json[] = "{\"ts\":1234567890123456}";
            json[6 + at] = others[i];
            cr_expect_not(read_bytes(json, sizeof json - 1, &object), "byte %d at %zu", others[i], at);
        }
    }
}

Test(load_wire, no_beginning_of_an_object_is_one)
{
    static const char json[] =
        "{\"op\":\"msg\",\"ts\":1763900000200002,\"prev\":0,\"mid\":\"abcdefghijklmnopqrst\",\"from\":"
        "\"ann\",\"to\":\"bob\",\"text\":\"say \\\"hi\\\"\",\"more\":true,\"messages\":[{\"ts\":1}]}";
    struct load_wire_object object;
    cr_assert(read_bytes(json, sizeof json - 1, &object));
    for (size_t bytes = 0; bytes < sizeof json - 1; bytes++)
        cr_expect_not(read_bytes(json, bytes, &object), "%zu bytes", bytes);
}

Test(load_wire, a_field_that_is_absent_is_empty_after_any_other_object)
{
    struct load_wire_object object;
    memset(&object, 0xff, sizeof object);
    cr_assert(read_json("{}", &object));
    const struct span strings[] = {object.op,  object.mid,  object.from,  object.to,   object.text,
                                   object.key, object.code, object.epoch, object.user, object.messages};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        cr_expect_eq(strings[i].bytes, 0, "string %zu", i);
    cr_expect_eq(object.id | object.ts | object.prev | object.last | object.next | object.retry_after, 0);
    cr_expect_not(object.has_id || object.has_prev || object.has_ts || object.has_next);
    cr_expect_not(object.dup || object.reset || object.more);
}

static void check_span(struct span one, struct span other, const char *name, const char *json)
{
    cr_assert(one.bytes == other.bytes && (one.bytes == 0 || memcmp(one.data, other.data, one.bytes) == 0), "%s of %s",
              name, json);
}

static void check_same(const struct load_wire_object *one, const struct load_wire_object *other, const char *json)
{
    check_span(one->op, other->op, "op", json);
    check_span(one->mid, other->mid, "mid", json);
    check_span(one->from, other->from, "from", json);
    check_span(one->to, other->to, "to", json);
    check_span(one->key, other->key, "key", json);
    check_span(one->text, other->text, "text", json);
    check_span(one->code, other->code, "code", json);
    cr_assert(one->ts == other->ts && one->prev == other->prev && one->id == other->id, "%s", json);
    cr_assert(one->has_ts == other->has_ts && one->has_prev == other->has_prev, "%s", json);
}

/* The same fields behind an unknown one: the general reader reads them. */
static void check_as_behind_unknown(const char *json)
{
    char behind[512];
    struct load_wire_object object = {0}, general = {0};
    snprintf(behind, sizeof behind, "{\"unknown\":1,%s", json + 1);
    const char *end = behind + strlen(behind);
    bool is_object = load_wire_read_object(behind, end, &general) == end;
    cr_assert_eq(read_json(json, &object), is_object, "%s", json);
    if (!is_object)
        return;
    check_same(&object, &general, json);
}

Test(load_wire, a_message_as_the_server_writes_it_is_read_as_one_in_any_order_whatever_byte_is_another)
{
    static const char *messages[] = {
        "{\"ts\":1763900000200002,\"mid\":\"abcdefghijklmnopqrst\",\"from\":\"ann\",\"to\":\"bob\",\"text\":\"hello\"}",
        "{\"ts\":5,\"mid\":\"m\",\"from\":\"ann\",\"to\":\"a name of eighteen\",\"key\":\"k\",\"text\":\"\"}",
        "{\"op\":\"msg\",\"ts\":1763900000200002,\"prev\":1763900000200001,\"mid\":\"abc\",\"from\":\"ann\",\"to\":"
        "\"bob\","
        "\"text\":\"a text that is longer than sixteen bytes\"}",
        "{\"op\":\"ok\",\"id\":7,\"ts\":1763900000200002,\"prev\":3,\"mid\":\"abcdefghijklmnopqrst\",\"dup\":true}",
    };
    static const char others[] = {'"', '\\', ',', ':', '}', '{', '0', 'x'};
    for (size_t m = 0; m < sizeof messages / sizeof messages[0]; m++) {
        char json[256];
        snprintf(json, sizeof json, "%s", messages[m]);
        check_as_behind_unknown(json);
        for (size_t at = 1; json[at] != '\0'; at++) {
            for (size_t i = 0; i < sizeof others; i++) {
                json[at] = others[i];
                check_as_behind_unknown(json);
            }
            json[at] = messages[m][at];
        }
    }
}

Test(load_wire, messages_in_a_row_are_read_as_each_is_alone)
{
    static const char *const messages[] = {
        "{\"ts\":3,\"mid\":\"m\",\"from\":\"a\",\"to\":\"b\",\"text\":\"t\"}",
        "{\"ts\":4,\"mid\":\"n\",\"from\":\"b\",\"to\":\"a\",\"key\":\"k\",\"text\":\"\"}",
        "{\"ts\":5,\"mid\":\"o\",\"from\":\"b\",\"to\":\"a\",\"text\":\"\\\"\"}",
        "{\"op\":\"msg\",\"ts\":6,\"prev\":5,\"mid\":\"p\",\"from\":\"b\",\"to\":\"a\",\"text\":\"t\"}",
        "{\"code\":\"busy\",\"id\":7,\"user\":\"u\",\"ts\":7}",
    };
    enum { COUNT = sizeof messages / sizeof messages[0] };
    for (size_t pair = 0; pair < COUNT * COUNT; pair++) {
        char json[512];
        struct load_wire_object alone, object;
        const char *at = NULL;
        bool is_broken;
        size_t order[] = {pair / COUNT, pair % COUNT};
        size_t bytes = (size_t)snprintf(json, sizeof json, "[%s,%s]", messages[order[0]], messages[order[1]]);
        for (size_t i = 0; i < 2; i++) {
            cr_assert(load_wire_next_message((struct span){json, bytes}, &at, &object, &is_broken));
            cr_assert(read_json(messages[order[i]], &alone));
            check_same(&object, &alone, json);
        }
        cr_assert(!load_wire_next_message((struct span){json, bytes}, &at, &object, &is_broken) && !is_broken);
    }
}

Test(load_wire, an_incomplete_frame_says_how_many_bytes_it_wants)
{
    static const size_t payloads[] = {0, 1, 125, 126, 65535, 65536};
    static char bytes[10 + 65536];
    struct load_wire_frame frame;
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        size_t payload = payloads[i], head = payload < 126 ? 2 : payload < 65536 ? 4 : 10;
        bytes[0] = (char)0x81;
        bytes[1] = (char)(head == 2 ? payload : head == 4 ? 126 : 127);
        for (size_t at = head - 1, rest = payload; at >= 2; at--, rest >>= 8)
            bytes[at] = (char)rest;
        cr_expect(load_wire_read_frame(bytes, 1, &frame) == 0 && frame.wanted_bytes == 2);
        for (size_t have = 2; have < head + payload; have += have < head ? 1 : 997) {
            cr_expect_eq(load_wire_read_frame(bytes, have, &frame), 0);
            cr_expect_eq(frame.wanted_bytes, have < head ? head : head + payload, "%zu of %zu", have, head + payload);
        }
        cr_expect_eq(load_wire_read_frame(bytes, head + payload + 3, &frame), (int64_t)(head + payload));
        cr_expect_eq(frame.payload.bytes, payload);
    }
}

Test(load_wire, a_control_frame_has_at_most_125_bytes)
{
    static char bytes[4 + 126] = {(char)0x89, 125};
    struct load_wire_frame frame;
    cr_expect_eq(load_wire_read_frame(bytes, sizeof bytes, &frame), 2 + 125);
    bytes[1] = 126;
    bytes[3] = 126;
    cr_expect_eq(load_wire_read_frame(bytes, sizeof bytes, &frame), -1);
}

Test(load_text, each_character_of_a_mid_counts_and_so_does_its_place)
{
    char mid[] = "abcdefghijklmnopqrst";
    for (uint32_t bytes = 1; bytes <= 20; bytes++) {
        uint64_t hash = load_text_hash(1, 2, mid, bytes);
        cr_expect_neq(hash, load_text_hash(2, 1, mid, bytes));
        cr_expect_neq(hash, load_text_hash(1, 2, mid, bytes - 1));
        for (uint32_t at = 0; at < bytes; at++) {
            char kept = mid[at];
            mid[at] = 'Z';
            cr_expect_neq(hash, load_text_hash(1, 2, mid, bytes), "%u of %u", at, bytes);
            mid[at] = kept;
        }
        for (uint32_t at = 0; at + 1 < bytes; at++) {
            char swapped[20];
            memcpy(swapped, mid, bytes);
            swapped[at] = mid[at + 1];
            swapped[at + 1] = mid[at];
            cr_expect_neq(hash, load_text_hash(1, 2, swapped, bytes), "%u and the next of %u", at, bytes);
        }
    }
}

Test(load_text, a_character_that_no_send_has_is_seen_wherever_it_stands)
{
    struct load_filler filler;
    struct load_text text = {.run = 3, .from = 5, .to = 7, .seq = 11, .sent_us = 13}, read;
    char bytes[64];
    load_filler_init(&filler);
    load_text_write(bytes, sizeof bytes, &text, &filler);
    for (size_t at = 0; at < sizeof bytes; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char kept = bytes[at];
            if ((unsigned char)kept == byte)
                continue;
            bytes[at] = (char)byte;
            cr_expect_not(load_text_read(bytes, sizeof bytes, &filler, &read), "byte %d at %zu", byte, at);
            bytes[at] = kept;
        }
    }
}
