/*
 * token_signature.h: signatures of tokens, verified by libcrypto with contexts that are made once for each key
 * (token.h). One thread.
 */
#ifndef CHITCHAT_AUTH_TOKEN_SIGNATURE_H
#define CHITCHAT_AUTH_TOKEN_SIGNATURE_H

#include "auth/token_keys.h"

#define TOKEN_SIGNATURE_BYTES_MAX (TOKEN_RSA_BITS_MAX / 8u)

struct token_signature;

/* Borrows `keys`. 0 or -ENOMEM. */
int token_signature_open(struct token_signature **signature_r, struct token_keys *keys);
void token_signature_close(struct token_signature **signature);

/* Whether the key with this index has signed `content`. The time of HS256 does not depend on how much of the signature
 * is right. */
bool token_signature_is_good(struct token_signature *signature, uint32_t key, struct span content, struct span given);

/* HS256 of `content`. False: no memory. */
bool token_signature_hs256(EVP_MAC_CTX *context, const struct token_key *key, struct span content, uint8_t out[32]);

#endif
