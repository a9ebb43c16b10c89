#include "base/hash.h"

#include <string.h>

#include "base/bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static inline uint64_t rotate_left(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

static uint64_t sip_last_word(struct span bytes)
{
    uint64_t word = (uint64_t)bytes.bytes << 56;
    size_t rest = bytes.bytes & 7;
    const char *tail = bytes.data + (bytes.bytes - rest);
    for (size_t i = 0; i < rest; i++)
        word |= (uint64_t)(unsigned char)tail[i] << (8 * i);
    return word;
}

uint64_t hash_siphash13(struct hash_key key, struct span bytes)
{
    uint64_t v[4] = {key.k0 ^ 0x736f6d6570736575u, key.k1 ^ 0x646f72616e646f6du, key.k0 ^ 0x6c7967656e657261u,
                     key.k1 ^ 0x7465646279746573u};
    for (size_t i = 0; i + 8 <= bytes.bytes; i += 8) {
        uint64_t word = bytes_load_le64(bytes.data + i);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = sip_last_word(bytes);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint32_t crc32c_bitwise(uint32_t crc, const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *data, size_t bytes)
{
    uint64_t wide = crc;
    for (; bytes >= 8; bytes -= 8, data += 8)
        wide = _mm_crc32_u64(wide, bytes_load_le64(data));
    crc = (uint32_t)wide;
    for (; bytes > 0; bytes--, data++)
        crc = _mm_crc32_u8(crc, *data);
    return crc;
}
#endif

__extension__ typedef unsigned __int128 product128;

static uint64_t multiply(uint64_t x, uint64_t y)
{
    product128 product = (product128)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Up to 8 bytes, each of which decides the word. */
static uint64_t short_word(struct span bytes)
{
    if (bytes.bytes >= 4)
        return bytes_load_le32(bytes.data) | (uint64_t)bytes_load_le32(bytes.data + bytes.bytes - 4) << 32;
    uint64_t word = 0;
    for (size_t i = 0; i < bytes.bytes; i++)
        word |= (uint64_t)(uint8_t)bytes.data[i] << (8 * i);
    return word;
}

/* Two words are multiplied at a time; those at the end may overlap, so no byte is copied. */
uint64_t hash_multiply(struct hash_key key, struct span bytes)
{
    uint64_t hash = key.k0 ^ bytes.bytes;
    if (bytes.bytes < 8)
        return multiply(hash ^ short_word(bytes), key.k1 | 1);
    for (size_t at = 0; at + 16 < bytes.bytes; at += 16)
        hash = multiply(hash ^ bytes_load_le64(bytes.data + at), key.k1 ^ bytes_load_le64(bytes.data + at + 8));
    const char *end = bytes.data + bytes.bytes;
    uint64_t first = bytes_load_le64(bytes.bytes < 16 ? bytes.data : end - 16);
    return multiply(hash ^ first, key.k1 ^ bytes_load_le64(end - 8));
}

uint32_t hash_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_sse42(~crc, data, bytes);
#endif
    return ~crc32c_bitwise(~crc, data, bytes);
}
