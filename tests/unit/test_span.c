#include <criterion/criterion.h>

#include "base/span.h"

Test(span, lengths_do_not_count_the_end_of_the_string)
{
    cr_assert_eq(span_of("abc").bytes, 3);
    cr_assert_eq(span_of("").bytes, 0);
    cr_assert_eq(SPAN_LITERAL("abc").bytes, 3);
    cr_assert_eq(SPAN_LITERAL("a\0c").bytes, 3);
}

Test(span, equal_is_of_all_bytes_and_the_length)
{
    const char other[] = {'a', 'b', 'c'};
    cr_assert(span_equal(SPAN_LITERAL("abc"), (struct span){other, 3}));
    cr_assert_not(span_equal(SPAN_LITERAL("abc"), SPAN_LITERAL("abd")));
    cr_assert_not(span_equal(SPAN_LITERAL("abc"), SPAN_LITERAL("ab")));
    cr_assert_not(span_equal(SPAN_LITERAL("a\0b"), SPAN_LITERAL("a\0c")));
}

Test(span, an_empty_one_may_have_no_data)
{
    struct span none = {NULL, 0};
    cr_assert(span_equal(none, SPAN_LITERAL("")));
    cr_assert_not(span_equal(none, SPAN_LITERAL("a")));
    cr_assert_eq(span_compare(none, none), 0);
    cr_assert_lt(span_compare(none, SPAN_LITERAL("a")), 0);
    cr_assert_gt(span_compare(SPAN_LITERAL("a"), none), 0);
}

Test(span, compare_orders_as_memcmp_with_prefixes_first)
{
    const struct span ascending[] = {SPAN_LITERAL(""),  SPAN_LITERAL("\0"),   SPAN_LITERAL("A"),
                                     SPAN_LITERAL("a"), SPAN_LITERAL("a\0"),  SPAN_LITERAL("aa"),
                                     SPAN_LITERAL("b"), SPAN_LITERAL("\x80"), SPAN_LITERAL("\xff")};
    const size_t count = sizeof ascending / sizeof ascending[0];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            int order = span_compare(ascending[i], ascending[j]);
            cr_assert_eq((order > 0) - (order < 0), (i > j) - (i < j), "%zu %zu", i, j);
        }
}

Test(span, equal_in_any_case_compares_letters_alone)
{
    cr_assert(span_equal_any_case(SPAN_LITERAL("Example.ORG"), SPAN_LITERAL("eXAMPLE.org")));
    cr_assert(span_equal_any_case((struct span){0}, SPAN_LITERAL("")));
    cr_assert_not(span_equal_any_case(SPAN_LITERAL("example.org"), SPAN_LITERAL("example.or")));
    cr_assert_not(span_equal_any_case(SPAN_LITERAL("[a]"), SPAN_LITERAL("{a}")));
}

Test(span, trim_takes_blanks_and_tabs_from_both_ends)
{
    cr_assert(span_equal(span_trim(SPAN_LITERAL(" \t a b\t ")), SPAN_LITERAL("a b")));
    cr_assert(span_equal(span_trim(SPAN_LITERAL("a")), SPAN_LITERAL("a")));
    cr_assert_eq(span_trim(SPAN_LITERAL(" \t ")).bytes, 0);
    cr_assert_eq(span_trim((struct span){0}).bytes, 0);
}

static int sign(int order)
{
    return order < 0 ? -1 : order > 0;
}

/* Words that overlap decide as bytes would. */
Test(span, the_order_is_that_of_the_bytes_whatever_their_number)
{
    char a[40], b[40];
    for (size_t bytes = 0; bytes <= sizeof a; bytes++)
        for (size_t at = 0; at < sizeof a; at++) {
            memset(a, 'x', sizeof a);
            memset(b, 'x', sizeof b);
            b[at] = (char)0xff; /* above as an unsigned byte */
            int wanted = at < bytes ? -1 : 0;
            cr_assert_eq(sign(span_compare((struct span){a, bytes}, (struct span){b, bytes})), wanted);
            cr_assert_eq(sign(span_compare((struct span){b, bytes}, (struct span){a, bytes})), -wanted);
            if (bytes > 0)
                cr_assert_eq(sign(span_compare((struct span){a, bytes - 1}, (struct span){b, bytes})), -1);
        }
}
