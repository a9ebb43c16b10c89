#include <criterion/criterion.h>

#include <stdio.h>

#include "cli/dump_line.h"

static const uint8_t mid[LIMIT_MID_BYTES] = {0x33, 0x0b, 0x11, 0xeb, 0xea, 0x19, 0x28, 0x02, 0xc0, 1, 2, 3, 4, 5, 6};
static char line[DUMP_LINE_BYTES_MAX + 1];
static struct json_reader *reader;

static void setup(void)
{
    cr_assert_eq(json_reader_open(&reader, DUMP_LINE_BYTES_MAX), 0);
}

static void teardown(void)
{
    json_reader_close(&reader);
}

TestSuite(dump_line, .init = setup, .fini = teardown);

static struct message message_of(enum role role)
{
    return (struct message){.ts = 5,
                            .other_ts = role == ROLE_SELF ? 5 : 7,
                            .role = role,
                            .mid = mid,
                            .from = SPAN_LITERAL("alice"),
                            .to = role == ROLE_SELF ? SPAN_LITERAL("alice") : SPAN_LITERAL("bob"),
                            .key = role == ROLE_RECEIVED ? SPAN_LITERAL("") : SPAN_LITERAL("\"k\""),
                            .text = SPAN_LITERAL("line\nfeed \x01 \xc3\xbc")};
}

Test(dump_line, what_is_written_is_read)
{
    static const enum role roles[] = {ROLE_SENT, ROLE_RECEIVED, ROLE_SELF};
    for (int i = 0; i < 3; i++) {
        struct message message = message_of(roles[i]);
        struct span user = roles[i] == ROLE_RECEIVED ? message.to : message.from;
        bool is_alone = roles[i] == ROLE_RECEIVED;
        struct dump_line entry;
        size_t bytes = dump_line_write(line, user, &message, is_alone);
        cr_assert_eq(line[bytes - 1], '\n');
        const char *why = dump_line_read(reader, line, bytes - 1, &entry);
        cr_assert_null(why, "%s", why);
        cr_assert(span_equal(entry.user, user) && entry.message.role == roles[i]);
        cr_assert(entry.first == 0 && entry.is_alone == is_alone);
        cr_assert(entry.message.ts == 5 && entry.message.other_ts == message.other_ts);
        cr_assert_arr_eq(entry.message.mid, mid, LIMIT_MID_BYTES);
        cr_assert(span_equal(entry.message.from, message.from) && span_equal(entry.message.to, message.to));
        cr_assert(span_equal(entry.message.key, message.key) && span_equal(entry.message.text, message.text));
    }
}

Test(dump_line, where_timelines_begin_is_written_and_read)
{
    struct dump_line read_r;
    size_t bytes = dump_line_write_first(line, span_of("bob"), LIMIT_TS_MAX);
    cr_assert(bytes == 40 && memcmp(line, "{\"user\":\"bob\",\"first\":9007199254740991}\n", bytes) == 0);
    cr_assert_null(dump_line_read(reader, line, bytes - 1, &read_r));
    cr_assert(span_equal(read_r.user, span_of("bob")) && read_r.first == LIMIT_TS_MAX);
    bytes = dump_line_write_first(line, span_of(""), 5);
    cr_assert(bytes == 12 && memcmp(line, "{\"first\":5}\n", bytes) == 0);
    cr_assert_null(dump_line_read(reader, line, bytes - 1, &read_r));
    cr_assert(read_r.user.bytes == 0 && read_r.first == 5);
}

Test(dump_line, the_longest_entry_fits)
{
    static char text[LIMIT_TEXT_BYTES], key[LIMIT_KEY_BYTES], name[LIMIT_USER_BYTES];
    struct message message = message_of(ROLE_SELF);
    struct dump_line entry;
    memset(text, 1, sizeof text);
    memset(key, 1, sizeof key);
    memset(name, 'n', sizeof name);
    message.ts = message.other_ts = LIMIT_TS_MAX;
    message.text = (struct span){text, sizeof text};
    message.key = (struct span){key, sizeof key};
    message.from = message.to = (struct span){name, sizeof name};
    size_t bytes = dump_line_write(line, message.from, &message, false);
    cr_assert_leq(bytes, DUMP_LINE_BYTES_MAX);
    cr_assert_null(dump_line_read(reader, line, bytes - 1, &entry));
    cr_assert(span_equal(entry.message.text, message.text));
}

static const char *read(const char *text)
{
    struct dump_line entry;
    int bytes = snprintf(line, sizeof line, "%s", text);
    const char *why = dump_line_read(reader, line, (size_t)bytes, &entry);
    return why == NULL ? "" : why;
}

#define REST "\"mid\":\"MwsR6-oZKALAYytrhgE-\",\"from\":\"a\",\"to\":\"b\",\"text\":\"x\""

