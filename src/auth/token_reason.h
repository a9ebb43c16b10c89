/*
 * token_reason.h: why a token is not good, in words that name what the token has. Who sets up an identity provider
 * compares that with the options of the server. Pure; any thread.
 *
 * A value of a token may be anything that the client chose, before its signature is verified: it is cut, and what is
 * no printable ASCII does not get into the text. So the text fits an error and a log line as it is.
 */
#ifndef CHITCHAT_AUTH_TOKEN_REASON_H
#define CHITCHAT_AUTH_TOKEN_REASON_H

#include "base/span.h"

#define TOKEN_REASON_BYTES_MAX 200u /* what a log line takes of a reason (server/refusals.c) */
#define TOKEN_REASON_VALUE_BYTES_MAX 72u

/* Scratch of one verifier. */
struct token_reason {
    char value[TOKEN_REASON_VALUE_BYTES_MAX + 1];
    char text[TOKEN_REASON_BYTES_MAX + 1];
};

/* `value` for a text: at most TOKEN_REASON_VALUE_BYTES_MAX bytes, the last of them dots if it is longer; `?` for each
 * byte that is no printable ASCII, `'` for `"`. Valid until the next call with `reason`. */
const char *token_reason_value(struct token_reason *reason, struct span value);

/* The same for the strings of an array of JSON that json_reader has read, with a comma between them. */
const char *token_reason_values(struct token_reason *reason, struct span array);

/* Returns the text, valid until the next call with `reason`. */
const char *token_reason_write(struct token_reason *reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
