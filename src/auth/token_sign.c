#include "auth/token_sign.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/base64url.h"
#include "auth/token_files.h"
#include "auth/token_signature.h"
#include "base/assert.h"
#include "protocol/json_put.h"

#define HALF_BYTES 32

struct token_signer {
    enum token_algorithm algorithm;
    struct token_keys *keys; /* HS256 */
    EVP_PKEY *private;       /* the others; owned */
};

static struct token_signer *make(struct token_error *error_r)
{
    (void)snprintf(error_r->text, sizeof error_r->text, "no memory to sign a token");
    return calloc(1, sizeof(struct token_signer));
}

bool token_signer_open_secret(struct token_signer **signer_r, const char *file, struct token_error *error_r)
{
    struct token_files files = {.secrets = file};
    struct token_signer *signer = make(error_r);
    if (signer != NULL && !token_keys_load(&signer->keys, &files, error_r))
        token_signer_close(&signer);
    *signer_r = signer;
    return signer != NULL;
}

/* A file whose key wants a pass phrase is refused. */
static int no_pass_phrase(char *text, int bytes, int is_write, void *context)
{
    (void)text, (void)bytes, (void)is_write, (void)context;
    return -1;
}

static bool read_private(struct token_loader *loader, struct token_signer *signer)
{
    char *data;
    size_t bytes;
    if (!token_files_read(loader, S_IRWXO, &data, &bytes))
        return false;
    BIO *bio = BIO_new_mem_buf(data, (int)bytes);
    signer->private = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    BIO_free(bio);
    token_files_forget(data, bytes);
    return signer->private != NULL
           || token_files_fail(loader, "has no private key in PEM without a pass phrase: `openssl genpkey -algorithm "
                                       "ed25519` makes one");
}

bool token_signer_open_key(struct token_signer **signer_r, const char *file, struct token_error *error_r)
{
    struct token_signer *signer = make(error_r);
    struct token_loader loader = {.keys = calloc(1, sizeof *loader.keys), .file = file, .error = error_r};
    bool is_good = signer != NULL && loader.keys != NULL && read_private(&loader, signer)
                   && EVP_PKEY_up_ref(signer->private) == 1
                   && token_files_add_public(&loader, "the key", signer->private, (struct span){NULL, 0});
    if (is_good)
        signer->algorithm = loader.keys->keys[0].algorithm;
    else if (signer != NULL)
        token_signer_close(&signer);
    if (loader.keys != NULL) {
        atomic_init(&loader.keys->references, 1);
        token_keys_unref(&loader.keys);
    }
    *signer_r = signer;
    return is_good;
}

void token_signer_close(struct token_signer **signer)
{
    if (*signer == NULL)
        return;
    token_keys_unref(&(*signer)->keys);
    EVP_PKEY_free((*signer)->private);
    free(*signer);
    *signer = NULL;
}

/* -- signatures -- */

static bool sign_hs256(const struct token_signer *signer, struct span content, uint8_t *out, size_t *bytes_r)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    ASSERT(signer->keys != NULL);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    bool is_good = context != NULL && EVP_MAC_CTX_set_params(context, params) == 1
                   && token_signature_hs256(context, token_keys_at(signer->keys, 0), content, out);
    *bytes_r = 32;
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    return is_good;
}

/* From DER to r and s (RFC 7518, 3.4). */
static bool from_der(uint8_t *out, size_t *bytes_inout)
{
    const uint8_t *at = out;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)*bytes_inout);
    if (signature == NULL)
        return false;
    bool is_good = BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, HALF_BYTES) == HALF_BYTES
                   && BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + HALF_BYTES, HALF_BYTES) == HALF_BYTES;
    ECDSA_SIG_free(signature);
    *bytes_inout = 2 * HALF_BYTES;
    return is_good;
}

