#include "auth/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The six bits of a character; -1: it is not in the alphabet. */
static int value_of(char character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    return character == '-' ? 62 : character == '_' ? 63 : -1;
}

bool base64url_decode(struct span text, uint8_t *out, size_t room, size_t *bytes_r)
{
    size_t bytes = text.bytes / 4 * 3 + text.bytes % 4 * 6 / 8;
    uint32_t held = 0;
    int held_bits = 0;
    if (text.bytes % 4 == 1 || bytes > room)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        int value = value_of(text.data[i]);
        if (value < 0)
            return false;
        held = held << 6 | (uint32_t)value;
        held_bits += 6;
        if (held_bits >= 8) {
            held_bits -= 8;
            *out++ = (uint8_t)(held >> held_bits);
        }
    }
    *bytes_r = bytes;
    return (held & ((1u << held_bits) - 1)) == 0;
}

size_t base64url_encode(const uint8_t *data, size_t bytes, char *out)
{
    uint32_t held = 0;
    int held_bits = 0;
    char *at = out;
    for (size_t i = 0; i < bytes; i++) {
        held = held << 8 | data[i];
        held_bits += 8;
        while (held_bits >= 6) {
            held_bits -= 6;
            *at++ = alphabet[held >> held_bits & 63];
        }
    }
    if (held_bits > 0)
        *at++ = alphabet[held << (6 - held_bits) & 63];
    return (size_t)(at - out);
}
