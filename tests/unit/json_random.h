/*
 * json_random.h: JSON made up from a seed, most of it right, some of it not; and mutations of any text.
 */
#ifndef CHITCHAT_TESTS_UNIT_JSON_RANDOM_H
#define CHITCHAT_TESTS_UNIT_JSON_RANDOM_H

#include <stdint.h>
#include <string.h>

#define RANDOM_TEXT_BYTES 8192u

struct random_text {
    uint64_t state;
    size_t bytes;
    char data[RANDOM_TEXT_BYTES];
};

/* splitmix64 */
static inline uint64_t random_next(struct random_text *text)
{
    uint64_t z = (text->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint32_t random_below(struct random_text *text, uint32_t bound)
{
    return (uint32_t)(random_next(text) % bound);
}

static inline void random_put(struct random_text *text, const char *data, size_t bytes)
{
    if (text->bytes + bytes > RANDOM_TEXT_BYTES)
        return;
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
}

static inline void random_put_text(struct random_text *text, const char *data)
{
    random_put(text, data, strlen(data));
}

#define RANDOM_PICK(text, choices) ((choices)[random_below((text), sizeof(choices) / sizeof(choices)[0])])

static inline void random_put_blank(struct random_text *text)
{
    static const char *const blanks[] = {"", "", "", "", " ", "\t\n", "\r ", "   "};
    random_put_text(text, RANDOM_PICK(text, blanks));
}

static inline void random_put_string(struct random_text *text)
{
    static const char *const right[] = {"a",
                                        "op",
                                        "plain text of some length",
                                        "/",
                                        "\x7f",
                                        "\xc3\xa9",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x99\x82",
                                        "\xef\xbf\xbf",
                                        "\xf4\x8f\xbf\xbf",
                                        "\\\"",
                                        "\\\\",
                                        "\\/",
                                        "\\b",
                                        "\\f",
                                        "\\n",
                                        "\\r",
                                        "\\t",
                                        "\\u0041",
                                        "\\u00e9",
                                        "\\u20AC",
                                        "\\uFFFF",
                                        "\\u0001",
                                        "\\ud83d\\ude42",
                                        "\\uDBFF\\uDFFF",
                                        "\\u0000",
                                        "0123456",
                                        "01234567",
                                        "01234568"};
    static const char *const wrong[] = {"\\ud83d",
                                        "\\ude42",
                                        "\\ud83dx",
                                        "\\ud83d\\u0041",
                                        "\\ud83d\\n",
                                        "\\x",
                                        "\\u12",
                                        "\\u12g4",
                                        "\n",
                                        "\x1f",
                                        "\x80",
                                        "\xc0\x80",
                                        "\xc3",
                                        "\xe0\x80\x80",
                                        "\xed\xa0\x80",
                                        "\xf0\x80\x80\x80",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xe2\x82",
                                        "\xff",
                                        "\""};
    random_put_text(text, "\"");
    for (uint32_t pieces = random_below(text, 6); pieces > 0; pieces--)
        random_put_text(text, random_below(text, 400) == 0 ? RANDOM_PICK(text, wrong) : RANDOM_PICK(text, right));
    random_put_text(text, "\"");
}

static inline void random_put_scalar(struct random_text *text)
{
    static const char *const words[] = {"null",
                                        "true",
                                        "false",
                                        "0",
                                        "-0",
                                        "1",
                                        "-1",
                                        "10",
                                        "9007199254740991",
                                        "-9007199254740991",
                                        "9007199254740992",
                                        "9223372036854775807",
                                        "0.5",
                                        "-0.0",
                                        "1e3",
                                        "1E+3",
                                        "2.5e-7",
                                        "1.0",
                                        "1000",
                                        "1001"};
    static const char *const wrong[] = {"nul", "True", "01",   "-",   "+1",  "1.",  ".5",
                                        "1e",  "1e+",  "0x10", "NaN", "--1", "1.e1"};
    if (random_below(text, 2) == 0)
        random_put_string(text);
    else
        random_put_text(text, random_below(text, 200) == 0 ? RANDOM_PICK(text, wrong) : RANDOM_PICK(text, words));
}

static inline void random_put_value(struct random_text *text, uint32_t depth);

static inline void random_put_object(struct random_text *text, uint32_t depth)
{
    uint32_t members = random_below(text, random_below(text, 20) == 0 ? 40 : 5);
    random_put_text(text, "{");
    for (uint32_t i = 0; i < members; i++) {
        char name[8] = {'"', (char)('a' + i % 26), (char)('a' + i / 26), '"', 0};
        random_put_text(text, i == 0 ? "" : ",");
        random_put_blank(text);
        if (random_below(text, 8) == 0)
            random_put_string(text);
        else
            random_put_text(text, name);
        random_put_blank(text);
        random_put_text(text, ":");
        random_put_blank(text);
        random_put_value(text, depth + 1);
        random_put_blank(text);
    }
    random_put_text(text, "}");
}

static inline void random_put_array(struct random_text *text, uint32_t depth)
{
    random_put_text(text, "[");
    for (uint32_t i = 0, count = random_below(text, 4); i < count; i++) {
        random_put_text(text, i == 0 ? "" : " ,");
        random_put_value(text, depth + 1);
        random_put_blank(text);
    }
    random_put_text(text, "]");
}

static inline void random_put_value(struct random_text *text, uint32_t depth)
{
    uint32_t kind = depth > 18 ? 9 : random_below(text, 10);
    if (kind < 2)
        random_put_object(text, depth);
    else if (kind < 4)
        random_put_array(text, depth);
    else
        random_put_scalar(text);
}

/* Changes one thing: a byte, a piece left out, a piece twice, the end cut off. */
static inline void random_mutate(struct random_text *text)
{
    static const char bytes[] = "\"\\{}[]:,0-1e.u \x01\x80\xed\xff/";
    if (text->bytes == 0)
        return;
    size_t at = random_below(text, (uint32_t)text->bytes);
    size_t left = text->bytes - at;
    size_t piece = 1 + random_below(text, left < 8 ? (uint32_t)left : 8);
    switch (random_below(text, 5)) {
    case 0: text->data[at] = RANDOM_PICK(text, bytes); return;
    case 1: text->data[at] = (char)random_next(text); return;
    case 2:
        memmove(text->data + at, text->data + at + piece, left - piece);
        text->bytes -= piece;
        return;
    case 3:
        if (text->bytes + piece > RANDOM_TEXT_BYTES)
            return;
        memmove(text->data + at + piece, text->data + at, left);
        text->bytes += piece;
        return;
    default: text->bytes = at; return;
    }
}

#endif