static bool sign_private(const struct token_signer *signer, struct span content, uint8_t *out, size_t *bytes_r)
{
    ASSERT(signer->private != NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *digest = signer->algorithm == TOKEN_EDDSA ? NULL : EVP_sha256();
    *bytes_r = TOKEN_SIGNATURE_BYTES_MAX;
    bool is_good = context != NULL && EVP_DigestSignInit(context, NULL, digest, NULL, signer->private) == 1
                   && EVP_DigestSign(context, out, bytes_r, (const unsigned char *)content.data, content.bytes) == 1;
    EVP_MD_CTX_free(context);
    return is_good && (signer->algorithm != TOKEN_ES256 || from_der(out, bytes_r));
}

bool token_sign_parts(struct token_signer *signer, struct span header, struct span payload, char out[TOKEN_BYTES_MAX],
                      size_t *bytes_r)
{
    uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
    size_t bytes;
    if (BASE64URL_CHARS(header.bytes) + BASE64URL_CHARS(payload.bytes) + BASE64URL_CHARS(sizeof signature) + 2
        > TOKEN_BYTES_MAX)
        return false;
    char *at = out + base64url_encode((const uint8_t *)header.data, header.bytes, out);
    *at++ = '.';
    at += base64url_encode((const uint8_t *)payload.data, payload.bytes, at);
    struct span content = {out, (size_t)(at - out)};
    bool is_good = signer->algorithm == TOKEN_HS256 ? sign_hs256(signer, content, signature, &bytes)
                                                    : sign_private(signer, content, signature, &bytes);
    if (!is_good)
        return false;
    *at++ = '.';
    ASSERT(bytes <= sizeof signature);
    at += base64url_encode(signature, bytes, at);
    *bytes_r = (size_t)(at - out);
    return true;
}

/* -- what a token says -- */

/* The longest escaped claims that are written. */
#define JSON_BYTES_MAX (8u * TOKEN_BYTES_MAX)

static char *put_text(char *at, struct span name, struct span value)
{
    if (value.bytes == 0)
        return at;
    at = JSON_PUT(at, "\"");
    at = json_put_escaped(at, name);
    at = JSON_PUT(at, "\":\"");
    at = json_put_escaped(at, value);
    return JSON_PUT(at, "\",");
}

static struct span write_header(const struct token_signer *signer, const struct token_grant *grant, char *out)
{
    char *at = JSON_PUT(out, "{");
    at = put_text(at, SPAN_LITERAL("kid"), grant->kid);
    at = JSON_PUT(at, "\"typ\":\"JWT\",\"alg\":\"");
    at = json_put_span(at, token_algorithm_name(signer->algorithm));
    at = JSON_PUT(at, "\"}");
    ASSERT((size_t)(at - out) <= JSON_BYTES_MAX);
    return (struct span){out, (size_t)(at - out)};
}

static struct span write_payload(const struct token_grant *grant, char *out)
{
    char *at = JSON_PUT(out, "{");
    at = put_text(at, SPAN_LITERAL("sub"), grant->user);
    if (!span_equal(grant->user_claim, SPAN_LITERAL("sub")))
        at = put_text(at, grant->user_claim, grant->user);
    at = put_text(at, SPAN_LITERAL("iss"), grant->issuer);
    at = put_text(at, SPAN_LITERAL("aud"), grant->audience);
    if (grant->issued_s > 0) {
        at = JSON_PUT(at, "\"iat\":");
        at = json_put_unsigned(at, grant->issued_s);
        at = JSON_PUT(at, ",");
    }
    at = JSON_PUT(at, "\"exp\":");
    at = json_put_unsigned(at, grant->expires_s);
    at = JSON_PUT(at, "}");
    ASSERT((size_t)(at - out) <= JSON_BYTES_MAX);
    return (struct span){out, (size_t)(at - out)};
}

bool token_sign(struct token_signer *signer, const struct token_grant *grant, char out[TOKEN_BYTES_MAX],
                size_t *bytes_r)
{
    ASSERT(grant->user.bytes <= LIMIT_USER_BYTES);
    if (grant->user_claim.bytes + grant->audience.bytes + grant->issuer.bytes + grant->kid.bytes > TOKEN_BYTES_MAX)
        return false;
    char *json = malloc(2 * (size_t)JSON_BYTES_MAX);
    if (json == NULL)
        return false;
    struct span header = write_header(signer, grant, json);
    struct span payload = write_payload(grant, json + JSON_BYTES_MAX);
    bool is_good = token_sign_parts(signer, header, payload, out, bytes_r);
    free(json);
    return is_good;
}
