/*
 * client_token.h: a token in a file. Blocks on the file; any thread.
 */
#ifndef CHITCHAT_CLI_CLIENT_TOKEN_H
#define CHITCHAT_CLI_CLIENT_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

/* The longest token of the protocol, and a NUL. */
#define CLIENT_TOKEN_BYTES (8192u + 1)

/* Reads the first line of `file` that is neither empty nor begins with #, up to a blank. False: `why` says what is
 * wrong with the file. */
bool client_token_read(const char *file, char out[CLIENT_TOKEN_BYTES], char *why, size_t room);

#endif
