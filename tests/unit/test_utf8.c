#include "protocol/utf8.h"

#include <criterion/criterion.h>

/* Feeds in two pieces cut at `cut`. */
static bool valid_cut_at(const char *text, size_t bytes, size_t cut)
{
    struct utf8 utf8 = {0};
    return utf8_feed(&utf8, text, cut) && utf8_feed(&utf8, text + cut, bytes - cut) && utf8_is_whole(&utf8);
}

static void expect(const char *text, size_t bytes, bool wanted)
{
    cr_assert_eq(utf8_is_valid((struct span){text, bytes}), wanted);
    for (size_t cut = 0; cut <= bytes; cut++)
        cr_assert_eq(valid_cut_at(text, bytes, cut), wanted, "cut at %zu", cut);
}

#define EXPECT(text, wanted) expect(text, sizeof(text) - 1, wanted)

Test(utf8, texts_of_every_length_of_character_are_valid_however_they_are_cut)
{
    EXPECT("", true);
    EXPECT("plain", true);
    EXPECT("\x00\x7F", true);
    EXPECT("\xC2\x80\xDF\xBF", true);
    EXPECT("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF", true);
    EXPECT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", true);
    EXPECT("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z", true);
}

Test(utf8, continuation_bytes_alone_and_missing_ones_are_not)
{
    EXPECT("\x80", false);
    EXPECT("a\xBF", false);
    EXPECT("\xC3", false);
    EXPECT("\xC3z", false);
    EXPECT("\xE2\x82", false);
    EXPECT("\xE2\x82z", false);
    EXPECT("\xF0\x9F\x98", false);
    EXPECT("\xC3\xC3\xA9", false);
}

Test(utf8, longer_forms_than_needed_are_not)
{
    EXPECT("\xC0\x80", false);
    EXPECT("\xC1\xBF", false);
    EXPECT("\xE0\x80\x80", false);
    EXPECT("\xE0\x9F\xBF", false);
    EXPECT("\xF0\x80\x80\x80", false);
    EXPECT("\xF0\x8F\xBF\xBF", false);
}

Test(utf8, surrogates_and_what_is_above_the_last_character_are_not)
{
    EXPECT("\xED\xA0\x80", false);
    EXPECT("\xED\xBF\xBF", false);
    EXPECT("\xF4\x90\x80\x80", false);
    EXPECT("\xF5\x80\x80\x80", false);
    EXPECT("\xFE", false);
    EXPECT("\xFF", false);
}

Test(utf8, nonsense_is_refused_at_its_first_byte)
{
    struct utf8 utf8 = {0};
    cr_assert(utf8_feed(&utf8, "\xF4", 1));
    cr_assert_not(utf8_feed(&utf8, "\x90", 1), "no character begins so");
}

/* Every string of up to three bytes against the table of RFC 3629, section 4. */
static bool by_the_table(const unsigned char *b, size_t bytes)
{
    size_t i = 0;
    while (i < bytes) {
        size_t more = b[i] < 0x80 ? 0 : b[i] >= 0xC2 && b[i] <= 0xDF ? 1 : b[i] >= 0xE0 && b[i] <= 0xEF ? 2 : 9;
        if (more == 9 || i + more >= bytes)
            return false;
        for (size_t k = 1; k <= more; k++)
            if (b[i + k] < 0x80 || b[i + k] > 0xBF)
                return false;
        if ((b[i] == 0xE0 && b[i + 1] < 0xA0) || (b[i] == 0xED && b[i + 1] > 0x9F))
            return false;
        i += more + 1;
    }
    return true;
}

Test(utf8, every_string_of_three_bytes_is_judged_as_the_table_says)
{
    unsigned char text[3];
    for (uint32_t value = 0; value < 1u << 24; value++) {
        text[0] = (unsigned char)value;
        text[1] = (unsigned char)(value >> 8);
        text[2] = (unsigned char)(value >> 16);
        struct span span = {(const char *)text, 3};
        if (utf8_is_valid(span) != by_the_table(text, 3))
            cr_assert_fail("%02x %02x %02x", text[0], text[1], text[2]);
    }
}
