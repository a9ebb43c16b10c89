/* The tokens of chitchat-load, and the login that carries one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checker_fixture.h"
#include "load/token.h"

/* The key of RFC 7515, appendix A.1. */
#define RFC_SECRET "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
/* Made by Node's createHmac from that key. */
#define WANTED                                                                                                         \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsb2FkLTEyIiwiZXhwIjoxODAwMDAwMDAwfQ."                             \
    "zSXMZ8K_QzdCmnfx_XLJ3l2PGUGeeID2ECLSSOcMc34"

/* Makes a file with this text at `path`, which ends in XXXXXX. */
static void make_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* Whether a file with this text holds a secret. */
static bool reads(const char *text, struct load_token_secret *secret_r, char *why, size_t room)
{
    char path[] = "/tmp/chitchat-token-XXXXXX";
    make_file(path, text);
    bool is_read = load_token_read_secret(secret_r, path, why, room);
    unlink(path);
    return is_read;
}

Test(load_token, a_token_is_signed_with_the_secret_of_the_first_line)
{
    struct load_token_secret secret;
    char why[400], token[LOAD_TOKEN_CHARS_MAX + 1];
    cr_assert(reads(RFC_SECRET "\nAnother\n", &secret, why, sizeof why), "%s", why);
    cr_expect_eq(secret.bytes, 64);
    token[load_token_write(&secret, span_of("load-12"), 1800000000, token)] = '\0';
    cr_expect_str_eq(token, WANTED);
}

Test(load_token, a_line_that_is_no_secret_is_refused_with_the_reason)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "its first line is empty"},
        {"\n" RFC_SECRET, "its first line is empty"},
        {"abc d", "is not base64url"},
        {RFC_SECRET "=", "is not base64url"},
        {"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqA", "is not base64url"}, /* a character too many */
        {"AyM1SysPpbyDfgZld3umjw", "the secret has 16 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct load_token_secret secret;
        char why[400] = "";
        cr_expect_not(reads(cases[i].text, &secret, why, sizeof why));
        cr_expect_not_null(strstr(why, cases[i].why), "%s: %s", cases[i].text, why);
        cr_expect_eq(secret.bytes, 0);
    }
}

Test(load_token, the_longest_name_and_the_latest_time_fit)
{
    struct load_token_secret secret = {.bytes = LOAD_SECRET_BYTES_MIN};
    char token[LOAD_TOKEN_CHARS_MAX], name[LOAD_TOKEN_USER_BYTES_MAX];
    memset(name, 'n', sizeof name);
    cr_expect_leq(load_token_write(&secret, (struct span){name, sizeof name}, UINT64_MAX, token), sizeof token);
    cr_expect_leq(LOAD_USER_BYTES_MAX, LOAD_TOKEN_USER_BYTES_MAX);
}

Test(load_token, a_login_carries_the_token_in_place_of_the_user)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    char token[LOAD_TOKEN_CHARS_MAX + 1];
    fixture->run.secret = (struct load_token_secret){.bytes = LOAD_SECRET_BYTES_MIN};
    fixture_connect(fixture, 2);
    const char *heard = fixture_hear(fixture, 2);
    token[load_token_write(&fixture->run.secret, span_of("load-2"), fixture->run.tokens_expire_s, token)] = '\0';
    cr_expect_not_null(strstr(heard, token), "%s", heard);
    cr_expect_null(strstr(heard, "\"user\""), "%s", heard);
    fixture_close(fixture);
}

/* Whether a file with this text has the tokens of two users. */
static bool reads_tokens(const char *text, struct load_tokens *tokens_r, char *why, size_t room)
{
    char path[] = "/tmp/chitchat-tokens-XXXXXX";
    make_file(path, text);
    bool is_read = load_tokens_read(tokens_r, path, 2, why, room);
    unlink(path);
    return is_read;
}

Test(load_token, tokens_that_are_given_are_lines_one_for_each_user)
{
    static const char *const texts[] = {"a.b.c\n-_.X.9\n", "a.b.c\r\n-_.X.9", "a.b.c\n-_.X.9\nthird\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct load_tokens tokens;
        char why[400] = "";
        cr_assert(reads_tokens(texts[i], &tokens, why, sizeof why), "%s", why);
        cr_expect_eq(tokens.count, 2);
        cr_expect(span_equal(tokens.each[0], SPAN_LITERAL("a.b.c"))
                  && span_equal(tokens.each[1], SPAN_LITERAL("-_.X.9")));
        load_tokens_free(&tokens);
    }
}

Test(load_token, a_file_without_a_token_for_each_user_is_refused_with_the_reason)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "it has 0 tokens, but there are 2 users"}, {"a.b.c\n", "it has 1 tokens, but there are 2 users"},
        {"a.b.c\n\nd.e.f\n", "line 2 is no token"},     {"a.b.c\na b\n", "line 2 is no token"},
        {"a.b.c=\nd\n", "line 1 is no token"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct load_tokens tokens;
        char why[400] = "";
        cr_expect_not(reads_tokens(cases[i].text, &tokens, why, sizeof why));
        cr_expect_not_null(strstr(why, cases[i].why), "%s: %s", cases[i].text, why);
        cr_expect(tokens.text == NULL && tokens.count == 0);
    }
}

/* Longer than all else that a login has. */
Test(load_token, a_login_carries_the_token_that_is_given_for_its_user)
{
    char long_token[2001] = "";
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct span each[FIXTURE_SESSIONS] = {[2] = {long_token, sizeof long_token - 1}};
    memset(long_token, 'x', sizeof long_token - 1);
    fixture->run.tokens = (struct load_tokens){.each = each, .count = FIXTURE_SESSIONS};
    fixture_connect(fixture, 2);
    const char *heard = fixture_hear(fixture, 2);
    cr_expect_not_null(strstr(heard, long_token), "%s", heard);
    cr_expect_null(strstr(heard, "\"user\""), "%s", heard);
    fixture->run.tokens = (struct load_tokens){.text = NULL};
    fixture_close(fixture);
}

Test(load_token, a_login_that_is_refused_for_its_token_ends_the_run_with_the_reason)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    fixture_connect(fixture, 0);
    fixture->worker->phase = LOAD_CONNECT;
    fixture_say(fixture, 0, "{\"op\":\"error\",\"id\":1,\"code\":\"bad_token\",\"message\":\"no token\"}");
    cr_expect(atomic_load(&fixture->run.is_hopeless));
    cr_expect_not_null(strstr(fixture->worker->obstacle, "no token"));
    cr_expect_not_null(strstr(fixture->worker->obstacle, "give its secret by --token-secret-file"));
    fixture_close(fixture);
}
