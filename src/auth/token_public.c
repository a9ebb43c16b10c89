/* token_public.c: the check of a public key, and keys in PEM (token_files.h). */
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "auth/token_files.h"
#include "base/assert.h"

#define P256_NAME "prime256v1"
#define BEGIN_MARK "-----BEGIN"

/* Bits of the public exponent; INT_MAX: unknown. */
static int exponent_bits(const EVP_PKEY *public)
{
    BIGNUM *exponent = NULL;
    int bits = EVP_PKEY_get_bn_param(public, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 ? BN_num_bits(exponent) : INT_MAX;
    BN_free(exponent);
    return bits;
}

static bool check_rsa(struct token_loader *loader, const char *what, EVP_PKEY *public)
{
    int bits = EVP_PKEY_get_bits(public);
    if (bits < TOKEN_RSA_BITS_MIN)
        return token_files_fail(loader, "%s: RSA with %d bits is too short to be safe: at least %d are wanted", what,
                                bits, TOKEN_RSA_BITS_MIN);
    if (bits > TOKEN_RSA_BITS_MAX)
        return token_files_fail(loader, "%s: RSA with %d bits takes too long to verify: %d at most", what, bits,
                                TOKEN_RSA_BITS_MAX);
    if (exponent_bits(public) > TOKEN_RSA_EXPONENT_BITS_MAX)
        return token_files_fail(loader, "%s: RSA with an exponent of more than %d bits takes too long to verify", what,
                                TOKEN_RSA_EXPONENT_BITS_MAX);
    return true;
}

static bool check_curve(struct token_loader *loader, const char *what, EVP_PKEY *public)
{
    char curve[64] = "?";
    size_t bytes;
    if (EVP_PKEY_get_group_name(public, curve, sizeof curve, &bytes) != 1 || strcmp(curve, P256_NAME) != 0)
        return token_files_fail(loader, "%s: the curve %.40s is not supported: ES256 wants P-256 (prime256v1)", what,
                                curve);
    return true;
}

static bool is_sound(EVP_PKEY *public)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(public, NULL);
    bool is_good = context != NULL && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    return is_good;
}

static bool take_kind(struct token_loader *loader, const char *what, EVP_PKEY *public,
                      enum token_algorithm *algorithm_r)
{
    switch (EVP_PKEY_get_base_id(public)) {
    case EVP_PKEY_RSA: *algorithm_r = TOKEN_RS256; return check_rsa(loader, what, public);
    case EVP_PKEY_EC: *algorithm_r = TOKEN_ES256; return check_curve(loader, what, public);
    case EVP_PKEY_ED25519: *algorithm_r = TOKEN_EDDSA; return true;
    default:
        return token_files_fail(loader, "%s: this kind of key is not supported: RSA, P-256 or Ed25519 is wanted", what);
    }
}

bool token_files_add_public(struct token_loader *loader, const char *what, EVP_PKEY *public, struct span kid)
{
    enum token_algorithm algorithm = TOKEN_RS256;
    struct token_key *key = NULL;
    ASSERT(public != NULL);
    if (kid.bytes > TOKEN_KID_BYTES_MAX)
        token_files_fail(loader, "%s: its kid is longer than %u bytes", what, TOKEN_KID_BYTES_MAX);
    else if (take_kind(loader, what, public, &algorithm)) {
        if (is_sound(public))
            key = token_files_add(loader);
        else
            token_files_fail(loader, "%s: libcrypto finds that this is no valid key", what);
    }
    if (key == NULL) {
        EVP_PKEY_free(public);
        return false;
    }
    key->algorithm = algorithm;
    key->public = public;
    key->has_kid = kid.data != NULL;
    key->kid_bytes = kid.bytes;
    if (kid.bytes > 0)
        memcpy(key->kid, kid.data, kid.bytes);
    return true;
}

/* -- PEM -- */

static bool take_block(struct token_loader *loader, const char *name, const unsigned char *data, long bytes,
                       unsigned number)
{
    char what[32];
    (void)snprintf(what, sizeof what, "key %u", number);
    if (strstr(name, "PRIVATE KEY") != NULL)
        return token_files_fail(loader, "holds a private key: the server wants the public one only: `openssl pkey -in "
                                        "PRIVATE -pubout -out PUBLIC` writes it");
    if (strcmp(name, "CERTIFICATE") == 0)
        return token_files_fail(loader, "holds a certificate: its public key is wanted: `openssl x509 -in CERTIFICATE "
                                        "-pubkey -noout` writes it");
    if (strcmp(name, PEM_STRING_PUBLIC) != 0)
        return token_files_fail(loader, "holds a block %.40s, but BEGIN PUBLIC KEY is wanted", name);
    EVP_PKEY *public = d2i_PUBKEY(NULL, &data, bytes);
    if (public == NULL)
        return token_files_fail(loader, "%s: libcrypto cannot read it", what);
    return token_files_add_public(loader, what, public, (struct span){NULL, 0});
}

static unsigned count_begins(const char *data, size_t bytes)
{
    unsigned count = 0;
    const char *end = data + bytes;
    for (const char *at = data; (at = memmem(at, (size_t)(end - at), BEGIN_MARK, sizeof BEGIN_MARK - 1)) != NULL;
         at += sizeof BEGIN_MARK - 1)
        count++;
    return count;
}

/* libcrypto ends at a damaged block as at the end of the file. The keys before it must not count as all of them. */
bool token_files_take_pem(struct token_loader *loader, const char *data, size_t bytes)
{
    char *name, *header;
    unsigned char *block;
    long block_bytes;
    unsigned number = 0;
    bool is_good = true;
    ASSERT(bytes > 0 && bytes <= TOKEN_FILE_BYTES_MAX);
    BIO *bio = BIO_new_mem_buf(data, (int)bytes);
    while (bio != NULL && is_good && PEM_read_bio(bio, &name, &header, &block, &block_bytes) == 1) {
        is_good = take_block(loader, name, block, block_bytes, ++number);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(block, (size_t)block_bytes);
    }
    BIO_free(bio);
    if (!is_good)
        return false;
    if (count_begins(data, bytes) > number)
        return token_files_fail(loader, "block %u is damaged or cut off: write the whole file again", number + 1);
    return number > 0
           || token_files_fail(
               loader, "has no public key in it: a file in PEM (BEGIN PUBLIC KEY) or a JWKS file is wanted%s",
               bytes > 0 && memchr(data, '-', bytes) == NULL ? "; secrets belong in a file of --token-secrets" : "");
}
