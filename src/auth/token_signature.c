#include "auth/token_signature.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "base/assert.h"

#define HASH_BYTES 32u
#define ED25519_SIGNATURE_BYTES 64u
/* ES256: r and s, 32 bytes each. */
#define HALF_BYTES 32u
/* SEQUENCE of two INTEGERs of at most 33 bytes. */
#define DER_BYTES_MAX (2 + 2 * (2 + HALF_BYTES + 1))

struct token_signature {
    /* Set by open, then only read. */
    const struct token_keys *keys;
    EVP_MD *sha256;
    EVP_MAC *hmac;

    /* Used by each call. */
    EVP_MD_CTX *hash;
    EVP_MAC_CTX *mac;                       /* HS256 */
    EVP_PKEY_CTX *contexts[TOKEN_KEYS_MAX]; /* RS256, ES256: ready to verify a hash; NULL for the others */
    /* EdDSA: one for each key, since a second EVP_DigestVerifyInit of a context keeps the first key. NULL for the
     * others. */
    EVP_MD_CTX *verify[TOKEN_KEYS_MAX];
};

static bool init_context(struct token_signature *signature, uint32_t index)
{
    const struct token_key *key = token_keys_at(signature->keys, index);
    if (key->algorithm == TOKEN_EDDSA)
        return (signature->verify[index] = EVP_MD_CTX_new()) != NULL;
    if (key->algorithm != TOKEN_RS256 && key->algorithm != TOKEN_ES256)
        return true;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->public, NULL);
    signature->contexts[index] = context;
    if (context == NULL || EVP_PKEY_verify_init(context) != 1)
        return false;
    if (key->algorithm == TOKEN_RS256 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) != 1)
        return false;
    return EVP_PKEY_CTX_set_signature_md(context, signature->sha256) == 1;
}

static bool init_all(struct token_signature *signature)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    signature->sha256 = EVP_MD_fetch(NULL, digest, NULL);
    signature->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    signature->hash = EVP_MD_CTX_new();
    if (signature->sha256 == NULL || signature->hmac == NULL || signature->hash == NULL)
        return false;
    signature->mac = EVP_MAC_CTX_new(signature->hmac);
    if (signature->mac == NULL || EVP_MAC_CTX_set_params(signature->mac, params) != 1)
        return false;
    for (uint32_t i = 0; i < token_keys_count(signature->keys); i++)
        if (!init_context(signature, i))
            return false;
    return true;
}

int token_signature_open(struct token_signature **signature_r, struct token_keys *keys)
{
    ASSERT(token_keys_count(keys) <= TOKEN_KEYS_MAX);
    struct token_signature *signature = calloc(1, sizeof *signature);
    *signature_r = NULL;
    if (signature == NULL)
        return -ENOMEM;
    signature->keys = keys;
    if (!init_all(signature))
        token_signature_close(&signature);
    *signature_r = signature;
    return signature == NULL ? -ENOMEM : 0;
}

void token_signature_close(struct token_signature **signature_p)
{
    struct token_signature *signature = *signature_p;
    *signature_p = NULL;
    if (signature == NULL)
        return;
    for (uint32_t i = 0; i < TOKEN_KEYS_MAX; i++) {
        EVP_PKEY_CTX_free(signature->contexts[i]);
        EVP_MD_CTX_free(signature->verify[i]);
    }
    EVP_MAC_CTX_free(signature->mac);
    EVP_MD_CTX_free(signature->hash);
    EVP_MAC_free(signature->hmac);
    EVP_MD_free(signature->sha256);
    free(signature);
}

/* -- one signature -- */

bool token_signature_hs256(EVP_MAC_CTX *context, const struct token_key *key, struct span content, uint8_t out[32])
{
    size_t bytes;
    ASSERT(key->algorithm == TOKEN_HS256);
    return EVP_MAC_init(context, key->secret, key->secret_bytes, NULL) == 1
           && EVP_MAC_update(context, (const unsigned char *)content.data, content.bytes) == 1
           && EVP_MAC_final(context, out, &bytes, HASH_BYTES) == 1 && bytes == HASH_BYTES;
}

