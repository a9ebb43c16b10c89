#include "token_fixture.h"

#define NOW 1700000000u
/* The time of the examples of RFC 7515: before their `exp`. */
#define NOW_OF_RFC 1300819000u

static struct token_rules rules;
static struct token_claims claims;
static char token[TOKEN_BYTES_MAX];

static void begin(void)
{
    rules = (struct token_rules){.user_claim = SPAN_LITERAL("sub")};
    token_dir_make();
}

TestSuite(token, .init = begin, .fini = token_dir_remove);

static struct token_verifier *verifier_of(const char *secrets, const char *const *keys, uint32_t key_count)
{
    struct token_files files = {.secrets = secrets, .keys = keys, .key_count = key_count};
    struct token_keys *set;
    struct token_error error;
    struct token_verifier *verifier;
    cr_assert(token_keys_load(&set, &files, &error), "%s", error.text);
    cr_assert_eq(token_verifier_open(&verifier, set, &rules), 0);
    token_keys_unref(&set);
    return verifier;
}

static struct token_verifier *verifier_of_text(const char *text, bool is_secret)
{
    char *path = token_file("keys", 0600, text);
    const char *const paths[] = {path};
    struct token_verifier *verifier = is_secret ? verifier_of(path, NULL, 0) : verifier_of(NULL, paths, 1);
    free(path);
    return verifier;
}

/* NULL: good. */
static const char *reason_at(struct token_verifier *verifier, const char *text, uint64_t now_s)
{
    return token_verify(verifier, span_of(text), now_s, &claims).reason;
}

static void expect(struct token_verifier *verifier, const char *text, const char *said)
{
    const char *reason = reason_at(verifier, text, NOW);
    cr_assert_not_null(reason, "accepted: %s", text);
    cr_assert_not_null(strstr(reason, said), "%s: %s", said, reason);
    cr_assert_leq(strlen(reason), TOKEN_REASON_BYTES_MAX);
}

static const char *signed_with(struct token_signer *signer, const char *header, const char *payload)
{
    size_t bytes;
    cr_assert(token_sign_parts(signer, span_of(header), span_of(payload), token, &bytes));
    token[bytes] = '\0';
    return token;
}

/* -- vectors of the RFCs: none of them has `sub`, so that is what is missing when the signature is good -- */

#define RFC_PAYLOAD "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

static void expect_vector(struct token_verifier *verifier, const char *text, const char *said)
{
    char changed[2048];
    const char *reason = reason_at(verifier, text, NOW_OF_RFC);
    cr_assert_not_null(strstr(reason, said), "%s", reason);
    (void)snprintf(changed, sizeof changed, "%s", text);
    char *signature = strrchr(changed, '.') + 1;
    for (size_t i = 0; i + 2 < strlen(signature); i += 7) {
        char before = signature[i];
        signature[i] = before == 'A' ? 'B' : 'A';
        reason = reason_at(verifier, changed, NOW_OF_RFC);
        cr_assert_not_null(strstr(reason, "signature is wrong"), "%s", reason);
        signature[i] = before;
    }
    token_verifier_close(&verifier);
}

Test(token, hs256_of_rfc_7515_a_1_has_a_good_signature_and_none_with_a_bit_changed)
{
    expect_vector(verifier_of_text("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9"
                                   "CAow\n",
                                   true),
                  "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_PAYLOAD
                  ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                  "sub is missing");
}

Test(token, rs256_of_rfc_7515_a_2_has_a_good_signature_and_none_with_a_bit_changed)
{
    expect_vector(
        verifier_of_text("{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
                         "Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
                         "7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3"
                         "qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
                         "yuXpoQ\",\"e\":\"AQAB\"}",
                         false),
        "eyJhbGciOiJSUzI1NiJ9." RFC_PAYLOAD
        ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
        "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO-"
        "-"
        "xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_"
        "IoypGlUPQGe77Rw",
        "sub is missing");
}

Test(token, es256_of_rfc_7515_a_3_has_a_good_signature_and_none_with_a_bit_changed)
{
    expect_vector(
        verifier_of_text("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8"
                         "Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
                         false),
        "eyJhbGciOiJFUzI1NiJ9." RFC_PAYLOAD
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        "sub is missing");
}

