/*
 * token_keys.h: the keys that tokens are verified with, read from files.
 *
 * A secrets file has one secret a line for HS256. A key file has public keys, in PEM or as JSON Web Keys (RFC 7517):
 * RSA for RS256, P-256 for ES256, Ed25519 for EdDSA. The kind of a key decides the algorithm, so a token cannot choose
 * one: a public key is never taken for a secret. Each file is checked when it is read: who may read or write it, its
 * size, and each key in it. A key set does not change once it is loaded. New files give a new set.
 *
 * How many keys could have signed a token bounds the time that it takes (TOKEN_TRIES_…): 0.2 ms on the machine of
 * docs/PERFORMANCE.md. Keys without a `kid` are candidates for each token of their algorithm, so a file with more of
 * them is refused.
 *
 * References are counted with an atomic: a set may be shared between threads.
 */
#ifndef CHITCHAT_AUTH_TOKEN_KEYS_H
#define CHITCHAT_AUTH_TOKEN_KEYS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum token_algorithm { TOKEN_HS256, TOKEN_RS256, TOKEN_ES256, TOKEN_EDDSA, TOKEN_ALGORITHMS };

#define TOKEN_KEYS_MAX 64u
#define TOKEN_FILE_BYTES_MAX (256u << 10)
#define TOKEN_KID_BYTES_MAX 256u
#define TOKEN_SKIPPED_BYTES_MAX 400u /* fits a log line */
#define TOKEN_SECRET_BYTES_MIN 32u
#define TOKEN_SECRET_BYTES_MAX 1024u
#define TOKEN_RSA_BITS_MIN 2048
#define TOKEN_RSA_BITS_MAX 4096
/* Nearly all keys have 65537. The time to verify a signature grows with it. */
#define TOKEN_RSA_EXPONENT_BITS_MAX 32
/* So many keys may have signed one token. */
#define TOKEN_TRIES_HS256 8u
#define TOKEN_TRIES_RS256 2u
#define TOKEN_TRIES_ES256 2u
#define TOKEN_TRIES_EDDSA 1u

struct token_key {
    enum token_algorithm algorithm;
    bool has_kid;
    size_t kid_bytes;
    char kid[TOKEN_KID_BYTES_MAX];
    size_t secret_bytes;
    uint8_t secret[TOKEN_SECRET_BYTES_MAX]; /* HS256 */
    EVP_PKEY *public;                       /* the others; owned by the set */
};

struct token_keys;

/* Where keys are read from. Borrows. */
struct token_files {
    const char *secrets;     /* NULL: none */
    const char *const *keys; /* key_count of them */
    uint32_t key_count;
};

struct token_error {
    char text[768]; /* one line: what is wrong with which file, and what to do */
};

/* Loads all files. The caller owns the reference in *keys_r. False: *error_r is filled. Blocks: never on a shard. */
bool token_keys_load(struct token_keys **keys_r, const struct token_files *files, struct token_error *error_r);
struct token_keys *token_keys_ref(struct token_keys *keys);
/* Frees the set with its last reference, and overwrites its secrets. Nulls *keys. NULL is fine. */
void token_keys_unref(struct token_keys **keys);

uint32_t token_keys_count(const struct token_keys *keys);
/* Borrowed. `index` is below the count: asserted. */
const struct token_key *token_keys_at(const struct token_keys *keys, uint32_t index);

/* The keys of JWKS files that are no use here, as those to encrypt with: how many, and which and why, as "e1 (use enc),
 * p1 (alg PS256)". Printable ASCII without quotes, for a log line; it ends in dots if there are more. Borrowed. */
uint32_t token_keys_skipped_count(const struct token_keys *keys);
const char *token_keys_skipped(const struct token_keys *keys);

/* The name in a token's header, as "HS256". Static. */
struct span token_algorithm_name(enum token_algorithm algorithm);
/* How many keys of the algorithm may have signed one token. */
uint32_t token_algorithm_tries(enum token_algorithm algorithm);

#endif
