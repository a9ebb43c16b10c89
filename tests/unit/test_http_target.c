#include "protocol/http_target.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* The path and the pairs, as "PATH|NAME=VALUE|...", or what is wrong. */
static const char *read_target(const char *text)
{
    static char copy[1024], out[1024];
    struct http_target target;
    strcpy(copy, text);
    const char *wrong = http_target_read(copy, strlen(copy), &target);
    if (wrong != NULL)
        return wrong;
    int used = snprintf(out, sizeof out, "%.*s", (int)target.path.bytes, target.path.data);
    for (uint32_t i = 0; i < target.query_count; i++)
        used += snprintf(out + used, sizeof out - (size_t)used, "|%.*s=%.*s", (int)target.queries[i].name.bytes,
                         target.queries[i].name.data, (int)target.queries[i].value.bytes, target.queries[i].value.data);
    return out;
}

Test(http_target, a_target_has_a_path_and_pairs)
{
    cr_expect_str_eq(read_target("/a/b"), "/a/b");
    cr_expect_str_eq(read_target("/a?x=1&y=2"), "/a|x=1|y=2");
    cr_expect_str_eq(read_target("/a?x&y=&=z&&"), "/a|x=|y=|=z");
    cr_expect_str_eq(read_target("/a?x=1=2?3"), "/a|x=1=2?3");
    cr_expect_str_eq(read_target("http://h:1/a?x=1"), "/a|x=1");
    cr_expect_str_eq(read_target("https://h"), "/");
    cr_expect_str_eq(read_target("*"), "*");
}

Test(http_target, the_query_is_decoded_and_the_path_is_not)
{
    cr_expect_str_eq(read_target("/a%2Fb?x%3d=%41+%2B%26"), "/a%2Fb|x==A +&");
    cr_expect(strstr(read_target("/a?x=%4"), "hexadecimal") != NULL);
    cr_expect(strstr(read_target("/a?x=%"), "hexadecimal") != NULL);
    cr_expect(strstr(read_target("/a?x=%4g"), "hexadecimal") != NULL);
    cr_expect(strstr(read_target("/a?%zz=1"), "hexadecimal") != NULL);
    cr_expect(strstr(read_target("/a#b"), "fragment") != NULL);
}

Test(http_target, there_are_at_most_16_pairs)
{
    cr_expect_str_eq(read_target("/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16"),
                     "/|1=|2=|3=|4=|5=|6=|7=|8=|9=|10=|11=|12=|13=|14=|15=|16=");
    cr_expect(strstr(read_target("/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17"), "16 at most") != NULL);
}

Test(http_target, decoding_takes_every_byte)
{
    char out[16];
    size_t bytes;
    cr_expect(http_percent_decode(SPAN_LITERAL("%00%ff+"), false, out, &bytes));
    cr_expect_eq(bytes, 3);
    cr_expect_arr_eq(out, "\x00\xff+", 3);
    cr_expect(!http_percent_decode(SPAN_LITERAL("a%"), false, out, &bytes));
}
