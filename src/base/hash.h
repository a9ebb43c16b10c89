/*
 * hash.h: SipHash-1-3 with a key and a result of 64 bits: without the key nobody can choose names that collide. CRC32C
 * (Castagnoli) for what is written to the disk. Pure; any thread.
 *
 * Sources: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), with one compression and three
 * finalisation rounds; CRC32C by RFC 3720, appendix B.4, with SSE4.2 where the processor has it.
 */
#ifndef CHITCHAT_BASE_HASH_H
#define CHITCHAT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct hash_key {
    uint64_t k0;
    uint64_t k1;
};

/* The hash of `bytes`, which may be empty. Borrows. */
uint64_t hash_siphash13(struct hash_key key, struct span bytes);

/* A hash for tables that one call or one thread owns, whose key is drawn for it: SipHash takes longer than all else
 * where each of many names is looked up once. Borrows. */
uint64_t hash_multiply(struct hash_key key, struct span bytes);

/* Continues `crc` over `bytes` of `data` and returns the new CRC. Begin with 0 or with a seed. Borrows. */
uint32_t hash_crc32c(uint32_t crc, const void *data, size_t bytes);

#endif
