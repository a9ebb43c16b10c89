/* What a terminal gets of received texts, and moments as people write them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "cli/show.h"
#include "cli/since.h"

static void assert_shown(const char *text, enum show_style style, const char *wanted)
{
    struct buffer out = {0};
    show_put(&out, span_of(text), style);
    show_put(&out, (struct span){"", 1}, SHOW_LINE); /* a byte 0 is no end */
    cr_assert_gt(out.bytes, 2);
    out.data[out.bytes - 2] = '\0';
    cr_expect_str_eq(out.data, wanted);
    buffer_fini(&out);
}

Test(show, control_characters_are_shown_and_not_sent)
{
    assert_shown("a\x1b[31mred\x07\x7f\x08", SHOW_LINE, "a^[[31mred^G^?^H");
    assert_shown("\xc2\x9b"
                 "2J \xc2\x80",
                 SHOW_LINE, "\\u009b2J \\u0080");
    assert_shown("\x9b"
                 "2J\xff",
                 SHOW_LINE, "\\x9b2J\\xff");
    assert_shown("a\rb", SHOW_LINES, "a^Mb");
    assert_shown("\x1b]0;title\x07", SHOW_LINES, "^[]0;title^G");
}

Test(show, lines_and_tabs)
{
    assert_shown("a\nb\tc", SHOW_LINE, "a\\nb\\tc");
    assert_shown("a\nb\tc", SHOW_LINES, "a\n" SHOW_INDENT "b    c");
    assert_shown("a\xe2\x80\xa8"
                 "b",
                 SHOW_LINES, "a\\u2028b");
}

Test(show, marks_that_reorder_are_shown_and_scripts_stay)
{
    assert_shown("\xe2\x80\xae"
                 "abc\xe2\x80\xac",
                 SHOW_LINE, "\\u202eabc\\u202c");
    assert_shown("\xe2\x81\xa6x", SHOW_LINE, "\\u2066x");
    assert_shown("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80 e\xcc\x81", SHOW_LINE,
                 "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80 e\xcc\x81");
}

Test(show, what_is_no_utf_8_becomes_ascii)
{
    assert_shown("\xc0\xaf \xed\xa0\x80 \xe2\x82", SHOW_LINE, "\\xc0\\xaf \\ud800 \\xe2\\x82");
    assert_shown("\xf8\x88\x80\x80\x80", SHOW_LINE, "\\xf8\\x88\\x80\\x80\\x80");
}

Test(since, reads_times_ago_dates_and_ts)
{
    const uint64_t now_us = UINT64_C(1700000000000000);
    uint64_t ts;
    setenv("TZ", "UTC-2", 1);
    tzset();
    cr_expect(since_parse("2h", now_us, &ts) && ts == now_us - UINT64_C(7200000000));
    cr_expect(since_parse("1763900000200001", now_us, &ts) && ts == UINT64_C(1763900000200001));
    cr_expect(since_parse("2023-11-14", now_us, &ts) && ts == UINT64_C(1699912800000000));
    cr_expect(since_parse("2023-11-14T22:13:20Z", now_us, &ts) && ts == now_us);
    cr_expect(since_parse("2023-11-15 00:13", now_us, &ts) && ts == now_us - 20000000);
    cr_expect(since_parse("36500d", now_us, &ts) && ts == 0);
    cr_expect(since_parse("2024-02-29T00:00Z", now_us, &ts) && ts == UINT64_C(1709164800000000));
    static const char *const wrong[] = {"",           "yesterday",         "12",  "2023-13-01",          "2023-11-14T",
                                        "2023-02-29", "2023-04-31T10:00Z", "-1h", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_not(since_parse(wrong[i], now_us, &ts), "%s", wrong[i]);
}
