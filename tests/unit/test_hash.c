#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* -- SipHash-c-d written once more, straight from the paper, as the oracle -- */

static uint64_t rotl(uint64_t x, unsigned b)
{
    return x << b | x >> (64 - b);
}

static uint64_t siphash(unsigned c, unsigned d, struct hash_key key, const uint8_t *data, size_t bytes)
{
    uint64_t v0 = key.k0 ^ UINT64_C(0x736f6d6570736575);
    uint64_t v1 = key.k1 ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = key.k0 ^ UINT64_C(0x6c7967656e657261);
    uint64_t v3 = key.k1 ^ UINT64_C(0x7465646279746573);
    for (size_t word = 0; word <= bytes / 8 + d; word++) {
        bool is_final = word > bytes / 8;
        uint64_t m = 0;
        for (unsigned i = 0; i < 8 && !is_final; i++)
            if (word * 8 + i < bytes)
                m |= (uint64_t)data[word * 8 + i] << (8 * i);
        if (word == bytes / 8)
            m |= (uint64_t)(bytes & 0xff) << 56;
        if (word == bytes / 8 + 1)
            v2 ^= 0xff;
        v3 ^= m;
        for (unsigned round = 0; round < (is_final ? 1 : c); round++) {
            v0 += v1;
            v2 += v3;
            v1 = rotl(v1, 13);
            v3 = rotl(v3, 16);
            v1 ^= v0;
            v3 ^= v2;
            v0 = rotl(v0, 32);
            v2 += v1;
            v0 += v3;
            v1 = rotl(v1, 17);
            v3 = rotl(v3, 21);
            v1 ^= v2;
            v3 ^= v0;
            v2 = rotl(v2, 32);
        }
        v0 ^= m;
    }
    return v0 ^ v1 ^ v2 ^ v3;
}

/* The oracle itself against the vector printed in the paper (appendix A): SipHash-2-4, key 00…0f, data 00…0e. */
Test(hash, the_oracle_gives_the_papers_vector)
{
    const struct hash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t data[15];
    for (uint8_t i = 0; i < 15; i++)
        data[i] = i;
    cr_assert_eq(siphash(2, 4, key, data, 15), UINT64_C(0xa129ca6149be45e5));
}

Test(hash, siphash13_is_as_the_oracle_at_every_length_and_alignment)
{
    const struct hash_key keys[] = {{0, 0},
                                    {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)},
                                    {UINT64_MAX, UINT64_C(0x123456789abcdef)}};
    uint8_t data[320];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 167 + 13);
    for (size_t k = 0; k < 3; k++)
        for (size_t from = 0; from < 8; from++)
            for (size_t bytes = 0; bytes <= 300; bytes++) {
                struct span span = {(const char *)data + from, bytes};
                cr_assert_eq(hash_siphash13(keys[k], span), siphash(1, 3, keys[k], data + from, bytes), "%zu %zu", from,
                             bytes);
            }
}

/* Reads to the very end of a block: an over-read is seen by AddressSanitizer. */
Test(hash, neither_reads_past_its_bytes)
{
    for (size_t bytes = 1; bytes <= 40; bytes++) {
        char *data = malloc(bytes);
        memset(data, 'x', bytes);
        uint64_t one = hash_siphash13((struct hash_key){1, 2}, (struct span){data, bytes});
        uint32_t two = hash_crc32c(0, data, bytes);
        cr_assert(one != 0 && two != 0);
        free(data);
    }
}

Test(hash, another_key_or_one_bit_gives_another_hash)
{
    struct hash_key key = {1, 2};
    uint64_t first = hash_siphash13(key, SPAN_LITERAL("alice"));
    cr_assert_neq(first, hash_siphash13((struct hash_key){1, 3}, SPAN_LITERAL("alice")));
    cr_assert_neq(first, hash_siphash13((struct hash_key){0, 2}, SPAN_LITERAL("alice")));
    cr_assert_neq(first, hash_siphash13(key, SPAN_LITERAL("alicd")));
    cr_assert_neq(first, hash_siphash13(key, (struct span){"alice\0", 6}));
}

Test(hash, crc32c_gives_the_vectors_of_rfc_3720)
{
    uint8_t data[32];
    memset(data, 0, sizeof data);
    cr_assert_eq(hash_crc32c(0, data, 32), 0x8a9136aau);
    memset(data, 0xff, sizeof data);
    cr_assert_eq(hash_crc32c(0, data, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        data[i] = i;
    cr_assert_eq(hash_crc32c(0, data, 32), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++)
        data[i] = (uint8_t)(31 - i);
    cr_assert_eq(hash_crc32c(0, data, 32), 0x113fdb5cu);
    cr_assert_eq(hash_crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(hash_crc32c(0, "", 0), 0);
}

static uint32_t crc32c_of_bits(uint32_t crc, const uint8_t *data, size_t bytes)
{
    crc = ~crc;
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        uint32_t in = (data[bit / 8] >> (bit % 8) & 1) ^ (crc & 1);
        crc = crc >> 1 ^ (in ? 0x82f63b78u : 0);
    }
    return ~crc;
}

Test(hash, crc32c_is_as_bit_by_bit_at_every_length_and_alignment)
{
    uint8_t data[160];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 91 + 7);
    for (size_t from = 0; from < 8; from++)
        for (size_t bytes = 0; bytes <= 150; bytes++)
            cr_assert_eq(hash_crc32c(0xdeadbeef, data + from, bytes), crc32c_of_bits(0xdeadbeef, data + from, bytes));
}

Test(hash, crc32c_goes_on_from_where_it_stood)
{
    const char *text = "a message is written once, in one record";
    size_t bytes = strlen(text);
    for (size_t cut = 0; cut <= bytes; cut++)
        cr_assert_eq(hash_crc32c(hash_crc32c(7, text, cut), text + cut, bytes - cut), hash_crc32c(7, text, bytes));
}

Test(hash, each_byte_of_a_name_and_its_length_decide_its_place_in_a_table)
{
    struct hash_key key = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};
    char name[70];
    memset(name, 'n', sizeof name);
    for (size_t bytes = 1; bytes <= sizeof name; bytes++) {
        uint64_t hash = hash_multiply(key, (struct span){name, bytes});
        cr_assert_neq(hash, hash_multiply(key, (struct span){name, bytes - 1}));
        cr_assert_neq(hash, hash_multiply((struct hash_key){key.k0 + 1, key.k1}, (struct span){name, bytes}));
        cr_assert_neq(hash, hash_multiply((struct hash_key){key.k0, key.k1 + 2}, (struct span){name, bytes}));
        for (size_t at = 0; at < bytes; at++) {
            name[at] = 'm';
            cr_assert_neq(hash, hash_multiply(key, (struct span){name, bytes}), "byte %zu of %zu", at, bytes);
            name[at] = 'n';
        }
        cr_assert_eq(hash, hash_multiply(key, (struct span){name, bytes}));
    }
}