Test(token, ed25519_of_rfc_8037_a_4_has_a_good_signature_and_none_with_a_bit_changed)
{
    expect_vector(verifier_of_text("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaP"
                                   "cHURo\"}",
                                   false),
                  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
                  ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
                  "payload is no base64url of a JSON object");
}

/* -- round trips -- */

static void expect_user(struct token_verifier *verifier, const char *text, const char *user)
{
    const char *reason = reason_at(verifier, text, NOW);
    cr_assert_null(reason, "%s", reason);
    cr_assert(span_equal(span_of(user), (struct span){claims.user, claims.user_bytes}));
}

static void round_trip(const char *kind, enum token_algorithm algorithm)
{
    size_t bytes;
    token_make_pair(kind, "pair");
    char *path = strdup(token_path("pair.pub"));
    const char *const paths[] = {path};
    struct token_signer *signer = token_signer_of("pair.pem", false);
    struct token_verifier *verifier = verifier_of(NULL, paths, 1);
    struct token_grant grant = {
        .user = SPAN_LITERAL("alice"), .user_claim = SPAN_LITERAL("sub"), .expires_s = NOW + 60};
    for (int i = 0; i < 40; i++) {
        grant.issued_s = NOW + (unsigned)i;
        cr_assert(token_sign(signer, &grant, token, &bytes));
        struct token_result result = token_verify(verifier, (struct span){token, bytes}, NOW, &claims);
        cr_assert_null(result.reason, "%s", result.reason);
        cr_assert_eq(result.algorithm, algorithm);
        cr_assert_eq(result.tries, 1);
        cr_assert_eq(claims.expires_s, NOW + 60);
    }
    token_verifier_close(&verifier);
    token_signer_close(&signer);
    free(path);
}

Test(token, what_a_private_key_in_pem_signs_its_public_key_verifies)
{
    round_trip("rsa2048", TOKEN_RS256);
    round_trip("p256", TOKEN_ES256);
    round_trip("ed25519", TOKEN_EDDSA);
}

/* -- refusals -- */

static struct token_signer *signer_a(void)
{
    free(token_file("a", 0600, SECRET_A "\n"));
    return token_signer_of("a", true);
}

#define HEADER "{\"alg\":\"HS256\"}"
#define PAYLOAD "{\"sub\":\"alice\",\"exp\":1700000060}"

Test(token, what_is_no_jwt_of_three_parts_is_refused)
{
    struct token_verifier *verifier = verifier_of_text(SECRET_A, true);
    const char *const bad[] = {"", ".", "a", "a.b", "a.b.c.d", "a..b.c", "a.b.c.d.e.f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(verifier, bad[i], "three parts with dots between them; if it is an opaque access token");
    expect(verifier, "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", "five parts, so it may be encrypted (JWE)");
    expect(verifier, "a.b.", "no signature");
    expect(verifier, "a.b.c", "signature is no base64url");
    expect(verifier, "a.b.YQ==", "signature is no base64url");
    expect(verifier, "..YWFh", "header");
    memset(token, 'a', sizeof token);
    char *longer = calloc(1, TOKEN_BYTES_MAX + 2);
    memset(longer, '.', TOKEN_BYTES_MAX + 1);
    expect(verifier, longer, "longer than 8192");
    free(longer);
    token_verifier_close(&verifier);
}

Test(token, a_header_that_is_not_as_it_must_be_is_refused_before_any_signature_is_verified)
{
    static const struct {
        const char *header;
        const char *said;
    } bad[] = {
        {"{\"alg\":\"none\"}", "alg"},
        {"{\"alg\":\"None\"}", "alg"},
        {"{\"alg\":\"hs256\"}", "alg"},
        {"{\"alg\":\"HS384\"}", "alg"},
        {"{\"alg\":\"HS256 \"}", "alg"},
        {"{\"alg\":[\"HS256\"]}", "alg"},
        {"{\"alg\":null}", "alg"},
        {"{}", "alg"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "crit"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", "crit"},
        {"{\"alg\":\"HS256\",\"kid\":7}", "kid"},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "repeated"},
        {"{\"alg\":\"HS256\",\"al\\u0067\":\"none\"}", "repeated"},
        {"[\"HS256\"]", "JSON object"},
        {"{\"alg\":\"HS256\"} x", "JSON object"},
        {"", "JSON object"},
        {"{\"alg\":\"RS256\"}", "no key for the token's alg"},
        {"{\"alg\":\"ES256\"}", "no key for the token's alg"},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\"}", "no key for EdDSA with the token's kid k"},
        {"{\"alg\":\"PS256\"}", "the token's alg is PS256: have its issuer sign with"},
        {"{\"alg\":\"RS\\n256\"}", "the token's alg is RS?256:"},
        {"{\"alg\":\"EdDSA\",\"kid\":\"\\u0007\\\"\\u00e4\"}", "the token's kid ?'??:"},
    };
    struct token_verifier *verifier = verifier_of_text(SECRET_A, true);
    struct token_signer *signer = signer_a();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect(verifier, signed_with(signer, bad[i].header, PAYLOAD), bad[i].said);
        cr_assert_eq(token_verify(verifier, span_of(token), NOW, &claims).tries, 0, "%s", bad[i].header);
    }
    expect_user(verifier, signed_with(signer, "{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"any\"}", PAYLOAD), "alice");
    token_signer_close(&signer);
    token_verifier_close(&verifier);
}

