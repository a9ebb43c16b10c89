#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "auth/token_reason.h"
#include "protocol/json.h"

static struct token_reason reason;

Test(token_reason, a_value_is_shown_as_it_is)
{
    cr_assert_str_eq(token_reason_value(&reason, SPAN_LITERAL("https://issuer.example/")), "https://issuer.example/");
    cr_assert_str_eq(token_reason_value(&reason, SPAN_LITERAL("")), "");
}

Test(token_reason, what_is_no_printable_ascii_does_not_get_into_the_text)
{
    cr_assert_str_eq(token_reason_value(&reason, SPAN_LITERAL("a\nb\0c\x7f")), "a?b?c?");
    cr_assert_str_eq(token_reason_value(&reason, SPAN_LITERAL("\"J\xc3\xbcrgen\"")), "'J??rgen'");
}

Test(token_reason, a_value_is_cut_where_it_would_be_longer_than_the_bound)
{
    char text[200];
    memset(text, 'a', sizeof text);
    const char *value = token_reason_value(&reason, (struct span){text, TOKEN_REASON_VALUE_BYTES_MAX});
    cr_assert_eq(strspn(value, "a"), TOKEN_REASON_VALUE_BYTES_MAX);
    value = token_reason_value(&reason, (struct span){text, TOKEN_REASON_VALUE_BYTES_MAX + 1});
    cr_assert_eq(strlen(value), TOKEN_REASON_VALUE_BYTES_MAX);
    cr_assert_str_eq(value + TOKEN_REASON_VALUE_BYTES_MAX - 4, "a...");
}

static const char *values_of(struct json_reader *reader, char *text)
{
    const char *error;
    cr_assert(json_read_object(reader, text, strlen(text), &error), "%s", error);
    const struct json_member *member = json_find(reader, SPAN_LITERAL("a"));
    cr_assert_eq(member->kind, JSON_KIND_ARRAY);
    return token_reason_values(&reason, member->value);
}

Test(token_reason, the_strings_of_an_array_are_shown_with_commas_and_unescaped)
{
    struct json_reader *reader;
    char two[] = "{\"a\":[\"https:\\/\\/api\", \"b\\\"c\"]}", none[] = "{\"a\":[ ]}", nested[] = "{\"a\":[[\"x\"]]}";
    char long_one[200] = "{\"a\":[\"";
    cr_assert_eq(json_reader_open(&reader, 512), 0);
    cr_assert_str_eq(values_of(reader, two), "https://api, b?c");
    cr_assert_str_eq(values_of(reader, none), "");
    cr_assert_str_eq(values_of(reader, nested), "");
    memset(long_one + 7, 'a', TOKEN_REASON_VALUE_BYTES_MAX);
    strcpy(long_one + 7 + TOKEN_REASON_VALUE_BYTES_MAX, "\",\"b\"]}");
    const char *value = values_of(reader, long_one);
    cr_assert_eq(strlen(value), TOKEN_REASON_VALUE_BYTES_MAX);
    cr_assert_str_eq(value + TOKEN_REASON_VALUE_BYTES_MAX - 4, "a...");
    json_reader_close(&reader);
}

Test(token_reason, a_text_is_cut_at_its_bound)
{
    cr_assert_str_eq(token_reason_write(&reason, "the iss is %s", token_reason_value(&reason, SPAN_LITERAL("i"))),
                     "the iss is i");
    cr_assert_eq(strlen(token_reason_write(&reason, "%0300d", 1)), TOKEN_REASON_BYTES_MAX);
}
