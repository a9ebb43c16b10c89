/* test_frame.c: what the simulator's reader of plain frames accepts, jansson reads in the same way. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/json_random.h"
#include "frame.h"

static struct frame_reader reader;

static void open_reader(void)
{
    frame_reader_open(&reader);
}

static void close_reader(void)
{
    frame_reader_close(&reader);
}

TestSuite(frame, .init = open_reader, .fini = close_reader);

/* Whether the text is plain. Its copy is exactly as long as the text, so that a sanitizer sees each byte read beyond.
 */
static bool compare(const char *data, size_t bytes)
{
    json_error_t error;
    struct value *value;
    char *copy = malloc(bytes + 1);
    cr_assert_not_null(copy);
    memcpy(copy, data, bytes);
    bool is_plain = frame_read_plain(&reader, copy, bytes, &value);
    if (is_plain) {
        json_t *json = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
        cr_assert_not_null(json, "%.*s: %s", (int)bytes, data, error.text);
        cr_assert(frame_is_same(value, json), "%.*s", (int)bytes, data);
        json_decref(json);
    }
    free(copy);
    return is_plain;
}

static bool is_plain(const char *text)
{
    return compare(text, strlen(text));
}

Test(frame, a_message_and_a_page_are_plain)
{
    cr_assert(is_plain(
        "{\"op\":\"msg\",\"ts\":1800000000000000,\"prev\":0,\"mid\":\"a-b_\",\"text\":\"<s1>..\",\"key\":\"k1\"}"));
    cr_assert(is_plain("{\"op\":\"history\",\"id\":3,\"messages\":[{\"ts\":1},{\"ts\":2}],\"more\":true,\"next\":2}"));
    cr_assert(is_plain("{\"messages\":[],\"more\":false,\"none\":null}"));
}

Test(frame, what_is_not_json_is_not_plain)
{
    static const char *const texts[] = {"",         "{",         "{}}",   "{\"a\"}",    "{\"a\":}",    "{\"a\":1,}",
                                        "[1,]",     "[1 2]",     "{a:1}", "{\"a\":01}", "{\"a\":tru}", "{\"a\":\"b}",
                                        "[\"\n\"]", "{\"a\":1]", "[1}",   "[1}]",       "[\"\x80\"]",  "{\"a\":truex}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_not(is_plain(texts[i]), "%s", texts[i]);
    cr_assert_not(is_plain("{\"a\":1,\"b\":2,\"a\":1}"), "a name twice");
}

Test(frame, what_only_jansson_reads_is_not_plain)
{
    static const char *const texts[] = {"{\"a\": 1}", "[-1]",          "[1.0]", "[1e3]", "[1234567890123456789]",
                                        "[\"\\n\"]",  "[\"\xc3\xa9\"]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_not(is_plain(texts[i]), "%s", texts[i]);
}

Test(frame, members_are_found_by_name)
{
    char text[] = "{\"op\":\"ok\",\"id\":7,\"dup\":true}";
    struct value *value;
    cr_assert(frame_read_plain(&reader, text, strlen(text), &value));
    cr_assert_str_eq(value_text(value, "op"), "ok");
    cr_assert_eq(value_number(value, "id"), 7);
    cr_assert(value_is_true(value, "dup"));
    cr_assert_not(value_is_true(value, "id"));
    cr_assert_null(value_get(value, "i"));
    cr_assert_str_eq(value_text(value, "id"), "");
}

static void take_blanks_out(struct random_text *text)
{
    size_t kept = 0;
    for (size_t i = 0; i < text->bytes; i++)
        if (strchr(" \t\r\n", text->data[i]) == NULL)
            text->data[kept++] = text->data[i];
    text->bytes = kept;
}

Test(frame, random_texts_right_and_wrong_are_read_as_jansson_reads_them)
{
    static struct random_text text;
    uint32_t plain = 0, mutated = 0;
    for (uint32_t seed = 1; seed <= 10000; seed++) {
        text = (struct random_text){.state = seed};
        random_put_object(&text, 1);
        take_blanks_out(&text);
        plain += compare(text.data, text.bytes);
        random_mutate(&text);
        mutated += compare(text.data, text.bytes);
    }
    cr_assert_gt(plain, 2000);
    cr_assert_gt(mutated, 50);
}
