/*
 * token_jwks.c: JSON Web Key Sets, and single keys (RFC 7517, RFC 8037; token_files.h). Read with jansson: the reader
 * of protocol/json.h keeps the outer object alone, and a file of keys is read rarely, so allocations do not matter.
 *
 * A set of an identity provider may have keys for other purposes: those are skipped. A key that is meant for verifying
 * tokens by an algorithm of ours must be right. A private part anywhere is refused: the file then holds a secret.
 */
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>

#include "auth/base64url.h"
#include "auth/token_files.h"
#include "base/assert.h"

#define NUMBER_BYTES_MAX (TOKEN_RSA_BITS_MAX / 8u * 2u)
#define CURVE_BYTES 32u

/* A key of the set: its object, and its name in errors. */
struct jwk {
    json_t *object;
    char what[48];
};

static bool has_text(const struct jwk *jwk, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(jwk->object, name));
    return value != NULL && strcmp(value, text) == 0;
}

/* Absent, or `text`. */
static bool may_be(const struct jwk *jwk, const char *name, const char *text)
{
    return json_object_get(jwk->object, name) == NULL || has_text(jwk, name, text);
}

static bool may_verify(const struct jwk *jwk)
{
    json_t *operations = json_object_get(jwk->object, "key_ops"), *operation;
    size_t i;
    json_array_foreach(operations, i, operation)
    {
        const char *name = json_string_value(operation);
        if (name != NULL && strcmp(name, "verify") == 0)
            return true;
    }
    return operations == NULL;
}

/* The bytes of a base64url member. False: absent, no base64url, or not within the bounds. */
static bool read_bytes(const struct jwk *jwk, const char *name, size_t min, size_t max, uint8_t *out, size_t *bytes_r)
{
    json_t *value = json_object_get(jwk->object, name);
    ASSERT(min > 0 && min <= max);
    if (!json_is_string(value))
        return false;
    struct span text = {json_string_value(value), json_string_length(value)};
    return base64url_decode(text, out, max, bytes_r) && *bytes_r >= min;
}

static EVP_PKEY *from_data(const char *kind, OSSL_PARAM *params)
{
    EVP_PKEY *public = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    if (context == NULL || params == NULL || EVP_PKEY_fromdata_init(context) != 1
        || EVP_PKEY_fromdata(context, &public, EVP_PKEY_PUBLIC_KEY, params) != 1)
    public = NULL;
    EVP_PKEY_CTX_free(context);
    return public;
}

static EVP_PKEY *make_rsa(const struct jwk *jwk)
{
    uint8_t n[NUMBER_BYTES_MAX], e[8];
    size_t n_bytes, e_bytes;
    EVP_PKEY *public = NULL;
    if (!read_bytes(jwk, "n", 1, sizeof n, n, &n_bytes) || !read_bytes(jwk, "e", 1, 4, e, &e_bytes))
        return NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n, (int)n_bytes, NULL), *exponent = BN_bin2bn(e, (int)e_bytes, NULL);
    if (build != NULL && modulus != NULL && exponent != NULL
        && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1
        && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
        public = from_data("RSA", params);
        OSSL_PARAM_free(params);
    }
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(build);
    return public;
}

static EVP_PKEY *make_p256(const struct jwk *jwk)
{
    uint8_t point[1 + 2 * CURVE_BYTES] = {4}; /* not compressed */
    char group[] = "prime256v1";
    size_t bytes;
    if (!read_bytes(jwk, "x", CURVE_BYTES, CURVE_BYTES, point + 1, &bytes)
        || !read_bytes(jwk, "y", CURVE_BYTES, CURVE_BYTES, point + 1 + CURVE_BYTES, &bytes))
        return NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
                           OSSL_PARAM_construct_end()};
    return from_data("EC", params);
}

static EVP_PKEY *make_ed25519(const struct jwk *jwk)
{
    uint8_t x[CURVE_BYTES];
    size_t bytes;
    if (!read_bytes(jwk, "x", CURVE_BYTES, CURVE_BYTES, x, &bytes))
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x);
}

/* -- keys that verify tokens; the others of a set are skipped -- */

struct kind {
    const char *kty;
    const char *crv; /* NULL: it has none */
    const char *alg;
    const char *other_alg; /* NULL: none */
    EVP_PKEY *(*make)(const struct jwk *jwk);
};

static const struct kind kinds[] = {
    {"RSA", NULL, "RS256", NULL, make_rsa},
    {"EC", "P-256", "ES256", NULL, make_p256},
    {"OKP", "Ed25519", "EdDSA", "Ed25519", make_ed25519},
};

