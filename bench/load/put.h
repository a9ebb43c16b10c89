/*
 * put.h: writes pieces of text one behind the other, and masks payloads. Each function returns where the next piece
 * goes; the caller has made sure of the room. Pure.
 */
#ifndef CHITCHAT_BENCH_LOAD_PUT_H
#define CHITCHAT_BENCH_LOAD_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LOAD_PUT(at, literal) load_put((at), (literal), sizeof(literal) - 1)

static inline char *load_put(char *at, const char *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

/* In decimal, at most 20 digits. */
static inline char *load_put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[sizeof digits - ++count] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return load_put(at, digits + sizeof digits - count, count);
}

/* Masks or unmasks a payload in place, as RFC 6455 has it: `mask` holds the four bytes in the order of the frame. */
static inline void load_put_mask(char *payload, size_t bytes, uint32_t mask)
{
    char narrow[4];
    uint64_t wide = (uint64_t)mask << 32 | mask;
    size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t word;
        memcpy(&word, payload + at, 8);
        word ^= wide;
        memcpy(payload + at, &word, 8);
    }
    memcpy(narrow, &mask, 4);
    for (; at < bytes; at++)
        payload[at] = (char)(payload[at] ^ narrow[at % 4]);
}

#endif
