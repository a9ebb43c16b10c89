#include "protocol/tls_record.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/assert.h"

#define TAG_BYTES 16u
#define NONCE_BYTES 12u
#define EXPLICIT_BYTES 8u
#define GCM_IV_BYTES 4u
/* RFC 8446, 5.5: AES-GCM may protect 2^24.5 full records with one key. */
#define SEQUENCE_WORN (UINT64_C(1) << 23)

static const struct {
    const char *name;
    uint8_t key_bytes;
    uint8_t secret_bytes; /* of its hash, SHA-256 or SHA-384 */
} suites[TLS_SUITES] = {
    [TLS_AES_128_GCM] = {"AES-128-GCM", 16, 32},
    [TLS_AES_256_GCM] = {"AES-256-GCM", 32, 48},
    [TLS_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32, 32},
};

int tls_ciphers_open(struct tls_ciphers *ciphers)
{
    *ciphers = (struct tls_ciphers){.contexts = {{NULL}}};
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, suites[suite].name, NULL);
        bool is_good = cipher != NULL;
        for (int seals = 0; seals < 2 && is_good; seals++) {
            ciphers->contexts[suite][seals] = EVP_CIPHER_CTX_new();
            is_good = ciphers->contexts[suite][seals] != NULL
                      && EVP_CipherInit_ex2(ciphers->contexts[suite][seals], cipher, NULL, NULL, seals, NULL) == 1;
        }
        EVP_CIPHER_free(cipher);
        if (!is_good)
            return -ENOMEM;
    }
    return 0;
}

void tls_ciphers_close(struct tls_ciphers *ciphers)
{
    for (int suite = 0; suite < TLS_SUITES; suite++)
        for (int seals = 0; seals < 2; seals++) {
            EVP_CIPHER_CTX_free(ciphers->contexts[suite][seals]);
            ciphers->contexts[suite][seals] = NULL;
        }
}

static const EVP_MD *hash_of(enum tls_suite suite)
{
    ASSERT(suite < TLS_SUITES);
    return suites[suite].secret_bytes == 48 ? EVP_sha384() : EVP_sha256();
}

static bool hmac(enum tls_suite suite, const uint8_t *key, size_t key_bytes, const uint8_t *data, size_t bytes,
                 uint8_t out[EVP_MAX_MD_SIZE])
{
    unsigned out_bytes = 0;
    return HMAC(hash_of(suite), key, (int)key_bytes, data, bytes, out, &out_bytes) != NULL
           && out_bytes == suites[suite].secret_bytes;
}

/* HKDF-Expand-Label (RFC 8446, 7.1) with an empty context, of at most one hash. */
static bool expand(enum tls_suite suite, const uint8_t *secret, const char *label, uint8_t *out, size_t bytes)
{
    uint8_t info[32] = {0, (uint8_t)bytes};
    uint8_t block[EVP_MAX_MD_SIZE];
    size_t label_bytes = strlen(label);
    ASSERT(bytes <= suites[suite].secret_bytes && label_bytes <= 16);
    info[2] = (uint8_t)(6 + label_bytes);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, label_bytes);
    info[9 + label_bytes] = 0;
    info[10 + label_bytes] = 1; /* the number of the block */
    bool is_good = hmac(suite, secret, suites[suite].secret_bytes, info, 11 + label_bytes, block);
    memcpy(out, block, bytes);
    OPENSSL_cleanse(block, sizeof block);
    return is_good;
}

static bool init_13(struct tls_direction *direction, enum tls_suite suite, const uint8_t *secret)
{
    direction->suite = (uint8_t)suite;
    direction->is_13 = true;
    direction->sequence = 0;
    if (secret != direction->secret)
        memcpy(direction->secret, secret, suites[suite].secret_bytes);
    return expand(suite, secret, "key", direction->key, suites[suite].key_bytes)
           && expand(suite, secret, "iv", direction->iv, NONCE_BYTES);
}

