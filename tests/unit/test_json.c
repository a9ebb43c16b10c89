#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "json_oracle.h"
#include "json_random.h"
#include "protocol/json.h"

#define BYTES_MAX 131072u

static struct json_reader *reader;
static char *copy; /* exactly as long as the text, so that a sanitizer sees each byte read beyond */
static const char *reason;

static void open_reader(void)
{
    cr_assert_eq(json_reader_open(&reader, BYTES_MAX), 0);
}

static void close_reader(void)
{
    free(copy);
    copy = NULL;
    json_reader_close(&reader);
    cr_assert_null(reader);
}

TestSuite(json, .init = open_reader, .fini = close_reader);

static bool read_bytes(const char *data, size_t bytes)
{
    free(copy);
    copy = malloc(bytes);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    reason = NULL;
    return json_read_object(reader, copy, bytes, &reason);
}

static bool read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void assert_read(const char *text)
{
    cr_assert(read_text(text), "%s: %s", text, reason);
}

static void assert_refused(const char *text, const char *said)
{
    cr_assert_not(read_text(text), "%s", text);
    cr_assert_not_null(strstr(reason, said), "%s: %s", text, reason);
    cr_assert_null(json_find(reader, SPAN_LITERAL("a")), "nothing is kept of what is refused");
}

static void assert_string(const char *text, const char *data, size_t bytes)
{
    assert_read(text);
    const struct json_member *member = json_find(reader, SPAN_LITERAL("a"));
    cr_assert_not_null(member);
    cr_assert_eq(member->kind, JSON_KIND_STRING);
    cr_assert(span_equal(member->value, (struct span){data, bytes}), "%s", text);
}

Test(json, every_kind_of_value_is_distinguished)
{
    static const struct {
        const char *name;
        enum json_kind kind;
        const char *value;
    } expected[] = {
        {"n", JSON_KIND_NULL, ""},
        {"t", JSON_KIND_TRUE, ""},
        {"f", JSON_KIND_FALSE, ""},
        {"i", JSON_KIND_NUMBER, "-12"},
        {"r", JSON_KIND_NUMBER, "1.5e+7"},
        {"s", JSON_KIND_STRING, "x"},
        {"a", JSON_KIND_ARRAY, "[1,{\"q\":2}]"},
        {"o", JSON_KIND_OBJECT, ""},
    };
    assert_read(" {\"n\":null,\"t\":true , "
                "\"f\":false,\"i\":-12,\"r\":1.5e+7,\"s\":\"x\",\"a\":[1,{\"q\":2}],\"o\":{\"p\":3}} ");
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const struct json_member *member = json_find(reader, span_of(expected[i].name));
        cr_assert_not_null(member, "%s", expected[i].name);
        cr_assert_eq(member->kind, expected[i].kind, "%s", expected[i].name);
        cr_assert(span_equal(member->value, span_of(expected[i].value)), "%s", expected[i].name);
    }
    cr_assert_null(json_find(reader, SPAN_LITERAL("p")), "members of inner objects are passed over");
    cr_assert_null(json_find(reader, SPAN_LITERAL("q")));
}

Test(json, an_empty_object_has_no_members)
{
    assert_read("{}");
    assert_read("\t\r\n {\n} \r\n");
    cr_assert_null(json_find(reader, SPAN_LITERAL("")));
    assert_read("{\"\":1}");
    cr_assert_not_null(json_find(reader, SPAN_LITERAL("")));
}

Test(json, what_is_no_object_is_refused)
{
    assert_refused("", "one JSON object");
    assert_refused("   ", "one JSON object");
    assert_refused("[]", "one JSON object");
    assert_refused("\"a\"", "one JSON object");
    assert_refused("null", "one JSON object");
    assert_refused("7", "one JSON object");
    assert_refused("\xef\xbb\xbf{}", "one JSON object");
    cr_assert_not(read_bytes("\0{}", 3));
}

