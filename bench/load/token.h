/*
 * token.h: tokens for the users of a run. Either as the login system beside a server would issue them: JWT, signed with
 * HS256 and the secret of --token-secret-file. Or those of --token-file, which somebody else has made. Any thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_TOKEN_H
#define CHITCHAT_BENCH_LOAD_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define LOAD_SECRET_BYTES_MIN 32u
#define LOAD_SECRET_BYTES_MAX 1024u
#define LOAD_TOKEN_USER_BYTES_MAX 48u
#define LOAD_TOKEN_CHARS_MAX 208u        /* that this module writes */
#define LOAD_TOKEN_GIVEN_CHARS_MAX 8192u /* of a token of --token-file: a server takes no more */

struct load_token_secret {
    uint32_t bytes; /* 0: there is none */
    uint8_t data[LOAD_SECRET_BYTES_MAX];
};

/* Reads the secret in the first line of `path`: base64url without padding. False, with the reason in `why`. */
bool load_token_read_secret(struct load_token_secret *secret_r, const char *path, char *why, size_t room);
/* Writes a token of `user` (at most LOAD_TOKEN_USER_BYTES_MAX bytes that JSON needs not escape) to `out`, which has
 * room for LOAD_TOKEN_CHARS_MAX. Returns its length. `expires_s` is in seconds since 1970. */
uint32_t load_token_write(const struct load_token_secret *secret, struct span user, uint64_t expires_s, char *out);

/* The tokens of --token-file, one a user: line 1 for user 0. */
struct load_tokens {
    char *text;        /* owned; NULL: there are none */
    struct span *each; /* owned; `count` of them, in `text` */
    uint32_t count;
};

/* Reads the tokens of so many users; lines behind those do not count. The caller frees them. False, with the reason in
 * `why`, and there are none. */
bool load_tokens_read(struct load_tokens *tokens_r, const char *path, uint32_t users, char *why, size_t room);
/* A struct of zeros is fine. */
void load_tokens_free(struct load_tokens *tokens);

#endif
