#include "token_fixture.h"

TestSuite(token_keys, .init = token_dir_make, .fini = token_dir_remove);

static struct token_error error;

/* How many keys there are; -1: refused, and `error` says why. */
static int load(const char *secrets, const char *const *keys, uint32_t key_count)
{
    struct token_files files = {.secrets = secrets, .keys = keys, .key_count = key_count};
    struct token_keys *set;
    if (!token_keys_load(&set, &files, &error))
        return -1;
    int count = (int)token_keys_count(set);
    token_keys_unref(&set);
    cr_assert_null(set);
    return count;
}

static int load_secrets(unsigned mode, const char *text)
{
    char *path = token_file("secrets", mode, text);
    int count = load(path, NULL, 0);
    free(path);
    return count;
}

static int load_keys(unsigned mode, const char *text)
{
    char *path = token_file("keys", mode, text);
    const char *const paths[] = {path};
    int count = load(NULL, paths, 1);
    free(path);
    return count;
}

static int load_path(const char *name)
{
    char *path = strdup(token_path(name));
    const char *const paths[] = {path};
    int count = load(NULL, paths, 1);
    free(path);
    return count;
}

static void expect(int count, const char *said)
{
    cr_assert_eq(count, -1, "accepted, wanted: %s", said);
    cr_assert_not_null(strstr(error.text, said), "%s: %s", said, error.text);
    cr_assert_not_null(strstr(error.text, token_dir), "the file is named: %s", error.text);
    cr_assert_null(strchr(error.text, '\n'), "one line");
}

Test(token_keys, secrets_are_lines_of_base64url_of_32_bytes_or_more)
{
    cr_assert_eq(load_secrets(0600, SECRET_A), 1, "%s", error.text);
    cr_assert_eq(load_secrets(0640, SECRET_A "\n\r\n" SECRET_B "\n"), 2, "%s", error.text);
    expect(load_secrets(0600, "\n\n"), "no secret");
    expect(load_secrets(0600, ""), "is empty");
    expect(load_secrets(0600, SECRET_A "\nQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQQ\n"), "line 2 has 31 bytes");
    expect(load_secrets(0600, SECRET_A "=\n"), "line 1 is no secret");
    expect(load_secrets(0600, " " SECRET_A "\n"), "line 1 is no secret");
    expect(load_secrets(0600, "my secret is long enough, but it is no base64url\n"), "line 1 is no secret");
}

Test(token_keys, files_that_others_may_read_or_change_are_refused)
{
    expect(load_secrets(0604, SECRET_A), "chmod o-rwx");
    expect(load_secrets(0602, SECRET_A), "chmod o-rwx");
    token_make_pair("p256", "pair");
    cr_assert_eq(chmod(token_path("pair.pub"), 0646), 0);
    expect(load_path("pair.pub"), "chmod o-w");
    cr_assert_eq(chmod(token_path("pair.pub"), 0644), 0);
    cr_assert_eq(load_path("pair.pub"), 1);
}

Test(token_keys, what_is_no_file_is_refused)
{
    expect(load_path("nothing"), "cannot be opened: No such file");
    cr_assert_eq(mkdir(token_path("dir"), 0700), 0);
    expect(load_path("dir"), "no regular file");
    cr_assert_eq(mkfifo(token_path("fifo"), 0600), 0);
    expect(load_path("fifo"), "no regular file");
    char *large = calloc(1, TOKEN_FILE_BYTES_MAX + 2);
    memset(large, 'A', TOKEN_FILE_BYTES_MAX + 1);
    expect(load_secrets(0600, large), "larger than 256 KiB");
    free(large);
}

Test(token_keys, the_kind_of_a_public_key_decides_its_algorithm)
{
    static const struct {
        const char *kind;
        enum token_algorithm algorithm;
    } cases[] = {{"rsa2048", TOKEN_RS256}, {"p256", TOKEN_ES256}, {"ed25519", TOKEN_EDDSA}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct token_keys *set;
        token_make_pair(cases[i].kind, "pair");
        const char *const paths[] = {token_path("pair.pub")};
        cr_assert(token_keys_load(&set, &(struct token_files){.keys = paths, .key_count = 1}, &error), "%s",
                  error.text);
        cr_assert_eq(token_keys_at(set, 0)->algorithm, cases[i].algorithm);
        cr_assert_not(token_keys_at(set, 0)->has_kid);
        token_keys_unref(&set);
    }
}

