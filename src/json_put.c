#include "json_put.h"

#include "base/bytes.h"
#include "json_scan.h"

/* What a byte is written as beyond itself: `\"` one more, \u001f five more. */
static const uint8_t extra_bytes[256] = {
    5, 5, 5, 5, 5, 5, 5, 5, 1, 1, 1, 5, 1, 1, 5, 5,         5,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, ['"'] = 1, ['\\'] = 1,
};

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                  "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";

char *json_put_unsigned(char *at, uint64_t value)
{
    char digits[JSON_UNSIGNED_BYTES_MAX];
    char *first = digits + sizeof digits;
    while (value >= 100) {
        first -= 2;
        memcpy(first, digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        first -= 2;
        memcpy(first, digit_pairs + value * 2, 2);
    } else {
        *--first = (char)('0' + value);
    }
    return json_put_span(at, (struct span){first, (size_t)(digits + sizeof digits - first)});
}

uint32_t json_unsigned_bytes(uint64_t value)
{
    uint32_t bytes = 1;
    for (; value >= 10; value /= 10)
        bytes++;
    return bytes;
}

static char *put_escape(char *at, unsigned char byte)
{
    static const char letters[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    static const char hex[] = "0123456789abcdef";
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

char *json_put_escaped(char *at, struct span text)
{
    const char *from = text.data;
    size_t left = text.bytes;
    while (left >= JSON_SCAN_BYTES) {
        uint64_t word = bytes_load_le64(from);
        uint64_t marks = json_scan_escapes(word);
        size_t plain = marks == 0 ? JSON_SCAN_BYTES : json_scan_index(marks);
        /* All eight at once: there is room, since each byte left will be written as one at least. */
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
    return (struct span){text.data, end};
}