static bool is_hs256_good(struct token_signature *signature, const struct token_key *key, struct span content,
                          struct span given)
{
    uint8_t right[HASH_BYTES];
    if (given.bytes != HASH_BYTES || !token_signature_hs256(signature->mac, key, content, right))
        return false;
    return CRYPTO_memcmp(right, given.data, HASH_BYTES) == 0;
}

static bool is_ed25519_good(struct token_signature *signature, uint32_t index, struct span content, struct span given)
{
    const struct token_key *key = token_keys_at(signature->keys, index);
    ASSERT(signature->verify[index] != NULL);
    return given.bytes == ED25519_SIGNATURE_BYTES
           && EVP_DigestVerifyInit(signature->verify[index], NULL, NULL, NULL, key->public) == 1
           && EVP_DigestVerify(signature->verify[index], (const unsigned char *)given.data, given.bytes,
                               (const unsigned char *)content.data, content.bytes)
                  == 1;
}

/* An INTEGER of DER: without leading zeros, but for one that keeps it from being negative. */
static uint8_t *put_integer(uint8_t *at, const uint8_t half[HALF_BYTES])
{
    size_t skip = 0;
    while (skip < HALF_BYTES - 1 && half[skip] == 0)
        skip++;
    size_t pad = half[skip] >= 0x80;
    *at++ = 2;
    *at++ = (uint8_t)(HALF_BYTES - skip + pad);
    if (pad)
        *at++ = 0;
    memcpy(at, half + skip, HALF_BYTES - skip);
    return at + HALF_BYTES - skip;
}

/* ES256 has r and s (RFC 7518, 3.4), libcrypto wants DER. */
static size_t der_of(const uint8_t given[2 * HALF_BYTES], uint8_t der[DER_BYTES_MAX])
{
    uint8_t *end = put_integer(put_integer(der + 2, given), given + HALF_BYTES);
    ASSERT(end <= der + DER_BYTES_MAX);
    der[0] = 0x30;
    der[1] = (uint8_t)(end - der - 2);
    return (size_t)(end - der);
}

static bool is_hash_good(struct token_signature *signature, uint32_t index, struct span content, struct span given)
{
    uint8_t hash[HASH_BYTES], der[DER_BYTES_MAX];
    const uint8_t *data = (const uint8_t *)given.data;
    size_t bytes = given.bytes;
    ASSERT(signature->contexts[index] != NULL);
    if (token_keys_at(signature->keys, index)->algorithm == TOKEN_ES256) {
        if (bytes != 2 * HALF_BYTES)
            return false;
        bytes = der_of(data, der);
        data = der;
    }
    return EVP_DigestInit_ex2(signature->hash, signature->sha256, NULL) == 1
           && EVP_DigestUpdate(signature->hash, content.data, content.bytes) == 1
           && EVP_DigestFinal_ex(signature->hash, hash, NULL) == 1
           && EVP_PKEY_verify(signature->contexts[index], data, bytes, hash, sizeof hash) == 1;
}

bool token_signature_is_good(struct token_signature *signature, uint32_t index, struct span content, struct span given)
{
    const struct token_key *key = token_keys_at(signature->keys, index);
    bool is_good = false;
    switch (key->algorithm) {
    case TOKEN_HS256: is_good = is_hs256_good(signature, key, content, given); break;
    case TOKEN_RS256:
    case TOKEN_ES256: is_good = is_hash_good(signature, index, content, given); break;
    case TOKEN_EDDSA: is_good = is_ed25519_good(signature, index, content, given); break;
    case TOKEN_ALGORITHMS: break;
    }
    if (!is_good)
        ERR_clear_error();
    return is_good;
}
