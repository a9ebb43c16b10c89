#include "auth/token.h"

#include <errno.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/token_claims.h"
#include "auth/token_reason.h"
#include "auth/token_signature.h"
#include "base/assert.h"
#include "protocol/json.h"

struct token_verifier {
    /* Set by open, then only read. */
    struct token_keys *keys; /* a reference */
    struct token_rules rules;

    /* Scratch. */
    struct token_signature *signature;
    struct json_reader *json;
    char text[TOKEN_BYTES_MAX];  /* the part that is read: changed by the reader */
    char plain[TOKEN_BYTES_MAX]; /* the same, unchanged */
    struct token_reason reason;  /* what the caller gets */
};

/* A token cut at its dots, and its signature. */
struct parts {
    struct span header;
    struct span payload;
    struct span content; /* header, dot and payload: what is signed */
    uint8_t signature[TOKEN_SIGNATURE_BYTES_MAX];
    size_t signature_bytes;
};

struct header {
    enum token_algorithm algorithm;
    bool has_kid;
    struct span kid;
};

int token_verifier_open(struct token_verifier **verifier_r, struct token_keys *keys, const struct token_rules *rules)
{
    ASSERT(rules->user_claim.bytes > 0);
    struct token_verifier *verifier = calloc(1, sizeof *verifier);
    *verifier_r = NULL;
    if (verifier == NULL)
        return -ENOMEM;
    verifier->keys = token_keys_ref(keys);
    verifier->rules = *rules;
    int status = token_signature_open(&verifier->signature, keys);
    if (status == 0)
        status = json_reader_open(&verifier->json, TOKEN_BYTES_MAX);
    if (status != 0)
        token_verifier_close(&verifier);
    *verifier_r = verifier;
    return status;
}

void token_verifier_close(struct token_verifier **verifier_p)
{
    struct token_verifier *verifier = *verifier_p;
    *verifier_p = NULL;
    if (verifier == NULL)
        return;
    token_signature_close(&verifier->signature);
    json_reader_close(&verifier->json);
    token_keys_unref(&verifier->keys);
    free(verifier);
}

static const char *explain_no_jwt(struct span token)
{
    uint32_t dots = 0;
    for (size_t i = 0; i < token.bytes; i++)
        dots += token.data[i] == '.';
    if (dots == 4)
        return "the token has five parts, so it may be encrypted (JWE): have its issuer sign it only, as a JWT of "
               "three parts";
    return "the token is no JWT of three parts with dots between them; if it is an opaque access token, have its "
           "issuer make JWTs for this server";
}

static const char *cut(struct span token, struct parts *parts_r)
{
    if (token.bytes > TOKEN_BYTES_MAX)
        return "the token is longer than 8192 bytes";
    const char *end = token.data + token.bytes;
    const char *first = token.bytes == 0 ? NULL : memchr(token.data, '.', token.bytes);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first) - 1);
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second) - 1) != NULL)
        return explain_no_jwt(token);
    parts_r->header = (struct span){token.data, (size_t)(first - token.data)};
    parts_r->payload = (struct span){first + 1, (size_t)(second - first) - 1};
    parts_r->content = (struct span){token.data, (size_t)(second - token.data)};
    struct span signature = {second + 1, (size_t)(end - second) - 1};
    if (signature.bytes == 0)
        return "the token has no signature";
    if (!base64url_decode(signature, parts_r->signature, sizeof parts_r->signature, &parts_r->signature_bytes))
        return "the token's signature is no base64url without padding, or too long";
    return NULL;
}

/* Reads a part as a JSON object into the verifier's reader. */
static bool read_object(struct token_verifier *verifier, struct span part)
{
    size_t bytes;
    const char *reason;
    if (!base64url_decode(part, (uint8_t *)verifier->plain, sizeof verifier->plain, &bytes))
        return false;
    memcpy(verifier->text, verifier->plain, bytes);
    return json_read_object(verifier->json, verifier->text, bytes, &reason);
}

/* The spelling is compared exactly: "none", "None" and "hs256" are unknown. RFC 9864 calls EdDSA Ed25519. */
static bool find_algorithm(struct span name, enum token_algorithm *algorithm_r)
{
    for (int i = 0; i < TOKEN_ALGORITHMS; i++) {
        *algorithm_r = (enum token_algorithm)i;
        if (span_equal(name, token_algorithm_name(*algorithm_r)))
            return true;
    }
    *algorithm_r = TOKEN_EDDSA;
    return span_equal(name, SPAN_LITERAL("Ed25519"));
}