Test(json, what_stands_after_the_object_is_refused)
{
    assert_refused("{} x", "after the object");
    assert_refused("{\"a\":1}{}", "after the object");
    assert_refused("{\"a\":1},", "after the object");
    cr_assert_not(read_bytes("{}\0", 3), "U+0000 is no blank");
}

Test(json, broken_grammar_is_refused)
{
    assert_refused("{", "its key");
    assert_refused("{\"a\"", "colon");
    assert_refused("{\"a\" 1}", "colon");
    assert_refused("{\"a\":", "neither");
    assert_refused("{\"a\":}", "neither");
    assert_refused("{\"a\":1", "comma or a closing brace");
    assert_refused("{\"a\":1 \"b\":2}", "comma or a closing brace");
    assert_refused("{\"a\":1,}", "its key");
    assert_refused("{,\"a\":1}", "its key");
    assert_refused("{a:1}", "its key");
    assert_refused("{'a':1}", "its key");
    assert_refused("{\"a\":[}", "neither");
    assert_refused("{\"a\":[1}", "comma or a closing bracket");
    assert_refused("{\"a\":[1,]}", "neither");
    assert_refused("{\"a\":[1 2]}", "comma or a closing bracket");
    assert_refused("{\"a\":tru}", "neither");
    assert_refused("{\"a\":nulL}", "neither");
    assert_refused("{\"a\":fals", "neither");
    assert_refused("{\"a\":truee}", "comma or a closing brace");
    assert_refused("{\"a\":1/*x*/}", "comma or a closing brace");
    assert_refused("{\"a\":\x0b"
                   "1}",
                   "neither");
}

Test(json, numbers_are_written_as_the_rfc_says)
{
    static const char *const right[] = {"0",    "-0",    "7",        "-7",       "10",
                                        "1.5",  "-0.25", "1e1",      "1E1",      "1e+1",
                                        "1e-1", "0e0",   "1.25E-10", "1e999999", "123456789012345678901234567890"};
    static const char *const wrong[] = {"-",    "+1",  "01",  "-01", "00", ".5",    "1.", "1.e1",     "1e", "1e+",
                                        "1ee1", "0x1", "1_0", "--1", "1a", "1.5.5", "-a", "Infinity", "NaN"};
    char text[64];
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"a\":%s}", right[i]);
        assert_read(text);
        cr_assert(span_equal(json_find(reader, SPAN_LITERAL("a"))->value, span_of(right[i])), "as written: %s",
                  right[i]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"a\":%s}", wrong[i]);
        cr_assert_not(read_text(text), "%s", text);
    }
}

Test(json, an_integer_has_no_fraction_and_no_exponent_and_is_below_2_to_the_53)
{
    static const struct {
        const char *text;
        bool is_integer;
        int64_t value;
    } cases[] = {
        {"{\"a\":0}", true, 0},
        {"{\"a\":-0}", true, 0},
        {"{\"a\":1763900000200001}", true, 1763900000200001},
        {"{\"a\":9007199254740991}", true, 9007199254740991},
        {"{\"a\":-9007199254740991}", true, -9007199254740991},
        {"{\"a\":9007199254740992}", false, 0},
        {"{\"a\":-9007199254740992}", false, 0},
        {"{\"a\":9999999999999999}", false, 0},
        {"{\"a\":18446744073709551617}", false, 0},
        {"{\"a\":1.0}", false, 0},
        {"{\"a\":1e0}", false, 0},
        {"{\"a\":1E2}", false, 0},
        {"{\"a\":\"1\"}", false, 0},
        {"{\"a\":null}", false, 0},
        {"{\"a\":true}", false, 0},
        {"{\"a\":[1]}", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 77;
        assert_read(cases[i].text);
        cr_assert_eq(json_member_integer(json_find(reader, SPAN_LITERAL("a")), &value), cases[i].is_integer, "%s",
                     cases[i].text);
        cr_assert_eq(value, cases[i].is_integer ? cases[i].value : 77, "%s", cases[i].text);
    }
}

Test(json, strings_are_unescaped)
{
    assert_string("{\"a\":\"\"}", "", 0);
    assert_string("{\"a\":\"plain, and longer than eight bytes\"}", "plain, and longer than eight bytes", 34);
    assert_string("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t", 8);
    assert_string("{\"a\":\"x\\u0041\\u00e9\\u20AC\\ud83d\\ude42y\"}", "xA\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82y", 12);
    assert_string("{\"a\":\"\\u0000\"}", "\0", 1);
    assert_string("{\"a\":\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"}", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf",
                  11);
    assert_string("{\"a\":\"\\uD800\\uDC00\\uDBFF\\uDFFF\"}", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8);
    assert_string("{\"\\u0061\":\"a key has escapes too\"}", "a key has escapes too", 21);
}

