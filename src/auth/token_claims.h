/*
 * token_claims.h: the checks of a token's payload (token.h). Pure; any thread.
 */
#ifndef CHITCHAT_AUTH_TOKEN_CLAIMS_H
#define CHITCHAT_AUTH_TOKEN_CLAIMS_H

#include "auth/token.h"
#include "auth/token_reason.h"
#include "protocol/json.h"

/* `json` has read the payload, which lies at `text`, changed by that; `plain` has the same bytes unchanged, and is
 * changed by this call. NULL and *claims_r; or what is wrong, static or in `reason`. */
const char *token_claims_read(const struct json_reader *json, const char *text, char *plain,
                              const struct token_rules *rules, uint64_t now_s, struct token_claims *claims_r,
                              struct token_reason *reason);

#endif