bool tls_record_init_13(struct tls_record *record, enum tls_suite suite, const uint8_t *client_secret,
                        const uint8_t *server_secret)
{
    ASSERT(suite < TLS_SUITES);
    return init_13(&record->read, suite, client_secret) && init_13(&record->write, suite, server_secret);
}

bool tls_direction_update(struct tls_direction *direction)
{
    uint8_t next[TLS_SECRET_BYTES_MAX];
    ASSERT(direction->is_13);
    enum tls_suite suite = direction->suite;
    bool is_good = expand(suite, direction->secret, "traffic upd", next, suites[suite].secret_bytes);
    memcpy(direction->secret, next, suites[suite].secret_bytes);
    OPENSSL_cleanse(next, sizeof next);
    return is_good && init_13(direction, suite, direction->secret);
}

bool tls_direction_is_worn(const struct tls_direction *direction)
{
    return direction->is_13 && direction->sequence >= SEQUENCE_WORN;
}

/* -- the keys of TLS 1.2 -- */

#define KEY_LABEL "key expansion"
#define SEED_BYTES (sizeof KEY_LABEL - 1 + 2 * TLS_RANDOM_BYTES)

/* The expansion of RFC 5246, 5. */
static bool prf(enum tls_suite suite, const uint8_t master[TLS_MASTER_BYTES], const uint8_t seed[SEED_BYTES],
                uint8_t *out, size_t bytes)
{
    uint8_t chained[EVP_MAX_MD_SIZE + SEED_BYTES]; /* A(i), and the seed behind it */
    uint8_t block[EVP_MAX_MD_SIZE];
    size_t hash_bytes = suites[suite].secret_bytes;
    bool is_good = hmac(suite, master, TLS_MASTER_BYTES, seed, SEED_BYTES, chained);
    while (is_good && bytes > 0) {
        memcpy(chained + hash_bytes, seed, SEED_BYTES);
        is_good = hmac(suite, master, TLS_MASTER_BYTES, chained, hash_bytes + SEED_BYTES, block);
        size_t piece = bytes < hash_bytes ? bytes : hash_bytes;
        memcpy(out, block, piece);
        out += piece;
        bytes -= piece;
        is_good = is_good && hmac(suite, master, TLS_MASTER_BYTES, chained, hash_bytes, block);
        memcpy(chained, block, hash_bytes);
    }
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(chained, sizeof chained);
    return is_good;
}

static void init_12(struct tls_direction *direction, enum tls_suite suite, const uint8_t *key, const uint8_t *iv)
{
    direction->suite = (uint8_t)suite;
    direction->is_13 = false;
    direction->sequence = 1;
    memcpy(direction->key, key, suites[suite].key_bytes);
    memcpy(direction->iv, iv, suite == TLS_CHACHA20_POLY1305 ? NONCE_BYTES : GCM_IV_BYTES);
}

static void nonce_next(uint8_t nonce[EXPLICIT_BYTES])
{
    for (size_t i = EXPLICIT_BYTES; i-- > 0;)
        if (++nonce[i] != 0)
            return;
}

bool tls_record_init_12(struct tls_record *record, enum tls_suite suite, const uint8_t master[TLS_MASTER_BYTES],
                        const uint8_t client_random[TLS_RANDOM_BYTES], const uint8_t server_random[TLS_RANDOM_BYTES],
                        const uint8_t nonce[8])
{
    uint8_t seed[SEED_BYTES];
    uint8_t block[2 * 32 + 2 * NONCE_BYTES];
    ASSERT(suite < TLS_SUITES);
    size_t key_bytes = suites[suite].key_bytes;
    size_t iv_bytes = suite == TLS_CHACHA20_POLY1305 ? NONCE_BYTES : GCM_IV_BYTES;
    memcpy(seed, KEY_LABEL, sizeof KEY_LABEL - 1);
    memcpy(seed + sizeof KEY_LABEL - 1, server_random, TLS_RANDOM_BYTES);
    memcpy(seed + sizeof KEY_LABEL - 1 + TLS_RANDOM_BYTES, client_random, TLS_RANDOM_BYTES);
    bool is_good = prf(suite, master, seed, block, 2 * key_bytes + 2 * iv_bytes);
    init_12(&record->read, suite, block, block + 2 * key_bytes);
    init_12(&record->write, suite, block + key_bytes, block + 2 * key_bytes + iv_bytes);
    memcpy(record->write.secret, nonce, EXPLICIT_BYTES);
    nonce_next(record->write.secret);
    OPENSSL_cleanse(block, sizeof block);
    return is_good;
}