Test(json, an_escape_is_found_at_every_offset)
{
    char text[64], expected[64];
    for (int before = 0; before < 20; before++) {
        for (int after = 0; after < 20; after++) {
            int bytes = snprintf(expected, sizeof expected, "%.*s\n%.*s", before, "aaaaaaaaaaaaaaaaaaaa", after,
                                 "zzzzzzzzzzzzzzzzzzzz");
            (void)snprintf(text, sizeof text, "{\"a\":\"%.*s\\n%.*s\"}", before, "aaaaaaaaaaaaaaaaaaaa", after,
                           "zzzzzzzzzzzzzzzzzzzz");
            assert_string(text, expected, (size_t)bytes);
        }
    }
}

Test(json, broken_strings_are_refused)
{
    assert_refused("{\"a\":\"", "does not end");
    assert_refused("{\"a\":\"x", "does not end");
    assert_refused("{\"a\":\"x\\", "does not end");
    assert_refused("{\"a\":\"x\\\"}", "does not end");
    assert_refused("{\"a", "does not end");
    assert_refused("{\"a\":\"\\x\"}", "backslash");
    assert_refused("{\"a\":\"\\'\"}", "backslash");
    assert_refused("{\"a\":\"\\U0041\"}", "backslash");
    assert_refused("{\"a\":\"\\u\"}", "hexadecimal");
    assert_refused("{\"a\":\"\\u004\"}", "hexadecimal");
    assert_refused("{\"a\":\"\\u00g1\"}", "hexadecimal");
    assert_refused("{\"a\":\"\\u00", "hexadecimal");
}

Test(json, raw_control_characters_are_refused_at_every_offset)
{
    for (char control = 0; control < 0x20; control++) {
        for (size_t at = 6; at < 26; at++) {
            char text[] = "{\"a\":\"01234567890123456789\"}";
            text[at] = control;
            cr_assert_not(read_bytes(text, sizeof text - 1), "%d at %zu", control, at);
            cr_assert_not_null(strstr(reason, "control character"), "%s", reason);
        }
    }
    assert_string("{\"a\":\"\x7f\"}", "\x7f", 1);
}

Test(json, lone_surrogates_are_refused)
{
    static const char *const texts[] = {"\\ud800",        "\\udbff",        "\\udc00",        "\\udfff",
                                        "\\ud800x",       "\\ud800\\u0041", "\\ud800\\ud800", "\\udc00\\ud800",
                                        "\\ud800\\ue000", "\\ud800\\",      "\\ud800\\udc0",  "\\ud800\\n"};
    char text[64];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"a\":\"%s\"}", texts[i]);
        assert_refused(text, "lone surrogate");
        (void)snprintf(text, sizeof text, "{\"%s\":1}", texts[i]);
        assert_refused(text, "lone surrogate");
    }
}

Test(json, bytes_that_are_no_utf8_are_refused_at_every_offset)
{
    static const char *const wrong[] = {"\x80",
                                        "\xbf",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xc2",
                                        "\xc2x",
                                        "\xe0\x9f\xbf",
                                        "\xe0\xa0",
                                        "\xed\xa0\x80",
                                        "\xed\xbf\xbf",
                                        "\xef\xbf",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf0\x90\x80",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xfe",
                                        "\xff",
                                        "\xe2\x28\xa1"};
    static const char *const right[] = {"\xc2\x80",     "\xdf\xbf",     "\xe0\xa0\x80",     "\xed\x9f\xbf",
                                        "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    char text[64];
    for (int before = 0; before < 12; before++) {
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            (void)snprintf(text, sizeof text, "{\"a\":\"%.*s%s\"}", before, "aaaaaaaaaaaa", wrong[i]);
            assert_refused(text, "not UTF-8");
        }
        for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
            (void)snprintf(text, sizeof text, "{\"a\":\"%.*s%s\"}", before, "aaaaaaaaaaaa", right[i]);
            assert_string(text, text + 6, (size_t)before + strlen(right[i]));
        }
    }
}