/* The confusion of algorithms: a public key that everybody has, taken for an HMAC secret. */
Test(token, a_public_key_is_never_a_secret)
{
    char pem[2048] = "", *path;
    token_make_pair("p256", "pair");
    path = strdup(token_path("pair.pub"));
    const char *const paths[] = {path};
    FILE *file = fopen(path, "r");
    cr_assert(fread(pem, 1, sizeof pem - 1, file) > 100);
    fclose(file);
    struct token_verifier *verifier = verifier_of(NULL, paths, 1);
    unsigned char mac[32];
    unsigned mac_bytes;
    char content[512], text[1024];
    struct token_signer *signer = signer_a();
    (void)signed_with(signer, HEADER, PAYLOAD);
    (void)snprintf(content, sizeof content, "%.*s", (int)(strrchr(token, '.') - token), token);
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, pem, strlen(pem), (unsigned char *)content,
                                 strlen(content), mac, sizeof mac, &(size_t){0}));
    (void)mac_bytes;
    int used = snprintf(text, sizeof text, "%s.", content);
    for (int i = 0; i < 43; i++)
        text[used + i] = 'A';
    text[used + 43] = '\0';
    expect(verifier, text, "no key for the token's alg");
    token_signer_close(&signer);
    token_verifier_close(&verifier);
    free(path);
}

Test(token, a_payload_that_is_not_as_it_must_be_is_refused)
{
    static const struct {
        const char *payload;
        const char *said;
    } bad[] = {
        {"{\"sub\":\"alice\"}", "exp is missing"},
        {"{\"sub\":\"alice\",\"exp\":\"1700000060\"}", "exp is missing or no number"},
        {"{\"sub\":\"alice\",\"exp\":null}", "exp is missing or no number"},
        {"{\"sub\":\"alice\",\"exp\":1699999970}", "expired"},
        {"{\"sub\":\"alice\",\"exp\":0}", "expired"},
        {"{\"sub\":\"alice\",\"exp\":-1e30}", "expired"},
        {"{\"sub\":\"alice\",\"exp\":1700000060,\"nbf\":1700000031}", "nbf is in the future"},
        {"{\"sub\":\"alice\",\"exp\":1700000060,\"nbf\":true}", "nbf is no number"},
        {"{\"sub\":\"alice\",\"exp\":1700000060,\"nbf\":1e300}", "nbf is in the future"},
        {"{\"exp\":1700000060}", "sub is missing"},
        {"{\"sub\":7,\"exp\":1700000060}", "sub is missing or no string"},
        {"{\"sub\":\"\",\"exp\":1700000060}", "no user name"},
        {"{\"sub\":\"a b\",\"exp\":1700000060}", "no user name: a b (1 to 128"},
        {"{\"sub\":\"a\\u0000b\",\"exp\":1700000060}", "no user name"},
        {"{\"sub\":\"\\u00e4\",\"exp\":1700000060}", "no user name"},
        {"{\"sub\":\"alice\",\"sub\":\"bob\",\"exp\":1700000060}", "repeated"},
        {"{\"sub\":\"alice\",\"exp\":1700000060,\"exp\":1}", "repeated"},
        {"[]", "JSON object"},
        {"{\"sub\":\"alice\",\"exp\":1700000060}}", "JSON object"},
    };
    struct token_verifier *verifier = verifier_of_text(SECRET_A, true);
    struct token_signer *signer = signer_a();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(verifier, signed_with(signer, HEADER, bad[i].payload), bad[i].said);
    char longer[300];
    (void)snprintf(longer, sizeof longer, "{\"exp\":1700000060,\"sub\":\"%0129d\"}", 7);
    expect(verifier, signed_with(signer, HEADER, longer), "no user name");
    (void)snprintf(longer, sizeof longer, "{\"exp\":1700000060,\"sub\":\"%0128d\"}", 7);
    cr_assert_null(reason_at(verifier, signed_with(signer, HEADER, longer), NOW));
    token_signer_close(&signer);
    token_verifier_close(&verifier);
}

