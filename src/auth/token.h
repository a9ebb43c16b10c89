/*
 * token.h: verifies a JSON Web Token in compact form (RFC 7519, RFC 7515, RFC 8037) and reads whose it is.
 *
 * A token is good if all of this holds, checked in this order:
 *
 * 1. It has three parts of strict base64url, TOKEN_BYTES_MAX bytes in all.
 * 2. The header is a JSON object without repeated names. `alg` is HS256, RS256, ES256, EdDSA or Ed25519, which is
 *    EdDSA by its name in RFC 9864; there is no `crit`.
 * 3. A key of that algorithm has signed it: the one with the token's `kid`, or one of those without a `kid`. A token
 *    without `kid` is tried with all keys of the algorithm, those without a `kid` first, TOKEN_TRIES_… at most.
 * 4. The payload is a JSON object without repeated names. `exp` is a number and not past, `nbf` is absent or a number
 *    and not in the future, both with TOKEN_LEEWAY_S. `sub` is a string. `aud` and `iss` are as asked for. The claim
 *    that names the user holds a user name.
 *
 * A claim is read only after the signature was found good. Signatures are compared or verified by libcrypto. Not by
 * libjwt: that of Debian 12 (1.10.2) has no EdDSA.
 *
 * A verifier holds the contexts of libcrypto and scratch memory for one thread and one key set. It reads no file and no
 * clock.
 */
#ifndef CHITCHAT_AUTH_TOKEN_H
#define CHITCHAT_AUTH_TOKEN_H

#include "auth/token_keys.h"
#include "base/limits.h"

#define TOKEN_BYTES_MAX 8192u
#define TOKEN_LEEWAY_S 30u
#define TOKEN_AUDIENCES_MAX 8u

/* Set by the configuration, then only read. The spans are borrowed for as long as the verifier lives. */
struct token_rules {
    struct span user_claim;  /* the claim that names the user */
    struct span admin_claim; /* the claim that is true for programs that may use the HTTP API; no bytes: none is */
    struct span issuer;      /* must be `iss`; no bytes: `iss` is not checked */
    struct span audiences[TOKEN_AUDIENCES_MAX]; /* one of them must be `aud` or one of it */
    uint32_t audience_count;                    /* 0: `aud` is not checked */
};

struct token_claims {
    uint64_t expires_s; /* exp: seconds since the Unix epoch, rounded down */
    bool is_admin;      /* the admin claim is true */
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

struct token_result {
    const char *reason; /* NULL: the token is good. Else why not: printable ASCII, TOKEN_REASON_BYTES_MAX bytes at most;
                         * valid until the next call with the verifier, and while it is open */
    enum token_algorithm algorithm;
    uint32_t tries; /* signatures of `algorithm` that were verified: what it cost */
};

struct token_verifier;

/* Refs `keys`. `rules` have a user_claim (asserted). 0 or -ENOMEM. */
int token_verifier_open(struct token_verifier **verifier_r, struct token_keys *keys, const struct token_rules *rules);
void token_verifier_close(struct token_verifier **verifier);

/* Verifies `token` at `now_s`, seconds since the Unix epoch. Borrows it until the return. *claims_r is set if it is
 * good. */
struct token_result token_verify(struct token_verifier *verifier, struct span token, uint64_t now_s,
                                 struct token_claims *claims_r);

#endif