/* Objects and arrays by turns, `depth` of them, the outer object counted. */
static bool read_nested(int depth, bool with_objects)
{
    struct random_text text = {.bytes = 0};
    for (int i = 1; i < depth; i++)
        random_put_text(&text, i == 1 || with_objects ? "{\"a\":" : "[");
    random_put_text(&text, depth == 1 || with_objects ? "{}" : "[]");
    for (int i = depth - 1; i >= 1; i--)
        random_put_text(&text, i == 1 || with_objects ? "}" : "]");
    return read_bytes(text.data, text.bytes);
}

Test(json, sixteen_levels_are_read_and_seventeen_refused)
{
    for (int depth = 1; depth <= 16; depth++) {
        cr_assert(read_nested(depth, true), "%d: %s", depth, reason);
        cr_assert(read_nested(depth, false), "%d: %s", depth, reason);
    }
    for (int depth = 17; depth < 300; depth++) {
        cr_assert_not(read_nested(depth, true), "%d", depth);
        cr_assert_not_null(strstr(reason, "deeper than 16"), "%s", reason);
        cr_assert_not(read_nested(depth, false), "%d", depth);
        cr_assert_not_null(strstr(reason, "deeper than 16"), "%s", reason);
    }
    assert_read("{\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]],\"b\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}");
}

Test(json, a_repeated_key_is_refused_in_any_object)
{
    assert_refused("{\"a\":1,\"a\":1}", "repeated");
    assert_refused("{\"a\":1,\"b\":2,\"\\u0061\":3}", "repeated");
    assert_refused("{\"\":1,\"\":2}", "repeated");
    assert_refused("{\"a\\u0000b\":1,\"a\\u0000b\":2}", "repeated");
    assert_refused("{\"b\":{\"a\":1,\"a\":2}}", "repeated");
    assert_refused("{\"b\":[0,{\"c\":{\"a\":1,\"x\":{},\"a\":2}}]}", "repeated");
    assert_refused("{\"a\":{\"x\":1},\"b\":2,\"a\":{}}", "repeated");
    assert_read("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}],\"A\":1,\"aa\":1,\"a\\u0000\":1}");
}

/* {"k0":0,"k1":0,…} of `count`, with the key of `twice` once more at the end; alone, or in an inner object. */
static bool read_many_keys(uint32_t count, uint32_t twice, bool is_inner)
{
    char *text = malloc(count * 16 + 64);
    size_t bytes = (size_t)sprintf(text, is_inner ? "{\"x\":[{" : "{");
    for (uint32_t i = 0; i < count; i++)
        bytes += (size_t)sprintf(text + bytes, "%s\"k%u\":0", i == 0 ? "" : ",", i);
    if (twice < count)
        bytes += (size_t)sprintf(text + bytes, ",\"k%u\":0", twice);
    bytes += (size_t)sprintf(text + bytes, is_inner ? "}],\"k0\":0}" : "}");
    bool is_read = read_bytes(text, bytes);
    free(text);
    return is_read;
}

Test(json, repeated_keys_are_found_in_objects_of_every_size)
{
    for (uint32_t count = 1; count < 200; count++) {
        cr_assert(read_many_keys(count, UINT32_MAX, false), "%u: %s", count, reason);
        cr_assert(read_many_keys(count, UINT32_MAX, true), "%u: %s", count, reason);
        for (uint32_t twice = 0; twice < count; twice += 1 + count / 7) {
            cr_assert_not(read_many_keys(count, twice, false), "%u twice in %u", twice, count);
            cr_assert_not(read_many_keys(count, twice, true), "%u twice in %u", twice, count);
        }
    }
    cr_assert(read_many_keys(11000, UINT32_MAX, false), "%s", reason);
    cr_assert_not(read_many_keys(11000, 10999, false));
    cr_assert_not(read_many_keys(11000, 0, true));
}