Test(token_keys, keys_that_cannot_be_used_are_refused_with_the_reason)
{
    token_make_pair("rsa1024", "pair");
    expect(load_path("pair.pub"), "RSA with 1024 bits is too short");
    char large[1024];
    (void)snprintf(large, sizeof large, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%0684d\"}", 0);
    memset(strstr(large, "000"), '_', 684);
    expect(load_keys(0644, large), "RSA with 4104 bits takes too long");
    token_make_pair("p384", "pair");
    expect(load_path("pair.pub"), "secp384r1 is not supported");
    token_make_pair("ed448", "pair");
    expect(load_path("pair.pub"), "kind of key is not supported");
    token_make_pair("x25519", "pair");
    expect(load_path("pair.pub"), "kind of key is not supported");
    token_make_pair("ed25519", "pair");
    expect(load_path("pair.pem"), "private key");
    expect(load_keys(0644, SECRET_A "\n"), "no public key");
    expect(load_keys(0644, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "certificate");
    expect(load_keys(0644, "-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n"), "PUBLIC KEY");
    expect(load_keys(0644, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "cannot read it");
    expect(load_keys(0644, "-----BEGIN PUBLIC KEY-----\nAAAA\n"), "block 1 is damaged");
    token_make_pair("ed25519", "pair");
    char *path = strdup(token_path("pair.pub"));
    cr_assert_eq(chmod(path, 0600), 0);
    expect(load(path, NULL, 0), "--token-keys");
    free(path);
}

/* One of the longest exponents would make a signature take some milliseconds of a shard. */
static void make_rsa_with_exponent(const char *hex)
{
    EVP_PKEY *pair = NULL;
    BIGNUM *exponent = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    cr_assert(BN_hex2bn(&exponent, hex) > 0);
    cr_assert(EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048) == 1
              && EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, exponent) == 1 && EVP_PKEY_generate(context, &pair) == 1);
    token_write_pair(pair, "pair");
    BN_free(exponent);
    EVP_PKEY_free(pair);
    EVP_PKEY_CTX_free(context);
}

Test(token_keys, rsa_keys_whose_exponent_makes_them_slow_are_refused)
{
    make_rsa_with_exponent("FFFFFFFB");
    cr_assert_eq(load_path("pair.pub"), 1, "%s", error.text);
    make_rsa_with_exponent("10000000F");
    expect(load_path("pair.pub"), "key 1: RSA with an exponent of more than 32 bits takes too long");
}

Test(token_keys, a_file_with_a_damaged_key_after_a_good_one_is_refused)
{
    static const char *const damaged[] = {"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2Vw",
                                          "-----BEGIN PUBLIC KEY-----\n@@@@\n"
                                          "-----END PUBLIC KEY-----\n",
                                          "-----BEGIN PUB"};
    char good[512] = "", both[1024];
    token_make_pair("ed25519", "pair");
    FILE *file = fopen(token_path("pair.pub"), "r");
    cr_assert_not_null(file);
    cr_assert_gt(fread(good, 1, sizeof good - 1, file), 0);
    (void)fclose(file);
    cr_assert_eq(load_keys(0644, good), 1, "%s", error.text);
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        (void)snprintf(both, sizeof both, "%s%s", good, damaged[i]);
        expect(load_keys(0644, both), "block 2 is damaged");
    }
}

#define ED(more) "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"" more "}"
#define EC(more)                                                                                                       \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_"  \
    "tue659LNpXW6pCyStikYjKIWI5a0\"" more "}"
#define SET(keys) "{\"keys\":[" keys "]}"

Test(token_keys, a_set_of_json_web_keys_has_what_can_be_used_and_the_rest_is_skipped)
{
    cr_assert_eq(load_keys(0644, SET(ED("") "," EC(""))), 2, "%s", error.text);
    cr_assert_eq(load_keys(0644, "\n" ED("")), 1, "%s", error.text);
    cr_assert_eq(
        load_keys(
            0644,
            SET(ED(",\"kid\":\"a\",\"use\":\"sig\",\"alg\":\"EdDSA\",\"key_ops\":[\"verify\"]") "," EC(
                ",\"use\":\"enc\"") "," EC(",\"alg\":\"ECDH-ES\"") "," EC(",\"key_ops\":[\"deriveKey\"]") ",{\"kty\":"
                                                                                                          "\"EC\","
                                                                                                          "\"crv\":\"P-"
                                                                                                          "384\"},"
                                                                                                          "{\"kty\":"
                                                                                                          "\"new\"}")),
        1, "%s", error.text);
}

static const char *skipped_of(const char *text, uint32_t count)
{
    static char skipped[TOKEN_SKIPPED_BYTES_MAX + 1];
    struct token_keys *set;
    char *path = token_file("keys", 0644, text);
    const char *const paths[] = {path};
    cr_assert(token_keys_load(&set, &(struct token_files){.keys = paths, .key_count = 1}, &error), "%s", error.text);
    cr_assert_eq(token_keys_skipped_count(set), count);
    (void)snprintf(skipped, sizeof skipped, "%s", token_keys_skipped(set));
    token_keys_unref(&set);
    free(path);
    return skipped;
}