/* -- records -- */

static void put_be16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void put_be64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static bool has_explicit_nonce(const struct tls_direction *direction)
{
    return !direction->is_13 && direction->suite != TLS_CHACHA20_POLY1305;
}

/* `explicit`: the 8 bytes in front of the ciphertext; read only where the record has them. */
static void nonce_make(const struct tls_direction *direction, const uint8_t *explicit, uint8_t nonce[NONCE_BYTES])
{
    uint8_t sequence[8];
    memcpy(nonce, direction->iv, NONCE_BYTES);
    if (has_explicit_nonce(direction)) {
        memcpy(nonce + GCM_IV_BYTES, explicit, EXPLICIT_BYTES);
        return;
    }
    put_be64(sequence, direction->sequence);
    for (size_t i = 0; i < sizeof sequence; i++)
        nonce[NONCE_BYTES - sizeof sequence + i] ^= sequence[i];
}

/* What the tag covers beside the data. Returns its length. */
static int cover_make(const struct tls_direction *direction, const uint8_t *header, size_t data_bytes,
                      uint8_t cover[13])
{
    if (direction->is_13) {
        memcpy(cover, header, TLS_HEADER_BYTES);
        return TLS_HEADER_BYTES;
    }
    put_be64(cover, direction->sequence);
    memcpy(cover + 8, header, 3);
    put_be16(cover + 11, data_bytes);
    return 13;
}

static bool crypt_begin(EVP_CIPHER_CTX *context, const struct tls_direction *direction,
                        const uint8_t nonce[NONCE_BYTES], const uint8_t *cover, int cover_bytes)
{
    int out_bytes;
    return EVP_CipherInit_ex2(context, NULL, direction->key, nonce, -1, NULL) == 1
           && EVP_CipherUpdate(context, NULL, &out_bytes, cover, cover_bytes) == 1;
}

/* `bytes` at `data` in place. OpenSSL 3.0 takes no empty update. */
static bool crypt_data(EVP_CIPHER_CTX *context, uint8_t *data, size_t bytes)
{
    int out_bytes;
    return bytes == 0
           || (EVP_CipherUpdate(context, data, &out_bytes, data, (int)bytes) == 1 && (size_t)out_bytes == bytes);
}

bool tls_seal(struct tls_ciphers *ciphers, struct tls_direction *direction, enum tls_type type, char *data,
              size_t bytes, size_t *front_r, size_t *back_r)
{
    uint8_t nonce[NONCE_BYTES], cover[13];
    int out_bytes;
    uint8_t *at = (uint8_t *)data;
    ASSERT(bytes <= TLS_DATA_BYTES_MAX);
    ASSERT(direction->sequence < UINT64_MAX);
    EVP_CIPHER_CTX *context = ciphers->contexts[direction->suite][1];
    size_t explicit_bytes = has_explicit_nonce(direction) ? EXPLICIT_BYTES : 0;
    size_t inner_bytes = bytes + (direction->is_13 ? 1 : 0);
    *front_r = TLS_HEADER_BYTES + explicit_bytes;
    *back_r = inner_bytes - bytes + TAG_BYTES;
    uint8_t *header = at - *front_r;
    header[0] = direction->is_13 ? TLS_DATA : (uint8_t)type;
    header[1] = 3;
    header[2] = 3;
    put_be16(header + 3, explicit_bytes + inner_bytes + TAG_BYTES);
    memcpy(header + TLS_HEADER_BYTES, direction->secret, explicit_bytes);
    if (direction->is_13)
        at[bytes] = (uint8_t)type;
    nonce_make(direction, direction->secret, nonce);
    int cover_bytes = cover_make(direction, header, bytes, cover);
    bool is_good = crypt_begin(context, direction, nonce, cover, cover_bytes) && crypt_data(context, at, inner_bytes)
                   && EVP_CipherFinal_ex(context, at + inner_bytes, &out_bytes) == 1
                   && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, at + inner_bytes) == 1;
    direction->sequence++;
    if (explicit_bytes > 0)
        nonce_next(direction->secret);
    return is_good;
}