/* NULL: a key of this kind verifies no token. */
static const struct kind *find_kind(const struct jwk *jwk)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (has_text(jwk, "kty", kinds[i].kty))
            return &kinds[i];
    return NULL;
}

/* The member that makes the key no use here; NULL: it is one that verifies tokens. */
static const char *find_obstacle(const struct jwk *jwk, const struct kind *kind)
{
    if (!may_be(jwk, "use", "sig"))
        return "use";
    if (!may_verify(jwk))
        return "key_ops";
    if (kind == NULL)
        return "kty";
    if (kind->crv != NULL && !has_text(jwk, "crv", kind->crv))
        return "crv";
    bool is_ours = may_be(jwk, "alg", kind->alg) || (kind->other_alg != NULL && has_text(jwk, "alg", kind->other_alg));
    return is_ours ? NULL : "alg";
}

static void skip(struct token_loader *loader, const struct jwk *jwk, const char *obstacle)
{
    const char *kid = json_string_value(json_object_get(jwk->object, "kid"));
    json_t *member = json_object_get(jwk->object, obstacle);
    const char *value = json_is_array(member) ? "" : json_is_string(member) ? json_string_value(member) : "?";
    token_files_skip(loader, kid != NULL ? kid : jwk->what, obstacle, value);
}

static bool take_usable(struct token_loader *loader, const struct jwk *jwk, EVP_PKEY *(*make)(const struct jwk *jwk))
{
    json_t *kid = json_object_get(jwk->object, "kid");
    if (kid != NULL && !json_is_string(kid))
        return token_files_fail(loader, "%s: its kid is no string", jwk->what);
    EVP_PKEY *public = make(jwk);
    if (public == NULL)
        return token_files_fail(loader, "%s: a part of it is missing, or is no valid base64url", jwk->what);
    struct span name = {json_string_value(kid), kid == NULL ? 0 : json_string_length(kid)};
    return token_files_add_public(loader, jwk->what, public, name);
}

static bool take_key(struct token_loader *loader, const struct jwk *jwk)
{
    static const char *const private_parts[] = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"};
    if (!json_is_object(jwk->object))
        return token_files_fail(loader, "%s is no JSON object", jwk->what);
    for (size_t i = 0; i < sizeof private_parts / sizeof private_parts[0]; i++)
        if (json_object_get(jwk->object, private_parts[i]) != NULL)
            return token_files_fail(loader, "%s has the private part \"%s\": remove it, the public part is enough",
                                    jwk->what, private_parts[i]);
    const struct kind *kind = find_kind(jwk);
    const char *obstacle = find_obstacle(jwk, kind);
    if (obstacle == NULL)
        return take_usable(loader, jwk, kind->make);
    skip(loader, jwk, obstacle);
    return true;
}

static bool take_set(struct token_loader *loader, json_t *root)
{
    json_t *keys = json_object_get(root, "keys");
    uint32_t before = loader->keys->count, skipped_before = loader->keys->skipped_count;
    size_t skipped_bytes = strlen(loader->keys->skipped); /* of the files before this one */
    if (keys == NULL && json_object_get(root, "kty") != NULL) {
        struct jwk jwk = {root, "the key"};
        if (!take_key(loader, &jwk))
            return false;
    } else if (!json_is_array(keys)) {
        return token_files_fail(loader, "is JSON, but neither a set of keys (an array \"keys\") nor a key (\"kty\"): "
                                        "fetch what is at the jwks_uri of the provider");
    }
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct jwk jwk = {json_array_get(keys, i), ""};
        (void)snprintf(jwk.what, sizeof jwk.what, "key %zu", i + 1);
        if (!take_key(loader, &jwk))
            return false;
    }
    return loader->keys->count > before
           || token_files_fail(loader,
                               "has no key that can be used: one for signatures (\"use\":\"sig\") is wanted: RSA for "
                               "RS256, EC with P-256 for ES256, or OKP with Ed25519 for EdDSA%s%.200s",
                               loader->keys->skipped_count > skipped_before ? "; it has " : "",
                               loader->keys->skipped + skipped_bytes
                                   + (skipped_bytes > 0 ? strspn(loader->keys->skipped + skipped_bytes, ", ") : 0));
}

bool token_files_take_jwks(struct token_loader *loader, const char *data, size_t bytes)
{
    json_error_t error;
    ASSERT(bytes > 0);
    json_t *root = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return token_files_fail(loader, "is no valid JSON: line %d: %.100s", error.line, error.text);
    bool is_good = take_set(loader, root);
    json_decref(root);
    return is_good;
}
