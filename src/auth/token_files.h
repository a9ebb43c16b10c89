/*
 * token_files.h: what token_keys.c, token_public.c and token_jwks.c share, the parts of token_keys.h: reading a file
 * with keys, and each format. admin_tokens.c and token_sign.c read their files by it. No other file includes it. Any
 * thread; all of it may block.
 */
#ifndef CHITCHAT_AUTH_TOKEN_FILES_H
#define CHITCHAT_AUTH_TOKEN_FILES_H

#include <stdatomic.h>

#include "auth/token_keys.h"

struct token_keys {
    atomic_uint references;
    uint32_t count;
    uint32_t skipped_count;
    struct token_key keys[TOKEN_KEYS_MAX];
    char skipped[TOKEN_SKIPPED_BYTES_MAX + 1];
};

/* What is being loaded, and where an error goes. */
struct token_loader {
    struct token_keys *keys;
    const char *file;
    struct token_error *error;
};

/* Fills loader->error with "FILE: text". Returns false. */
bool token_files_fail(struct token_loader *loader, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads a regular file of 1 to TOKEN_FILE_BYTES_MAX bytes. `mode_refused`: permission bits that it must not have. The
 * caller owns *data_r, with a NUL behind the bytes, and gives it back to token_files_forget. */
bool token_files_read(struct token_loader *loader, unsigned mode_refused, char **data_r, size_t *bytes_r);
/* Overwrites and frees. */
void token_files_forget(char *data, size_t bytes);

/* The next key of the set, zeroed and counted. NULL: the set is full, and the error is filled. */
struct token_key *token_files_add(struct token_loader *loader);
/* Checks a public key (not NULL: asserted) and takes its algorithm from its kind. Owns `public`. `what` names the key
 * in errors. */
bool token_files_add_public(struct token_loader *loader, const char *what, EVP_PKEY *public, struct span kid);

/* Counts a key that is no use here, and adds it to the text about them: its name, and the member and the value (""
 * for none) that make it so. */
void token_files_skip(struct token_loader *loader, const char *name, const char *member, const char *value);

/* Add the keys of a file of their format, of `bytes` (1 to TOKEN_FILE_BYTES_MAX, asserted) at `data`. */
bool token_files_take_secrets(struct token_loader *loader, const char *data, size_t bytes);
bool token_files_take_pem(struct token_loader *loader, const char *data, size_t bytes);
bool token_files_take_jwks(struct token_loader *loader, const char *data, size_t bytes);

#endif
