/*
 * json_scan.h: the bytes of a JSON string that need attention, searched for eight at a time, sixteen where the machine
 * has SSE2. The reader and the writer of strings skip plain characters and stop at `"`, `\` and control characters; the
 * reader also stops at bytes beyond ASCII, to check that they are UTF-8. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_JSON_SCAN_H
#define CHITCHAT_PROTOCOL_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JSON_SCAN_BYTES 8u
#define JSON_SCAN_EACH(byte) ((byte)*UINT64_C(0x0101010101010101))
#define JSON_SCAN_TOPS JSON_SCAN_EACH(0x80)

/*
 * Marks the top bit of each byte of `word`, loaded little endian, that is `"`, `\` or below 0x20. A borrow may also
 * mark bytes above a byte that is one of these, never below: only the lowest mark is sure, and that there is none.
 */
static inline uint64_t json_scan_escapes(uint64_t word)
{
    uint64_t quote = word ^ JSON_SCAN_EACH('"');
    uint64_t backslash = word ^ JSON_SCAN_EACH('\\');
    uint64_t marks = ((quote - JSON_SCAN_EACH(1)) & ~quote) | ((backslash - JSON_SCAN_EACH(1)) & ~backslash)
                     | ((word - JSON_SCAN_EACH(0x20)) & ~word);
    return marks & JSON_SCAN_TOPS;
}

#ifdef __SSE2__
#define JSON_SCAN_WIDE_BYTES 16u
/* A bit for each byte of `wide` that is `"`, `\` or below 0x20, the first byte's lowest. Every bit is sure. */
static inline unsigned json_scan_wide_escapes(__m128i wide)
{
    __m128i quote = _mm_cmpeq_epi8(wide, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(wide, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(wide, _mm_set1_epi8(0x1f)), wide);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control));
}
#endif

/* As json_scan_escapes, and bytes of 0x80 and above. */
static inline uint64_t json_scan_stops(uint64_t word)
{
    return json_scan_escapes(word) | (word & JSON_SCAN_TOPS);
}

/* How many bytes come before the lowest mark; `marks` is not 0. */
static inline unsigned json_scan_index(uint64_t marks)
{
    return (unsigned)__builtin_ctzll(marks) / 8;
}

static inline bool json_is_escape(unsigned char byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

#endif
