#include <criterion/criterion.h>

#include "auth/base64url.h"

static bool decodes(const char *text, const char *bytes)
{
    uint8_t out[64];
    size_t count;
    return base64url_decode(span_of(text), out, sizeof out, &count) && count == strlen(bytes)
           && memcmp(out, bytes, count) == 0;
}

Test(base64url, the_vectors_of_rfc_4648_are_read_and_written)
{
    const char *const vectors[][2] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
                                      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[16] = "";
        cr_assert(decodes(vectors[i][1], vectors[i][0]), "%s", vectors[i][1]);
        size_t chars = base64url_encode((const uint8_t *)vectors[i][0], strlen(vectors[i][0]), text);
        cr_assert_eq(chars, BASE64URL_CHARS(strlen(vectors[i][0])));
        cr_assert_str_eq(text, vectors[i][1]);
    }
    cr_assert(decodes("-_-_", "\xfb\xff\xbf"));
}

Test(base64url, what_is_not_the_one_text_of_its_bytes_is_refused)
{
    const char *const bad[] = {"Zg==", "Zg=", "Z", "Zh", "Zm9", "Zm9vY", "Zm 9v", "Zm9v\n", "Zm+v", "Zm/v", "Zm9v."};
    uint8_t out[16];
    size_t bytes;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(base64url_decode(span_of(bad[i]), out, sizeof out, &bytes), "%s", bad[i]);
    cr_assert_not(base64url_decode((struct span){"Zm\0v", 4}, out, sizeof out, &bytes));
}

Test(base64url, no_byte_is_written_past_the_room)
{
    uint8_t out[3] = {9, 9, 9};
    size_t bytes;
    cr_assert_not(base64url_decode(span_of("Zm9v"), out, 2, &bytes));
    cr_assert(base64url_decode(span_of("Zm8"), out, 2, &bytes));
    cr_assert_eq(out[2], 9);
}
