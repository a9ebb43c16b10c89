/*
 * admin_tokens.h: the tokens of --admin-token-file, which a request on the admin address must bear. The file has one a
 * line, at least ADMIN_TOKEN_BYTES_MIN printable characters each; several, so that a new one can be made known before
 * the old one is removed. Others may not read the file.
 *
 * Only digests are kept. A lock is held while they are compared or replaced, for some hundred instructions. Any thread.
 */
#ifndef CHITCHAT_AUTH_ADMIN_TOKENS_H
#define CHITCHAT_AUTH_ADMIN_TOKENS_H

#include <stdbool.h>

#include "auth/token_keys.h"
#include "base/span.h"

#define ADMIN_TOKENS_MAX 8u
#define ADMIN_TOKEN_BYTES_MIN 32u
#define ADMIN_TOKEN_BYTES_MAX 1024u

struct admin_tokens;

/* Reads `file`, whose name is borrowed. The caller closes *tokens_r. False: *error_r is filled. Blocks. */
bool admin_tokens_open(struct admin_tokens **tokens_r, const char *file, struct token_error *error_r);
/* Nulls *tokens. NULL is fine. */
void admin_tokens_close(struct admin_tokens **tokens);
/* Reads the file again. False: *error_r is filled, and the tokens stay as they were. Blocks. */
bool admin_tokens_reload(struct admin_tokens *tokens, struct token_error *error_r);
/* Whether `token` is one of them. Takes the same time for each token of a length. */
bool admin_tokens_have(struct admin_tokens *tokens, struct span token);

#endif
