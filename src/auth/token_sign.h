/*
 * token_sign.h: makes tokens, for `chitchat token` and for tests. A login system of one's own signs them with any JWT
 * library. One thread; opening blocks.
 */
#ifndef CHITCHAT_AUTH_TOKEN_SIGN_H
#define CHITCHAT_AUTH_TOKEN_SIGN_H

#include "auth/token.h"

struct token_signer;

/* What a token says. Spans without bytes are left out. Borrows. */
struct token_grant {
    struct span user;
    struct span user_claim; /* holds the user; `sub` does in any case */
    struct span audience;
    struct span issuer;
    struct span kid;
    uint64_t issued_s; /* seconds since the Unix epoch; 0: left out */
    uint64_t expires_s;
};

/* With the first secret of a secrets file, for HS256. False: *error_r is filled. */
bool token_signer_open_secret(struct token_signer **signer_r, const char *file, struct token_error *error_r);
/* With a private key in PEM: Ed25519 for EdDSA, P-256 for ES256, RSA for RS256. */
bool token_signer_open_key(struct token_signer **signer_r, const char *file, struct token_error *error_r);
void token_signer_close(struct token_signer **signer);

/* Writes a token, without a NUL, and its length. False: it would be longer than TOKEN_BYTES_MAX, or libcrypto has no
 * memory. */
bool token_sign(struct token_signer *signer, const struct token_grant *grant, char out[TOKEN_BYTES_MAX],
                size_t *bytes_r);
/* The same with a header and a payload as they are: for tests. */
bool token_sign_parts(struct token_signer *signer, struct span header, struct span payload, char out[TOKEN_BYTES_MAX],
                      size_t *bytes_r);

#endif