Test(token, times_have_a_leeway_of_30_seconds_and_may_have_a_fraction)
{
    struct token_verifier *verifier = verifier_of_text(SECRET_A, true);
    struct token_signer *signer = signer_a();
    const char *text = signed_with(signer, HEADER, "{\"sub\":\"alice\",\"exp\":1700000100.9,\"nbf\":1.7e9}");
    cr_assert_not_null(reason_at(verifier, text, 1699999969));
    cr_assert_null(reason_at(verifier, text, 1699999970));
    cr_assert_null(reason_at(verifier, text, 1700000129));
    cr_assert_eq(claims.expires_s, 1700000100);
    cr_assert_not_null(reason_at(verifier, text, 1700000130));
    text = signed_with(signer, HEADER, "{\"sub\":\"alice\",\"exp\":1e300}");
    cr_assert_null(reason_at(verifier, text, NOW));
    cr_assert_eq(claims.expires_s, LIMIT_TS_MAX);
    token_signer_close(&signer);
    token_verifier_close(&verifier);
}

Test(token, audience_and_issuer_are_checked_if_they_are_configured)
{
    static const struct {
        const char *payload;
        const char *said; /* NULL: good */
    } cases[] = {
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":\"chat\"}", NULL},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https:\\/\\/i\",\"aud\":\"ch\\u0061t\"}", NULL},
        {"{\"\\u0073ub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\": [ \"x\\\"]\" ,\"ch\\u0061t\" ] }",
         NULL},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[\"chat\"]}", NULL},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[]}", "aud is missing or has no string"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":\"account\"}", "aud is account, not the"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[\"x\",\"c\\/t\"]}",
         "aud is x, c/t, not the"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[\"chat\",7]}", "aud"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":[[\"chat\"]]}", "aud"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\",\"aud\":{\"chat\":\"chat\"}}", "aud"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i\"}", "aud"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":\"https://i/\",\"aud\":\"chat\"}", "iss is https://i/, not the"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"iss\":[\"https://i\"],\"aud\":\"chat\"}", "iss is missing"},
        {"{\"sub\":\"u\",\"exp\":1700000060,\"aud\":\"chat\"}", "iss is missing"},
    };
    rules.audiences[0] = SPAN_LITERAL("chat");
    rules.audience_count = 1;
    rules.issuer = SPAN_LITERAL("https://i");
    struct token_verifier *verifier = verifier_of_text(SECRET_A, true);
    struct token_signer *signer = signer_a();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = signed_with(signer, HEADER, cases[i].payload);
        if (cases[i].said == NULL)
            expect_user(verifier, text, "u");
        else
            expect(verifier, text, cases[i].said);
    }
    token_signer_close(&signer);
    token_verifier_close(&verifier);
}

