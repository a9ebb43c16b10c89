/* How long does it take to verify a token at a login, with each algorithm, good and forged? There are as many keys as
 * are allowed without a kid (TOKEN_TRIES_…). The last public key has signed the good token, and all are tried with the
 * forged one: so these take the longest. The first secret has signed that of HS256. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

#include "auth/token.h"
#include "auth/token_sign.h"
#include "micro/micro.h"

#define NOW_S 1700000000u

struct question {
    struct token_verifier *verifier;
    char token[TOKEN_BYTES_MAX];
    size_t bytes;
    bool is_good;
};

static void verify(void *context, uint64_t rounds)
{
    struct question *question = context;
    for (uint64_t i = 0; i < rounds; i++) {
        struct token_claims claims;
        struct span token = {question->token, question->bytes};
        const char *reason = token_verify(question->verifier, token, NOW_S, &claims).reason;
        ASSERT((reason == NULL) == question->is_good);
    }
}

/* Writes private and public key into `dir`. */
static void write_pair(EVP_PKEY *pair, const char *private_path, const char *public_path)
{
    FILE *private = fopen(private_path, "w"), *public = fopen(public_path, "w");
    ASSERT(pair != NULL && private != NULL && public != NULL);
    micro_must(PEM_write_PrivateKey(private, pair, NULL, NULL, 0, NULL, NULL) - 1);
    micro_must(PEM_write_PUBKEY(public, pair) - 1);
    micro_must(fchmod(fileno(private), 0600));
    fclose(private);
    fclose(public);
}

static EVP_PKEY *generate(const char *kind)
{
    if (strncmp(kind, "RSA", 3) == 0)
        return EVP_RSA_gen((unsigned)atoi(kind + 3));
    return strcmp(kind, "P-256") == 0 ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, kind);
}

/* Measures a token of `signer`, and one that no key has signed. */
static void ask(struct micro *micro, const char *name, struct token_signer *signer, const struct token_files *files,
                size_t filler_bytes)
{
    static struct question question;
    struct token_error error;
    struct token_keys *keys;
    struct token_rules rules = {.user_claim = SPAN_LITERAL("sub")};
    char filler[TOKEN_BYTES_MAX], text[80];
    memset(filler, 'x', filler_bytes);
    struct token_grant grant = {.user = SPAN_LITERAL("alice"),
                                .user_claim = SPAN_LITERAL("sub"),
                                .issuer = {filler, filler_bytes},
                                .expires_s = NOW_S + 3600};
    bool is_good = token_keys_load(&keys, files, &error);
    ASSERT(is_good);
    micro_must(token_verifier_open(&question.verifier, keys, &rules));
    is_good = token_sign(signer, &grant, question.token, &question.bytes);
    ASSERT(is_good);
    question.is_good = true;
    (void)snprintf(text, sizeof text, "verify a token, %s", name);
    micro_run(micro, text, 1, verify, &question);
    /* In the first half of the signature: EdDSA and ES256 refuse some second halves without a computation. */
    char *changed = (char *)memrchr(question.token, '.', question.bytes) + 3;
    *changed = *changed == 'A' ? 'B' : 'A';
    question.is_good = false;
    (void)snprintf(text, sizeof text, "refuse a forged token, %s, keys tried: %u", name, token_keys_count(keys));
    micro_run(micro, text, 1, verify, &question);
    token_verifier_close(&question.verifier);
    token_keys_unref(&keys);
}

static void ask_of_pairs(struct micro *micro, const char *dir, const char *name, const char *kind, uint32_t pairs)
{
    char private[4200], public[2][4200];
    const char *publics[2] = {public[0], public[1]};
    struct token_signer *signer;
    struct token_error error;
    (void)snprintf(private, sizeof private, "%s/private", dir);
    for (uint32_t i = 0; i < pairs; i++) {
        EVP_PKEY *pair = generate(kind);
        (void)snprintf(public[i], sizeof public[i], "%s/public-%u", dir, i);
        write_pair(pair, private, public[i]);
        EVP_PKEY_free(pair);
    }
    bool is_open = token_signer_open_key(&signer, private, &error);
    ASSERT(is_open);
    ask(micro, name, signer, &(struct token_files){.keys = publics, .key_count = pairs}, 0);
    token_signer_close(&signer);
}

/* As many secrets as are allowed, all the same. */
static void ask_of_secrets(struct micro *micro, const char *dir)
{
    char path[4200];
    struct token_signer *signer;
    struct token_error error;
    (void)snprintf(path, sizeof path, "%s/secrets", dir);
    FILE *file = fopen(path, "w");
    ASSERT(file != NULL);
    for (uint32_t i = 0; i < TOKEN_TRIES_HS256; i++)
        fprintf(file, "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\n");
    micro_must(fchmod(fileno(file), 0600));
    fclose(file);
    bool is_open = token_signer_open_secret(&signer, path, &error);
    ASSERT(is_open);
    ask(micro, "HS256", signer, &(struct token_files){.secrets = path}, 0);
    ask(micro, "HS256, 7 KB", signer, &(struct token_files){.secrets = path}, 5500);
    token_signer_close(&signer);
}

int main(int argc, char **argv)
{
    struct micro micro = {.program = "token", .counts_cpu = true};
    char *dir = micro_make_dir(argc, argv);
    ask_of_secrets(&micro, dir);
    ask_of_pairs(&micro, dir, "RS256, 2,048 bits", "RSA2048", TOKEN_TRIES_RS256);
    ask_of_pairs(&micro, dir, "RS256, 4,096 bits", "RSA4096", TOKEN_TRIES_RS256);
    ask_of_pairs(&micro, dir, "ES256", "P-256", TOKEN_TRIES_ES256);
    ask_of_pairs(&micro, dir, "EdDSA", "ED25519", TOKEN_TRIES_EDDSA);
    micro_remove_dir(dir);
    micro_end(&micro);
    return 0;
}