Test(token_keys, a_set_says_which_keys_were_skipped_and_why)
{
    cr_assert_str_eq(skipped_of(SET(ED("")), 0), "");
    cr_assert_str_eq(
        skipped_of(SET(ED("") "," EC(",\"kid\":\"e\",\"use\":\"enc\"") "," EC(",\"alg\":\"ECDH-ES\"") "," EC(
                       ",\"kid\":\"o\",\"key_ops\":[\"sign\"]") ",{\"kid\":\"p\",\"kty\":\"EC\",\"crv\":\"P-384\"},"
                                                                "{\"kid\":\"r\",\"kty\":\"RSA\",\"alg\":"
                                                                "\"PS256\"},{\"kty\":\"n\\\"w\"},{}"),
                   7),
        "e (use enc), key 3 (alg ECDH-ES), o (key_ops), p (crv P-384), r (alg PS256), key 7 (kty n'w), key 8 (kty ?)");
}

Test(token_keys, the_text_about_skipped_keys_is_cut_at_its_bound)
{
    char text[8192] = "{\"keys\":[" ED("");
    for (int i = 0; i < 60; i++)
        strcat(text, ",{\"kid\":\"0123456789abcdef\",\"kty\":\"RSA\",\"alg\":\"PS256\"}");
    strcat(text, "]}");
    const char *skipped = skipped_of(text, 60);
    size_t bytes = strlen(skipped);
    cr_assert_leq(bytes, TOKEN_SKIPPED_BYTES_MAX);
    cr_assert_str_eq(skipped + bytes - 17, " (alg PS256), ...");
}

Test(token_keys, a_set_of_json_web_keys_that_is_wrong_is_refused)
{
    expect(load_keys(0644, SET(ED(",\"d\":\"AAAA\""))), "private part \"d\"");
    expect(load_keys(0644, SET("{\"kty\":\"oct\",\"k\":\"" SECRET_A "\"}")), "private part \"k\"");
    expect(load_keys(0644, SET(EC(",\"use\":\"enc\",\"d\":\"AAAA\""))), "private part \"d\"");
    expect(load_keys(0644, SET("")), "no key that can be used");
    expect(load_keys(0644, SET(EC(",\"use\":\"enc\""))), "for EdDSA; it has key 1 (use enc)");
    expect(load_keys(0644, "{\"keys\":{}}"), "neither a set of keys");
    expect(load_keys(0644, "{\"keys\":[7]}"), "no JSON object");
    expect(load_keys(0644, "{\"keys\":["), "no valid JSON");
    expect(load_keys(0644, SET(ED(",\"kid\":7"))), "kid is no string");
    expect(load_keys(0644, SET(ED(",\"kid\":\"a\"") "," ED(",\"kid\":\"a\""))), "kid a is repeated");
    expect(load_keys(0644, SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}")), "part of it is missing");
    expect(load_keys(0644, SET("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}")), "too short");
    expect(load_keys(0644, SET("{\"kty\":\"RSA\",\"n\":\"AQAB\"}")), "part of it is missing");
    expect(
        load_keys(0644, SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                            "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}")),
        "key 1");
}

Test(token_keys, more_keys_without_a_kid_than_one_token_may_be_tried_with_are_refused)
{
    char text[1024] = "";
    for (int i = 0; i < 8; i++)
        strcat(text, SECRET_A "\n");
    cr_assert_eq(load_secrets(0600, text), 8, "%s", error.text);
    strcat(text, SECRET_A "\n");
    expect(load_secrets(0600, text), "more than 8 secrets");
    cr_assert_eq(load_keys(0644, SET(EC("") "," EC(""))), 2, "%s", error.text);
    expect(load_keys(0644, SET(EC("") "," EC("") "," EC(""))), "more than 2 keys for ES256 without a kid");
    expect(load_keys(0644, SET(ED("") "," ED(""))), "more than 1 keys for EdDSA without a kid");
}

Test(token_keys, a_reference_keeps_the_set)
{
    struct token_keys *set, *other;
    char *path = token_file("secrets", 0600, SECRET_A);
    cr_assert(token_keys_load(&set, &(struct token_files){.secrets = path}, &error));
    other = token_keys_ref(set);
    token_keys_unref(&set);
    cr_assert_eq(token_keys_count(other), 1);
    token_keys_unref(&other);
    token_keys_unref(&other);
    free(path);
}
