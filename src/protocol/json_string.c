#include "protocol/json_string.h"

#include <stdint.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/json_scan.h"

#define NO_CODE UINT32_MAX

/* Bytes of the UTF-8 sequence at `at`, whose first byte is 0x80 or above; 0: not a valid one (RFC 3629). */
static unsigned utf8_bytes(const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at;
    unsigned bytes = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    if (byte[0] < 0xc2 || byte[0] > 0xf4 || (size_t)(end - at) < bytes)
        return 0;
    for (unsigned i = 1; i < bytes; i++)
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
    bool is_overlong = (byte[0] == 0xe0 && byte[1] < 0xa0) || (byte[0] == 0xf0 && byte[1] < 0x90);
    bool is_surrogate = byte[0] == 0xed && byte[1] >= 0xa0;
    bool is_beyond = byte[0] == 0xf4 && byte[1] >= 0x90;
    return is_overlong || is_surrogate || is_beyond ? 0 : bytes;
}

/* The first byte from `at` on that is not ASCII or begins no plain character; or `end`. */
static char *skip_ascii(char *at, char *end)
{
#ifdef __SSE2__
    for (; (size_t)(end - at) >= JSON_SCAN_WIDE_BYTES; at += JSON_SCAN_WIDE_BYTES) {
        __m128i wide = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned stops = json_scan_wide_escapes(wide) | (unsigned)_mm_movemask_epi8(wide);
        if (stops != 0)
            return at + __builtin_ctz(stops);
    }
#endif
    for (; (size_t)(end - at) >= JSON_SCAN_BYTES; at += JSON_SCAN_BYTES) {
        uint64_t stops = json_scan_stops(bytes_load_le64(at));
        if (stops != 0)
            return at + json_scan_index(stops);
    }
    while (at < end && (signed char)*at >= 0 && !json_is_escape((unsigned char)*at))
        at++;
    return at;
}

/* The first byte from `at` on that is not plain text, or is not UTF-8; or `end`. */
static char *skip_plain(char *at, char *end)
{
    for (;;) {
        at = skip_ascii(at, end);
        if (at == end || (signed char)*at >= 0)
            return at;
        do {
            unsigned bytes = utf8_bytes(at, end);
            if (bytes == 0)
                return at;
            at += bytes;
        } while (at < end && (signed char)*at < 0);
    }
}

static uint32_t hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return (uint32_t)(byte - '0');
    if (byte >= 'a' && byte <= 'f')
        return (uint32_t)(byte - 'a') + 10;
    if (byte >= 'A' && byte <= 'F')
        return (uint32_t)(byte - 'A') + 10;
    return NO_CODE;
}

/* Takes `\uXXXX`; NO_CODE if the bytes are something else. */
static uint32_t take_unit(char **at, const char *end)
{
    const char *from = *at;
    if (end - from < 6 || from[0] != '\\' || from[1] != 'u')
        return NO_CODE;
    uint32_t unit = 0;
    for (int i = 2; i < 6; i++) {
        uint32_t digit = hex_digit(from[i]);
        if (digit == NO_CODE)
            return NO_CODE;
        unit = unit << 4 | digit;
    }
    *at += 6;
    return unit;
}

static char *put_utf8(char *out, uint32_t code)
{
    ASSERT(code <= 0x10ffff);
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *out++ = (char)(0xe0 | code >> 12);
        } else {
            *out++ = (char)(0xf0 | code >> 18);
            *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (code & 0x3f));
    return out;
}

static const char *unescape_code(char **at, const char *end, char **out)
{
    uint32_t code = take_unit(at, end);
    if (code == NO_CODE)
        return "bad JSON: \\u must be followed by four hexadecimal digits";
    if (code >= 0xd800 && code < 0xe000) {
        uint32_t low = code < 0xdc00 ? take_unit(at, end) : NO_CODE;
        if (low < 0xdc00 || low >= 0xe000)
            return "bad JSON: a string holds a lone surrogate";
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = put_utf8(*out, code);
    return NULL;
}

/* The byte that `\` and `byte` mean; 0: none. */
static char short_escape(char byte)
{
    switch (byte) {
    case '"':
    case '\\':
    case '/': return byte;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return 0;
    }
}

/* *at is at the backslash. An escape is longer than its meaning, so *out never passes *at. */
static const char *unescape(char **at, const char *end, char **out)
{
    if (end - *at < 2)
        return "bad JSON: a string does not end";
    if ((*at)[1] == 'u')
        return unescape_code(at, end, out);
    char byte = short_escape((*at)[1]);
    if (byte == 0)
        return "bad JSON: a backslash may be followed only by one of \"\\/bfnrtu";
    *(*out)++ = byte;
    *at += 2;
    return NULL;
}

/* Why the string cannot continue at `at`. */
static const char *why_stopped(const char *at, const char *end)
{
    if (at == end)
        return "bad JSON: a string does not end";
    if ((signed char)*at < 0)
        return "bad JSON: a string is not UTF-8";
    return "bad JSON: a string holds a control character: escape it";
}

const char *json_string_read(char **at, char *end, struct span *string_r)
{
    ASSERT(*at != NULL && *at <= end);
    char *start = *at;
    char *plain = start;
    char *out = start;
    for (;;) {
        char *stop = skip_plain(plain, end);
        size_t bytes = (size_t)(stop - plain);
        if (out != plain)
            memmove(out, plain, bytes);
        out += bytes;
        if (stop == end || (*stop != '"' && *stop != '\\'))
            return why_stopped(stop, end);
        if (*stop == '"') {
            *at = stop + 1;
            *string_r = (struct span){start, (size_t)(out - start)};
            return NULL;
        }
        const char *reason = unescape(&stop, end, &out);
        if (reason != NULL)
            return reason;
        plain = stop;
    }
}