Test(dump_line, what_is_no_entry_is_refused_with_the_reason)
{
    cr_assert_str_eq(read("{\"user\":\"a\",\"ts\":5,\"other_ts\":7," REST "}"), "");
    cr_assert_str_eq(read("{\"user\":\"b\",\"ts\":5,\"other_ts\":7," REST "}"), "");
    cr_assert_not_null(strstr(read("{\"user\":\"a\",\"ts\":5," REST "}"), "it has no \"other_ts\""));
    cr_assert_not_null(strstr(read("{\"user\":\"c\",\"ts\":5,\"other_ts\":7," REST "}"), "neither"));
    cr_assert_not_null(strstr(read("{\"user\":\"b\",\"ts\":5,\"other_ts\":7,\"key\":\"k\"," REST "}"), "recipient"));
    cr_assert_not_null(strstr(read("{\"user\":\"a\",\"ts\":5,\"other_ts\":7,\"new\":1," REST "}"), "does not know"));
    cr_assert_not_null(strstr(read("{\"user\":\"a\",\"ts\":0,\"other_ts\":7," REST "}"), "\"ts\""));
    cr_assert_not_null(strstr(read("{\"user\":\"a b\",\"ts\":1,\"other_ts\":7," REST "}"), "user name"));
    cr_assert_not_null(strstr(read("{\"user\":\"a\",\"ts\":5,\"other_ts\":7,\"alone\":false," REST "}"), "not true"));
    cr_assert_not_null(strstr(read("{\"user\":\"a\",\"ts\":5,\"other_ts\":7,\"alone\":1," REST "}"), "not true"));
    cr_assert_not_null(
        strstr(read("{\"user\":\"a\",\"ts\":5,\"alone\":true,\"mid\":\"MwsR6-oZKALAYytrhgE-\",\"from\":\"a\","
                    "\"to\":\"a\",\"text\":\"x\"}"),
               "oneself"));
    cr_assert_neq(read("[]")[0], '\0');
    cr_assert_neq(read("")[0], '\0');
}

Test(dump_line, what_says_no_beginning_is_refused_with_the_reason)
{
    cr_assert_str_eq(read("{\"first\":7,\"user\":\"a\"}"), "");
    cr_assert_not_null(strstr(read("{\"first\":0}"), "\"first\" is no number from 1 to 2^53 - 1"));
    cr_assert_not_null(strstr(read("{\"first\":9007199254740992}"), "\"first\" is no number"));
    cr_assert_not_null(strstr(read("{\"first\":\"7\"}"), "\"first\" is no number"));
    cr_assert_not_null(strstr(read("{\"user\":\"\",\"first\":7}"), "\"user\" is no user name"));
    cr_assert_not_null(strstr(read("{\"user\":7,\"first\":7}"), "\"user\" is no user name"));
    cr_assert_not_null(strstr(read("{\"first\":7,\"ts\":8}"), "nothing else"));
    cr_assert_not_null(strstr(read("{\"user\":\"a\",\"first\":7,\"key\":\"k\"}"), "nothing else"));
    cr_assert_not_null(strstr(read("{\"first\":7,\"more\":8}"), "does not know"));
}

Test(dump_line, marks_are_read_back_and_one_that_is_0_is_not_there)
{
    struct dump_line read;
    size_t bytes = dump_line_write_marks(line, SPAN_LITERAL("ann"), SPAN_LITERAL("bob"), (struct seen_marks){5, 0});
    cr_assert_eq(strncmp(line, "{\"user\":\"ann\",\"with\":\"bob\",\"seen\":5}\n", bytes), 0);
    cr_assert_null(dump_line_read(reader, line, bytes - 1, &read));
    cr_assert(span_equal(read.with, SPAN_LITERAL("bob")) && read.first == 0);
    cr_assert(read.marks.seen == 5 && read.marks.seen_by == 0);
    bytes = dump_line_write_marks(line, SPAN_LITERAL("ann"), SPAN_LITERAL("bob"), (struct seen_marks){5, 6});
    cr_assert_null(dump_line_read(reader, line, bytes - 1, &read));
    cr_assert(read.marks.seen == 5 && read.marks.seen_by == 6);
    static const char *const bad[] = {
        "{\"user\":\"ann\",\"with\":\"bob\"}", "{\"user\":\"ann\",\"with\":\"\",\"seen\":5}",
        "{\"user\":\"ann\",\"with\":\"bob\",\"seen\":0}", "{\"user\":\"ann\",\"with\":\"bob\",\"seen\":5,\"ts\":6}",
        "{\"user\":\"ann\",\"seen\":5}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(line, sizeof line, "%s", bad[i]);
        cr_assert_not_null(dump_line_read(reader, line, strlen(bad[i]), &read), "%s", bad[i]);
    }
}
