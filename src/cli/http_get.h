/*
 * http_get.h: one GET request, over plain HTTP or TLS, for commands. Blocks, at most for about a minute.
 */
#ifndef CHITCHAT_CLI_HTTP_GET_H
#define CHITCHAT_CLI_HTTP_GET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

#define HTTP_GET_BODY_BYTES_MAX (16u << 20)
#define HTTP_GET_ERROR_BYTES 512u

struct http_get {
    const char *url;     /* http://HOST[:PORT] or https://HOST[:PORT], without a path; [HOST] for an IPv6 address */
    const char *path;    /* "/metrics" */
    const char *token;   /* sent as a bearer token; NULL: none */
    const char *ca_file; /* https: certificates that may have signed the server's, PEM; NULL: those of the system */
};

/* Whether `url` is of that form. Pure. */
bool http_get_is_url(const char *url);
/* Asks. 0, if the answer is 200: *body_r, which the caller frees, is its body and a NUL, of *bytes_r bytes without it.
 * Or -1, and `error` has one line: what failed, why, and what to do. Borrows `request`. */
int http_get(const struct http_get *request, char **body_r, size_t *bytes_r, char error[HTTP_GET_ERROR_BYTES]);

#endif
