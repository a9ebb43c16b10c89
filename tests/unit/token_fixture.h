/* Files of keys in a directory of the test, and tokens that are signed as the test wants. Each program includes this
 * once. */
#ifndef CHITCHAT_TESTS_TOKEN_FIXTURE_H
#define CHITCHAT_TESTS_TOKEN_FIXTURE_H

#include <criterion/criterion.h>

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/token.h"
#include "auth/token_keys.h"
#include "auth/token_reason.h"
#include "auth/token_sign.h"

/* 32 bytes of A, 32 bytes of B. */
#define SECRET_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"
#define SECRET_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI"

static char token_dir[64];
static char token_path_text[128];

static inline void token_dir_make(void)
{
    (void)snprintf(token_dir, sizeof token_dir, "/tmp/chitchat-token-XXXXXX");
    cr_assert_not_null(mkdtemp(token_dir));
}

static inline const char *token_path(const char *name)
{
    (void)snprintf(token_path_text, sizeof token_path_text, "%s/%s", token_dir, name);
    return token_path_text;
}

static inline void token_dir_remove(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", token_dir);
    cr_assert_eq(system(command), 0);
}

/* The caller frees the path. */
static inline char *token_file(const char *name, unsigned mode, const char *text)
{
    char *path = strdup(token_path(name));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

/* "rsa2048", "p256", "p384", "ed25519", … The caller frees it. */
static inline EVP_PKEY *token_generate(const char *kind)
{
    if (strncmp(kind, "rsa", 3) == 0)
        return EVP_RSA_gen((unsigned)atoi(kind + 3));
    if (strcmp(kind, "p256") == 0)
        return EVP_EC_gen("P-256");
    if (strcmp(kind, "p384") == 0)
        return EVP_EC_gen("P-384");
    return EVP_PKEY_Q_keygen(NULL, NULL, kind);
}

/* Writes NAME.pem (private) and NAME.pub. */
static inline void token_write_pair(EVP_PKEY *pair, const char *name)
{
    char file[64];
    (void)snprintf(file, sizeof file, "%s.pem", name);
    FILE *private = fopen(token_path(file), "w");
    cr_assert_eq(PEM_write_PrivateKey(private, pair, NULL, NULL, 0, NULL, NULL), 1);
    cr_assert_eq(fchmod(fileno(private), 0600), 0);
    fclose(private);
    (void)snprintf(file, sizeof file, "%s.pub", name);
    FILE *public = fopen(token_path(file), "w");
    cr_assert_eq(PEM_write_PUBKEY(public, pair), 1);
    fclose(public);
}

static inline void token_make_pair(const char *kind, const char *name)
{
    EVP_PKEY *pair = token_generate(kind);
    cr_assert_not_null(pair);
    token_write_pair(pair, name);
    EVP_PKEY_free(pair);
}

static inline struct token_signer *token_signer_of(const char *name, bool is_secret)
{
    struct token_signer *signer;
    struct token_error error;
    bool is_good = is_secret ? token_signer_open_secret(&signer, token_path(name), &error)
                             : token_signer_open_key(&signer, token_path(name), &error);
    cr_assert(is_good, "%s", error.text);
    return signer;
}

#endif