size_t tls_record_bytes(const char *data, size_t bytes)
{
    const uint8_t *header = (const uint8_t *)data;
    return bytes < TLS_HEADER_BYTES ? 0 : TLS_HEADER_BYTES + ((size_t)header[3] << 8 | header[4]);
}

bool tls_header_is_good(const char *data, size_t bytes)
{
    const uint8_t *header = (const uint8_t *)data;
    if (bytes > 0 && (header[0] < TLS_CHANGE_CIPHER_SPEC || header[0] > TLS_DATA))
        return false;
    if (bytes > 1 && header[1] != 3)
        return false;
    return bytes < TLS_HEADER_BYTES || tls_record_bytes(data, bytes) <= TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX;
}

/* TLS 1.3: the type stands behind the data, and zeros may follow it. */
static int take_inner_type(uint8_t *data, size_t *bytes_inout, uint8_t *type_r)
{
    size_t bytes = *bytes_inout;
    if (bytes > TLS_DATA_BYTES_MAX + 1)
        return TLS_RECORD_OVERFLOW;
    while (bytes > 0 && data[bytes - 1] == 0)
        bytes--;
    if (bytes == 0)
        return TLS_UNEXPECTED_MESSAGE;
    *type_r = data[bytes - 1];
    *bytes_inout = bytes - 1;
    return 0;
}

int tls_open(struct tls_ciphers *ciphers, struct tls_direction *direction, char *record, size_t bytes, uint8_t *type_r,
             char **data_r, size_t *bytes_r)
{
    uint8_t nonce[NONCE_BYTES], cover[13];
    uint8_t *header = (uint8_t *)record;
    int out_bytes;
    ASSERT(bytes == tls_record_bytes(record, bytes));
    EVP_CIPHER_CTX *context = ciphers->contexts[direction->suite][0];
    size_t front = TLS_HEADER_BYTES + (has_explicit_nonce(direction) ? EXPLICIT_BYTES : 0);
    if (bytes > TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX)
        return TLS_RECORD_OVERFLOW;
    if (direction->is_13 && header[0] != TLS_DATA)
        return TLS_UNEXPECTED_MESSAGE;
    if (bytes < front + TAG_BYTES || direction->sequence == UINT64_MAX)
        return TLS_BAD_RECORD_MAC;
    uint8_t *data = header + front;
    size_t data_bytes = bytes - front - TAG_BYTES;
    nonce_make(direction, header + TLS_HEADER_BYTES, nonce);
    int cover_bytes = cover_make(direction, header, data_bytes, cover);
    if (!crypt_begin(context, direction, nonce, cover, cover_bytes) || !crypt_data(context, data, data_bytes)
        || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, data + data_bytes) != 1
        || EVP_CipherFinal_ex(context, data + data_bytes, &out_bytes) != 1)
        return TLS_BAD_RECORD_MAC;
    direction->sequence++;
    *type_r = header[0];
    int alert = direction->is_13 ? take_inner_type(data, &data_bytes, type_r) : 0;
    if (alert == 0 && data_bytes > TLS_DATA_BYTES_MAX)
        alert = TLS_RECORD_OVERFLOW;
    *data_r = (char *)data;
    *bytes_r = data_bytes;
    return alert;
}