Test(json, as_many_members_as_fit_have_room)
{
    /* One-byte keys would repeat; what repeats is read too, and refused at its end. */
    char *text = malloc(BYTES_MAX);
    memcpy(text, "{", 1);
    for (uint32_t at = 1; at + 5 <= BYTES_MAX; at += 5)
        memcpy(text + at, "\"\":0,", 5);
    uint32_t used = 1 + (BYTES_MAX - 1) / 5 * 5;
    text[used - 1] = '}';
    cr_assert_not(read_bytes(text, used));
    cr_assert_not_null(strstr(reason, "repeated"), "%s", reason);
    for (uint32_t at = 0; at + 4 <= BYTES_MAX; at += 4)
        memcpy(text + at, "{\"\":", 4);
    cr_assert_not(read_bytes(text, BYTES_MAX));
    cr_assert_not_null(strstr(reason, "deeper"), "%s", reason);
    free(text);
}

static void compare_member(const struct json_member *member, json_t *value)
{
    int64_t integer;
    cr_assert_not_null(member);
    switch (json_typeof(value)) {
    case JSON_OBJECT: cr_assert_eq(member->kind, JSON_KIND_OBJECT); return;
    case JSON_ARRAY: cr_assert_eq(member->kind, JSON_KIND_ARRAY); return;
    case JSON_TRUE: cr_assert_eq(member->kind, JSON_KIND_TRUE); return;
    case JSON_FALSE: cr_assert_eq(member->kind, JSON_KIND_FALSE); return;
    case JSON_NULL: cr_assert_eq(member->kind, JSON_KIND_NULL); return;
    case JSON_REAL: cr_assert_eq(member->kind, JSON_KIND_NUMBER); return;
    case JSON_STRING:
        cr_assert_eq(member->kind, JSON_KIND_STRING);
        cr_assert(span_equal(member->value, (struct span){json_string_value(value), json_string_length(value)}));
        return;
    case JSON_INTEGER:
        cr_assert_eq(member->kind, JSON_KIND_NUMBER);
        if (json_member_integer(member, &integer))
            cr_assert_eq(integer, json_integer_value(value));
    }
}

/* Both read the same text: ours in place, from a copy. Returns whether the two could be compared. */
static bool compare(const char *data, size_t bytes)
{
    json_t *object = NULL, *value;
    const char *name;
    enum oracle oracle = oracle_read(data, bytes, &object);
    bool is_read = read_bytes(data, bytes);
    if (oracle == ORACLE_CANNOT_SAY)
        return false;
    cr_assert_eq(is_read, oracle == ORACLE_ACCEPTS, "%.*s: %s", (int)bytes, data, is_read ? "read" : reason);
    if (oracle == ORACLE_ACCEPTS) {
        json_object_foreach(object, name, value) compare_member(json_find(reader, span_of(name)), value);
        json_decref(object);
    }
    return true;
}

Test(json, random_texts_right_and_wrong_are_read_as_jansson_reads_them)
{
    struct random_text *text = calloc(1, sizeof *text);
    uint32_t compared = 0, right = 0;
    text->state = 20261124;
    for (uint32_t i = 0; i < 20000; i++) {
        text->bytes = 0;
        random_put_blank(text);
        random_put_object(text, 1);
        random_put_blank(text);
        compared += compare(text->data, text->bytes);
        right += reason == NULL;
        for (uint32_t k = 0; k < 3; k++) {
            random_mutate(text);
            compared += compare(text->data, text->bytes);
        }
    }
    cr_assert_gt(compared, 60000);
    cr_assert_gt(right, 5000, "%u of 20,000 were right", right);
    free(text);
}
