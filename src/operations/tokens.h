/*
 * tokens.h: --auth token on a shard: its verifier, and new key sets from main's thread.
 *
 * Main's thread leaves a new set in `next`, by one atomic exchange. The shard takes it by another one before it
 * verifies a token. So no lock is taken, a set that no shard took yet is replaced by a newer one, and each has exactly
 * one owner.
 */
#ifndef CHITCHAT_OPERATIONS_TOKENS_H
#define CHITCHAT_OPERATIONS_TOKENS_H

#include <stdatomic.h>

#include "auth/token.h"
#include "protocol/request.h"

struct core;

struct tokens {
    /* Owned by the shard's thread. */
    struct token_rules rules;
    struct token_verifier *verifier; /* NULL: --auth none */

    /* Shared. */
    _Atomic(struct token_keys *) next; /* a reference; NULL: nothing new */
};

/* With --auth token: opens a verifier for `keys`, which it refs. 0 or -ENOMEM. Before the threads start. */
int tokens_open(struct core *core, struct token_keys *keys);
/* After the threads have ended. A struct of zeros is fine. */
void tokens_close(struct core *core);

/* Leaves a new key set for the shard, and refs it. Any thread. */
void tokens_post(struct tokens *tokens, struct token_keys *keys);

/* Whether the server asks for tokens. */
bool tokens_are_wanted(const struct core *core);
/* Verifies the token of a login, and that a `user` beside it is the token's. Counts the cost in the turn's budget. NULL
 * and *claims_r; or why the login is refused, valid until the next call. Shard's thread. */
const char *tokens_check(struct core *core, const struct request_login *login, struct token_claims *claims_r);
/* Verifies a token that comes without a login: as above. */
const char *tokens_check_bearer(struct core *core, struct span token, struct token_claims *claims_r);
/* When a connection with these claims ends: monotonic seconds. */
uint32_t tokens_expiry_s(const struct core *core, const struct token_claims *claims);

#endif