/* A provider with an identifier for each application, as one for the web and one for phones. */
Test(token, any_of_several_audiences_is_enough)
{
    rules.audiences[0] = SPAN_LITERAL("web");
    rules.audiences[1] = SPAN_LITERAL("phone");
    rules.audience_count = 2;
    struct token_verifier *verifier = verifier_of_text(SECRET_A, true);
    struct token_signer *signer = signer_a();
    expect_user(verifier, signed_with(signer, HEADER, "{\"sub\":\"u\",\"exp\":1700000060,\"aud\":\"web\"}"), "u");
    expect_user(verifier, signed_with(signer, HEADER, "{\"sub\":\"u\",\"exp\":1700000060,\"aud\":\"phone\"}"), "u");
    expect_user(verifier, signed_with(signer, HEADER, "{\"sub\":\"u\",\"exp\":1700000060,\"aud\":[\"x\",\"phone\"]}"),
                "u");
    expect(verifier, signed_with(signer, HEADER, "{\"sub\":\"u\",\"exp\":1700000060,\"aud\":\"tv\"}"),
           "aud is tv, not");
    expect(verifier, signed_with(signer, HEADER, "{\"sub\":\"u\",\"exp\":1700000060,\"aud\":\"\"}"), "aud");
    expect(verifier, signed_with(signer, HEADER, "{\"sub\":\"u\",\"exp\":1700000060}"), "aud is missing");
    token_signer_close(&signer);
    token_verifier_close(&verifier);
}

Test(token, the_claim_that_names_the_user_can_be_another_one_and_sub_is_still_needed)
{
    rules.user_claim = SPAN_LITERAL("preferred_username");
    struct token_verifier *verifier = verifier_of_text(SECRET_A, true);
    struct token_signer *signer = signer_a();
    expect_user(verifier,
                signed_with(signer, HEADER, "{\"sub\":\"f00\",\"preferred_username\":\"alice\",\"exp\":1700000060}"),
                "alice");
    expect(verifier, signed_with(signer, HEADER, PAYLOAD), "claim for the user, preferred_username, is missing");
    expect(verifier, signed_with(signer, HEADER, "{\"preferred_username\":\"alice\",\"exp\":1700000060}"),
           "sub is missing");
    token_signer_close(&signer);
    token_verifier_close(&verifier);
}

/* -- several keys -- */

Test(token, each_of_several_secrets_verifies_so_that_they_can_be_rotated)
{
    struct token_verifier *verifier = verifier_of_text(SECRET_B "\r\n\n" SECRET_A "\n", true);
    struct token_signer *signer = signer_a();
    expect_user(verifier, signed_with(signer, HEADER, PAYLOAD), "alice");
    cr_assert_eq(token_verify(verifier, span_of(token), NOW, &claims).tries, 2);
    token_verifier_close(&verifier);
    verifier = verifier_of_text(SECRET_B "\n", true);
    expect(verifier, signed_with(signer, HEADER, PAYLOAD), "signature is wrong");
    token_signer_close(&signer);
    token_verifier_close(&verifier);
}

/* A JWKS of `count` Ed25519 keys with the kids k0, k1, …; their private keys are k0.pem, k1.pem, … */
static char *make_set(uint32_t count)
{
    char text[4096] = "{\"keys\":[", name[16], x[64];
    for (uint32_t i = 0; i < count; i++) {
        uint8_t raw[32];
        size_t bytes = sizeof raw;
        EVP_PKEY *pair = token_generate("ed25519");
        cr_assert_eq(EVP_PKEY_get_raw_public_key(pair, raw, &bytes), 1);
        (void)snprintf(name, sizeof name, "k%u", i);
        token_write_pair(pair, name);
        EVP_PKEY_free(pair);
        EVP_EncodeBlock((unsigned char *)x, raw, 32);
        x[strcspn(x, "=")] = '\0';
        for (char *at = x; *at != '\0'; at++)
            *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used,
                       "%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"kid\":\"%s\",\"x\":\"%s\"}",
                       i > 0 ? "," : "", name, x);
    }
    strcat(text, "]}");
    return token_file("set", 0644, text);
}

