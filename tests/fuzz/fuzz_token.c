/*
 * Tokens and files of keys. The first byte chooses what the rest is:
 *
 *   t   a token as it is: never good, since its signature would have to be
 *   h   a header, signed: never good but for HS256 alone without crit
 *   p   a payload, signed: good only if jansson finds in it what the rules ask for
 *   s   a file of secrets; k a file of public keys in PEM; j a JWKS: what is accepted has keys within the bounds
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/token.h"
#include "auth/token_files.h"
#include "auth/token_reason.h"
#include "auth/token_sign.h"
#include "base/assert.h"
#include "protocol/request.h"

#define NOW_S 1700000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Made once: the key set of one secret, and what signs with it. */
struct kit {
    struct token_signer *signer;
    struct token_verifier *verifier;
};

static struct kit make_kit(void)
{
    struct kit kit;
    char path[] = "/tmp/chitchat-fuzz-secret-XXXXXX";
    struct token_files files = {.secrets = path};
    struct token_rules rules = {
        .user_claim = SPAN_LITERAL("sub"), .audiences = {SPAN_LITERAL("chat")}, .audience_count = 1};
    struct token_error error;
    struct token_keys *keys;
    int fd = mkstemp(path);
    const char secret[] = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE";
    ASSERT(fd >= 0 && write(fd, secret, sizeof secret - 1) == sizeof secret - 1);
    close(fd);
    ASSERT(token_signer_open_secret(&kit.signer, path, &error));
    ASSERT(token_keys_load(&keys, &files, &error));
    ASSERT(token_verifier_open(&kit.verifier, keys, &rules) == 0);
    token_keys_unref(&keys);
    unlink(path);
    return kit;
}

/* Fits a log line and an error, whatever the token has. */
static bool is_plain(const char *reason)
{
    size_t bytes = strlen(reason);
    for (size_t i = 0; i < bytes; i++)
        if (reason[i] < ' ' || reason[i] > '~' || reason[i] == '"')
            return false;
    return bytes > 0 && bytes <= TOKEN_REASON_BYTES_MAX;
}

static bool is_good(const struct kit *kit, struct span token, struct token_claims *claims_r)
{
    struct token_result result = token_verify(kit->verifier, token, NOW_S, claims_r);
    ASSERT(result.tries <= token_algorithm_tries(result.algorithm));
    ASSERT(result.reason == NULL || is_plain(result.reason));
    return result.reason == NULL;
}

static bool is_good_signed(const struct kit *kit, struct span header, struct span payload,
                           struct token_claims *claims_r)
{
    static char token[TOKEN_BYTES_MAX];
    size_t token_bytes;
    return token_sign_parts(kit->signer, header, payload, token, &token_bytes)
           && is_good(kit, (struct span){token, token_bytes}, claims_r);
}

static void check_header(const struct kit *kit, struct span header)
{
    struct token_claims claims;
    if (!is_good_signed(kit, header, SPAN_LITERAL("{\"sub\":\"u\",\"exp\":1800000000,\"aud\":\"chat\"}"), &claims))
        return;
    json_t *object = json_loadb(header.data, header.bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    ASSERT(json_is_object(object) && json_object_get(object, "crit") == NULL);
    ASSERT(strcmp(json_string_value(json_object_get(object, "alg")), "HS256") == 0);
    json_decref(object);
}

static bool has_audience(json_t *audience)
{
    json_t *element;
    size_t i;
    if (json_is_string(audience))
        return strcmp(json_string_value(audience), "chat") == 0;
    json_array_foreach(audience, i, element)
    {
        if (json_is_string(element) && strcmp(json_string_value(element), "chat") == 0)
            return true;
    }
    return false;
}

static void check_payload(const struct kit *kit, struct span payload)
{
    struct token_claims claims;
    if (!is_good_signed(kit, SPAN_LITERAL("{\"alg\":\"HS256\"}"), payload, &claims))
        return;
    ASSERT(claims.expires_s + TOKEN_LEEWAY_S > NOW_S);
    ASSERT(request_is_user_name((struct span){claims.user, claims.user_bytes}));
    json_t *object = json_loadb(payload.data, payload.bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (object == NULL)
        return; /* jansson refuses numbers beyond a double */
    json_t *user = json_object_get(object, "sub");
    ASSERT(json_is_string(user) && json_is_number(json_object_get(object, "exp")));
    ASSERT(span_equal((struct span){json_string_value(user), json_string_length(user)},
                      (struct span){claims.user, claims.user_bytes}));
    ASSERT(has_audience(json_object_get(object, "aud")));
    json_decref(object);
}

static void check_file(bool (*take)(struct token_loader *loader, const char *data, size_t bytes), const char *data,
                       size_t bytes)
{
    struct token_error error = {""};
    struct token_loader loader = {.keys = calloc(1, sizeof *loader.keys), .file = "F", .error = &error};
    ASSERT(loader.keys != NULL);
    atomic_init(&loader.keys->references, 1);
    bool is_taken = take(&loader, data, bytes);
    ASSERT(is_taken == (error.text[0] == '\0'));
    ASSERT(!is_taken || loader.keys->count > 0);
    ASSERT(loader.keys->count <= TOKEN_KEYS_MAX);
    for (uint32_t i = 0; is_taken && i < loader.keys->count; i++) {
        const struct token_key *key = &loader.keys->keys[i];
        ASSERT((key->algorithm == TOKEN_HS256) == (key->public == NULL));
        ASSERT(key->algorithm != TOKEN_HS256 || key->secret_bytes >= TOKEN_SECRET_BYTES_MIN);
    }
    token_keys_unref(&loader.keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct kit kit;
    struct token_claims claims;
    if (kit.verifier == NULL)
        kit = make_kit();
    if (bytes < 2 || bytes > TOKEN_FILE_BYTES_MAX)
        return 0;
    size_t count = bytes - 1;
    char *copy = calloc(1, count + 1);
    ASSERT(copy != NULL);
    memcpy(copy, data + 1, count);
    struct span rest = {copy, count};
    switch (data[0]) {
    case 't': ASSERT(!is_good(&kit, rest, &claims)); break;
    case 'h': check_header(&kit, rest); break;
    case 'p': check_payload(&kit, rest); break;
    case 's': check_file(token_files_take_secrets, copy, count); break;
    case 'k': check_file(token_files_take_pem, copy, count); break;
    case 'j': check_file(token_files_take_jwks, copy, count); break;
    default: break;
    }
    free(copy);
    return 0;
}
