#include "cli/show.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"

static void put_bytes(struct buffer *out, const char *data, size_t bytes)
{
    buffer_grow(out, (uint32_t)bytes);
    if (bytes > 0)
        memcpy(out->data + out->bytes, data, bytes);
    out->bytes += (uint32_t)bytes;
}

void show_put_raw(struct buffer *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

/* Reads one character of UTF-8; returns its bytes, or 0 if there is none. The caller checks for nothing else. */
static size_t read_character(struct span text, uint32_t *character_r)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    ASSERT(text.bytes > 0);
    unsigned char first = (unsigned char)text.data[0];
    size_t bytes = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
    uint32_t character = bytes == 1 ? first : bytes == 2 ? first & 0x1fu : bytes == 3 ? first & 0x0fu : first & 0x07u;
    if (bytes == 0 || bytes > text.bytes || first > 0xf7)
        return 0;
    for (size_t i = 1; i < bytes; i++) {
        unsigned char next = (unsigned char)text.data[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (next & 0x3fu);
    }
    *character_r = character;
    return character < least[bytes] || character > 0x10ffff ? 0 : bytes;
}

/* What ends a line, hides text or reorders it. */
static bool is_dangerous(uint32_t character)
{
    return (character >= 0x80 && character <= 0x9f) || (character >= 0x202a && character <= 0x202e)
           || (character >= 0x2066 && character <= 0x2069) || character == 0x2028 || character == 0x2029
           || (character >= 0xd800 && character <= 0xdfff);
}

static void put_control(struct buffer *out, unsigned char control, enum show_style style)
{
    const char caret[3] = {'^', (char)(control ^ 0x40), '\0'};
    if (control == '\n')
        show_put_raw(out, style == SHOW_LINE ? "\\n" : "\n" SHOW_INDENT);
    else if (control == '\t')
        show_put_raw(out, style == SHOW_LINE ? "\\t" : "    ");
    else
        show_put_raw(out, caret);
}

void show_put(struct buffer *out, struct span text, enum show_style style)
{
    while (text.bytes > 0) {
        char escape[12];
        uint32_t character = 0;
        size_t bytes = read_character(text, &character);
        if (bytes == 0) {
            (void)snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)text.data[0]);
            show_put_raw(out, escape);
            bytes = 1;
        } else if (character < 0x20 || character == 0x7f) {
            put_control(out, (unsigned char)character, style);
        } else if (is_dangerous(character)) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", character);
            show_put_raw(out, escape);
        } else {
            put_bytes(out, text.data, bytes);
        }
        text = (struct span){text.data + bytes, text.bytes - bytes};
    }
}

void show_put_time(struct buffer *out, uint64_t ts, const char *format)
{
    char text[64];
    struct tm local;
    time_t seconds = (time_t)(ts / 1000000);
    if (localtime_r(&seconds, &local) == NULL || strftime(text, sizeof text, format, &local) == 0)
        strcpy(text, "?");
    show_put_raw(out, text);
}