Test(token, kid_selects_the_key_and_no_other_is_tried)
{
    char *path = make_set(4);
    const char *const paths[] = {path};
    struct token_verifier *verifier = verifier_of(NULL, paths, 1);
    struct token_signer *signer = token_signer_of("k2.pem", false);
    expect_user(verifier, signed_with(signer, "{\"alg\":\"EdDSA\",\"kid\":\"k2\"}", PAYLOAD), "alice");
    cr_assert_eq(token_verify(verifier, span_of(token), NOW, &claims).tries, 1);
    expect(verifier, signed_with(signer, "{\"alg\":\"EdDSA\",\"kid\":\"k1\"}", PAYLOAD), "signature is wrong");
    cr_assert_eq(token_verify(verifier, span_of(token), NOW, &claims).tries, 1);
    expect(verifier, signed_with(signer, "{\"alg\":\"EdDSA\",\"kid\":\"k\"}", PAYLOAD), "no key for EdDSA with");
    expect(verifier, signed_with(signer, "{\"alg\":\"EdDSA\",\"kid\":\"\"}", PAYLOAD), "no key for EdDSA with");
    expect(verifier, signed_with(signer, "{\"alg\":\"EdDSA\"}", PAYLOAD), "too many keys to try");
    cr_assert_eq(token_verify(verifier, span_of(token), NOW, &claims).tries, TOKEN_TRIES_EDDSA);
    token_signer_close(&signer);
    token_verifier_close(&verifier);
    free(path);
}

/* RFC 9864 gives the algorithm this name, and deprecates EdDSA: a provider may use either for one key. */
Test(token, ed25519_is_another_name_of_eddsa_and_selects_no_other_kind_of_key)
{
    char *path = make_set(2);
    const char *const paths[] = {path};
    struct token_verifier *verifier = verifier_of(NULL, paths, 1);
    struct token_signer *signer = token_signer_of("k1.pem", false);
    expect_user(verifier, signed_with(signer, "{\"alg\":\"Ed25519\",\"kid\":\"k1\"}", PAYLOAD), "alice");
    cr_assert_eq(token_verify(verifier, span_of(token), NOW, &claims).algorithm, TOKEN_EDDSA);
    expect(verifier, signed_with(signer, "{\"alg\":\"Ed25519\",\"kid\":\"k0\"}", PAYLOAD), "signature is wrong");
    expect(verifier, signed_with(signer, "{\"alg\":\"ed25519\",\"kid\":\"k1\"}", PAYLOAD), "alg");
    expect(verifier, signed_with(signer, "{\"alg\":\"Ed448\",\"kid\":\"k1\"}", PAYLOAD), "alg");
    token_verifier_close(&verifier);
    verifier = verifier_of_text(SECRET_A, true);
    expect(verifier, signed_with(signer, "{\"alg\":\"Ed25519\"}", PAYLOAD), "no key for the token's alg");
    token_signer_close(&signer);
    token_verifier_close(&verifier);
    free(path);
}

Test(token, without_a_kid_all_keys_of_the_algorithm_are_tried_if_they_are_few)
{
    token_make_pair("p256", "one");
    token_make_pair("p256", "two");
    token_make_pair("ed25519", "three");
    char *paths[3] = {strdup(token_path("one.pub")), strdup(token_path("two.pub")), strdup(token_path("three.pub"))};
    struct token_verifier *verifier = verifier_of(NULL, (const char *const *)paths, 3);
    struct token_signer *signer = token_signer_of("two.pem", false);
    expect_user(verifier, signed_with(signer, "{\"alg\":\"ES256\"}", PAYLOAD), "alice");
    expect_user(verifier, signed_with(signer, "{\"alg\":\"ES256\",\"kid\":\"any\"}", PAYLOAD), "alice");
    expect(verifier, signed_with(signer, "{\"alg\":\"EdDSA\"}", PAYLOAD), "signature is wrong");
    token_signer_close(&signer);
    token_verifier_close(&verifier);
    for (int i = 0; i < 3; i++)
        free(paths[i]);
}

Test(token, an_es256_signature_of_another_length_or_of_zeros_is_wrong)
{
    token_make_pair("p256", "pair");
    char *path = strdup(token_path("pair.pub")), text[1024];
    const char *const paths[] = {path};
    struct token_verifier *verifier = verifier_of(NULL, paths, 1);
    struct token_signer *signer = token_signer_of("pair.pem", false);
    (void)signed_with(signer, "{\"alg\":\"ES256\"}", PAYLOAD);
    int content = (int)(strrchr(token, '.') - token);
    for (int chars = 2; chars < 200; chars += chars == 86 ? 2 : 4) {
        (void)snprintf(text, sizeof text, "%.*s.%0*d", content, token, chars, 0);
        memset(text + content + 1, 'A', (size_t)chars);
        expect(verifier, text, "signature is wrong");
    }
    token_signer_close(&signer);
    token_verifier_close(&verifier);
    free(path);
}
