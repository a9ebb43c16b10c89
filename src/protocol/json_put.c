#include "protocol/json_put.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/json_scan.h"

/* How many bytes more than one a byte takes when written: one for `\"`, five for \u001f. */
static const uint8_t extra_bytes[256] = {
    5, 5, 5, 5, 5, 5, 5, 5, 1, 1, 1, 5, 1, 1, 5, 5,         5,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, ['"'] = 1, ['\\'] = 1,
};

#define EIGHT_DIGITS 100000000u

/* Eight digits, leading zeros included, each in a byte of its own: the value is split into fours, twos and ones, and
 * each step splits all parts at once. x * 10486 >> 20 is x / 100 below 10,000; x * 103 >> 10 is x / 10 below 100. */
static char *put_eight(char *at, uint32_t value)
{
    ASSERT(value < EIGHT_DIGITS);
    uint64_t fours = (uint64_t)(value % 10000) << 32 | value / 10000;
    uint64_t hundreds = fours * 10486 >> 20 & UINT64_C(0x7f0000007f);
    uint64_t twos = (fours - hundreds * 100) << 16 | hundreds;
    uint64_t tens = twos * 103 >> 10 & UINT64_C(0x000f000f000f000f);
    uint64_t ones = (twos - tens * 10) << 8 | tens;
    bytes_store_le64(at, ones + UINT64_C(0x3030303030303030));
    return at + 8;
}

char *json_put_unsigned(char *at, uint64_t value)
{
    if (value >= EIGHT_DIGITS)
        return put_eight(json_put_unsigned(at, value / EIGHT_DIGITS), (uint32_t)(value % EIGHT_DIGITS));
    uint32_t left = (uint32_t)value;
    if (left >= EIGHT_DIGITS / 10)
        return put_eight(at, left);
    char digits[8];
    uint32_t count = json_unsigned_bytes(left);
    put_eight(digits, left);
    return json_put_span(at, (struct span){digits + sizeof digits - count, count});
}

uint32_t json_unsigned_bytes(uint64_t value)
{
    uint32_t bytes = 1;
    for (; value >= EIGHT_DIGITS; value /= EIGHT_DIGITS)
        bytes += 8;
    for (uint32_t left = (uint32_t)value; left >= 10; left /= 10)
        bytes++;
    return bytes;
}

static char *put_escape(char *at, unsigned char byte)
{
    static const char letters[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    static const char hex[] = "0123456789abcdef";
    ASSERT(extra_bytes[byte] > 0);
    if (extra_bytes[byte] == 1) {
        at[0] = '\\';
        at[1] = letters[byte];
        return at + 2;
    }
    at = JSON_PUT(at, "\\u00");
    at[0] = hex[byte >> 4];
    at[1] = hex[byte & 15];
    return at + 2;
}

#ifdef __SSE2__
/* Writes `text` in steps of sixteen; fewer than sixteen bytes of it are left. */
static char *put_escaped_wide(char *at, struct span *text)
{
    const char *from = text->data;
    size_t left = text->bytes;
    while (left >= JSON_SCAN_WIDE_BYTES) {
        __m128i wide = _mm_loadu_si128((const void *)from);
        unsigned marks = json_scan_wide_escapes(wide);
        size_t plain = marks == 0 ? JSON_SCAN_WIDE_BYTES : (unsigned)__builtin_ctz(marks);
        /* All at once: there is room, since each byte left takes at least one. */
        _mm_storeu_si128((void *)at, wide);
        at += plain;
        from += plain;
        left -= plain;
        if (marks != 0) {
            at = put_escape(at, (unsigned char)*from++);
            left--;
        }
    }
    *text = (struct span){from, left};
    return at;
}

/* The extra bytes of `text`, in steps of sixteen; fewer than sixteen bytes of it are left. */
static size_t extra_bytes_wide(struct span *text)
{
    size_t extra = 0;
    for (; text->bytes >= JSON_SCAN_WIDE_BYTES; text->data += JSON_SCAN_WIDE_BYTES, text->bytes -= JSON_SCAN_WIDE_BYTES)
        for (unsigned marks = json_scan_wide_escapes(_mm_loadu_si128((const void *)text->data)); marks != 0;
             marks &= marks - 1)
            extra += extra_bytes[(unsigned char)text->data[__builtin_ctz(marks)]];
    return extra;
}
#else
static char *put_escaped_wide(char *at, struct span *text)
{
    (void)text;
    return at;
}

static size_t extra_bytes_wide(struct span *text)
{
    (void)text;
    return 0;
}
#endif

char *json_put_escaped(char *at, struct span text)
{
    at = put_escaped_wide(at, &text);
    const char *from = text.data;
    size_t left = text.bytes;
    while (left >= JSON_SCAN_BYTES) {
        uint64_t word = bytes_load_le64(from);
        uint64_t marks = json_scan_escapes(word);
        size_t plain = marks == 0 ? JSON_SCAN_BYTES : json_scan_index(marks);
        /* All eight at once: there is room, since each byte left takes at least one. */
        bytes_store_le64(at, word);
        at += plain;
        from += plain;
        left -= plain;
        if (marks != 0) {
            at = put_escape(at, (unsigned char)*from++);
            left--;
        }
    }
    for (; left > 0; left--, from++) {
        unsigned char byte = (unsigned char)*from;
        if (json_is_escape(byte))
            at = put_escape(at, byte);
        else
            *at++ = *from;
    }
    return at;
}

size_t json_escaped_bytes(struct span text)
{
    size_t bytes = text.bytes;
    size_t at = 0;
    bytes += extra_bytes_wide(&text);
    for (; at + JSON_SCAN_BYTES <= text.bytes; at += JSON_SCAN_BYTES) {
        if (json_scan_escapes(bytes_load_le64(text.data + at)) == 0)
            continue;
        for (size_t i = 0; i < JSON_SCAN_BYTES; i++)
            bytes += extra_bytes[(unsigned char)text.data[at + i]];
    }
    for (; at < text.bytes; at++)
        bytes += extra_bytes[(unsigned char)text.data[at]];
    return bytes;
}

struct span json_cut(struct span text, size_t bytes_max)
{
    size_t written = 0;
    size_t end = 0;
    for (; end < text.bytes; end++) {
        written += 1u + extra_bytes[(unsigned char)text.data[end]];
        if (written > bytes_max)
            break;
    }
    while (end > 0 && end < text.bytes && ((unsigned char)text.data[end] & 0xc0) == 0x80)
        end--;
    ASSERT(end <= bytes_max);
    return (struct span){text.data, end};
}