static const char *read_header(struct token_verifier *verifier, struct span part, struct header *header_r)
{
    if (!read_object(verifier, part))
        return "the token's header is no base64url of a JSON object without repeated names";
    const struct json_member *algorithm = json_find(verifier->json, SPAN_LITERAL("alg"));
    const struct json_member *kid = json_find(verifier->json, SPAN_LITERAL("kid"));
    if (json_find(verifier->json, SPAN_LITERAL("crit")) != NULL)
        return "the token's header has crit, of which the server understands nothing";
    if (kid != NULL && kid->kind != JSON_KIND_STRING)
        return "the token's kid is no string";
    header_r->has_kid = kid != NULL;
    header_r->kid = kid != NULL ? kid->value : (struct span){"", 0};
    if (algorithm == NULL || algorithm->kind != JSON_KIND_STRING)
        return "the token's header has no alg, or one that is no string";
    if (!find_algorithm(algorithm->value, &header_r->algorithm))
        return token_reason_write(
            &verifier->reason,
            "the token's alg is %s: have its issuer sign with RS256, ES256 or EdDSA (Ed25519), or "
            "with HS256",
            token_reason_value(&verifier->reason, algorithm->value));
    return NULL;
}

static bool has_kid(const struct token_key *key, struct span kid)
{
    return key->has_kid && span_equal((struct span){key->kid, key->kid_bytes}, kid);
}

/* The keys that may have signed the token: their indices, those without a kid first, and their
 * number. */
static uint32_t candidates(const struct token_keys *keys, const struct header *header, uint32_t indices[TOKEN_KEYS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < token_keys_count(keys); i++) {
        const struct token_key *key = token_keys_at(keys, i);
        if (key->algorithm != header->algorithm)
            continue;
        if (header->has_kid && has_kid(key, header->kid)) {
            indices[0] = i;
            return 1;
        }
        if (!key->has_kid)
            indices[count++] = i;
    }
    for (uint32_t i = 0; i < token_keys_count(keys) && !header->has_kid; i++) {
        const struct token_key *key = token_keys_at(keys, i);
        if (key->algorithm == header->algorithm && key->has_kid)
            indices[count++] = i;
    }
    ASSERT(count <= TOKEN_KEYS_MAX);
    return count;
}

static const char *explain_no_key(struct token_verifier *verifier, const struct header *header)
{
    const char *algorithm = token_algorithm_name(header->algorithm).data;
    if (header->has_kid)
        return token_reason_write(&verifier->reason,
                                  "the server has no key for %s with the token's kid %s: its keys may be older than "
                                  "the token",
                                  algorithm, token_reason_value(&verifier->reason, header->kid));
    return token_reason_write(&verifier->reason, "the server has no key for the token's alg, %s", algorithm);
}

static const char *check_signature(struct token_verifier *verifier, const struct parts *parts,
                                   const struct header *header, struct token_result *result)
{
    uint32_t indices[TOKEN_KEYS_MAX];
    uint32_t count = candidates(verifier->keys, header, indices);
    uint32_t most = token_algorithm_tries(header->algorithm);
    if (count == 0)
        return explain_no_key(verifier, header);
    for (uint32_t i = 0; i < count && i < most; i++) {
        result->tries++;
        if (token_signature_is_good(verifier->signature, indices[i], parts->content,
                                    (struct span){(const char *)parts->signature, parts->signature_bytes}))
            return NULL;
    }
    return count <= most ? "no key of the server has signed the token: its signature is wrong"
                         : "the token has no kid, and the server has too many keys to try them all";
}

struct token_result token_verify(struct token_verifier *verifier, struct span token, uint64_t now_s,
                                 struct token_claims *claims_r)
{
    struct token_result result = {.reason = NULL, .algorithm = TOKEN_HS256};
    struct parts parts;
    struct header header;
    result.reason = cut(token, &parts);
    if (result.reason == NULL)
        result.reason = read_header(verifier, parts.header, &header);
    if (result.reason != NULL)
        return result;
    result.algorithm = header.algorithm;
    result.reason = check_signature(verifier, &parts, &header, &result);
    if (result.reason == NULL && !read_object(verifier, parts.payload))
        result.reason = "the token's payload is no base64url of a JSON object without repeated names";
    if (result.reason == NULL)
        result.reason = token_claims_read(verifier->json, verifier->text, verifier->plain, &verifier->rules, now_s,
                                          claims_r, &verifier->reason);
    return result;
}
