#include "load/text.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "load/random.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { AT_RUN = 0, AT_FROM = 4, AT_TO = 8, AT_SEQ = 12, AT_TIME = 18, AT_CHECK = 26 };

static void put(char *out, uint64_t value, uint32_t chars)
{
    while (chars > 0) {
        out[--chars] = letters[value & 63];
        value >>= 6;
    }
}

/* The value of a letter, plus 64; 0: the character is none of the letters. */
static const uint8_t digits[256] = {
    ['-'] = 126, 0,  0,   116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 0,   0,   0,   0,   0,   0,  0,
    64,          65, 66,  67,  68,  69,  70,  71,  72,  73,  74,  75,  76,  77,  78,  79,  80,  81,  82, 83,
    84,          85, 86,  87,  88,  89,  0,   0,   0,   0,   127, 0,   90,  91,  92,  93,  94,  95,  96, 97,
    98,          99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115,
};

/* *marks keeps its bit 64 as long as all characters are letters. */
static inline uint64_t get(const char *in, uint32_t chars, uint32_t *marks)
{
    uint64_t value = 0;
#pragma GCC unroll 8 /* the longest part: 4 % of a page's CPU */
    for (uint32_t i = 0; i < chars; i++) {
        uint32_t digit = digits[(unsigned char)in[i]];
        *marks &= digit;
        value = value << 6 | (digit & 63);
    }
    return value;
}

static uint64_t mix_of(const struct load_text *text)
{
    uint64_t mixed = load_random_mix((uint64_t)text->from << 32 | text->seq);
    uint64_t time = text->sent_us << 20 | text->sent_us >> 44; /* all its bits */
    return load_random_mix(mixed ^ ((uint64_t)text->run << 32 | text->to) ^ time);
}

static const char *filler_of(const struct load_filler *filler, uint64_t mixed)
{
    return filler->bytes + (mixed >> 12) % LOAD_FILLER_STARTS;
}

void load_filler_init(struct load_filler *filler)
{
    uint64_t state = 1;
    for (uint32_t i = 0; i < sizeof filler->bytes; i++)
        filler->bytes[i] = letters[load_random_next(&state) & 63];
}

void load_text_write(char *out, uint32_t bytes, const struct load_text *text, const struct load_filler *filler)
{
    ASSERT(bytes >= LOAD_TEXT_BYTES_MIN && bytes <= LOAD_TEXT_BYTES_MAX);
    uint64_t mixed = mix_of(text);
    put(out + AT_RUN, text->run, 4);
    put(out + AT_FROM, text->from, 4);
    put(out + AT_TO, text->to, 4);
    put(out + AT_SEQ, text->seq, 6);
    put(out + AT_TIME, text->sent_us, 8);
    put(out + AT_CHECK, mixed, 2);
    memcpy(out + LOAD_TEXT_BYTES_MIN, filler_of(filler, mixed), bytes - LOAD_TEXT_BYTES_MIN);
}

bool load_text_read(const char *in, uint32_t bytes, const struct load_filler *filler, struct load_text *text_r)
{
    uint32_t marks = 64;
    if (bytes < LOAD_TEXT_BYTES_MIN || bytes > LOAD_TEXT_BYTES_MAX)
        return false;
    uint64_t seq = get(in + AT_SEQ, 6, &marks);
    *text_r = (struct load_text){.run = (uint32_t)get(in + AT_RUN, 4, &marks),
                                 .from = (uint32_t)get(in + AT_FROM, 4, &marks),
                                 .to = (uint32_t)get(in + AT_TO, 4, &marks),
                                 .seq = (uint32_t)seq,
                                 .sent_us = get(in + AT_TIME, 8, &marks)};
    uint64_t check = get(in + AT_CHECK, 2, &marks);
    uint64_t mixed = mix_of(text_r);
    return marks == 64 && seq <= UINT32_MAX && (mixed & 4095) == check
           && memcmp(in + LOAD_TEXT_BYTES_MIN, filler_of(filler, mixed), bytes - LOAD_TEXT_BYTES_MIN) == 0;
}

void load_text_write_key(char *out, const struct load_text *text)
{
    put(out, text->run, 4);
    put(out + 4, text->from, 4);
    put(out + 8, text->seq, 6);
}

uint64_t load_text_hash(uint32_t from, uint32_t seq, const char *mid, uint32_t mid_bytes)
{
    uint64_t hash = (uint64_t)from << 32 | seq;
    uint32_t at = 0;
    for (; mid_bytes - at >= 8; at += 8)
        hash = load_random_mix(hash ^ bytes_load_le64(mid + at)) + at;
    uint64_t last = 0;
    for (; at < mid_bytes; at++)
        last = last << 8 | (unsigned char)mid[at];
    return load_random_mix(hash ^ last);
}
