/*
 * tls_context.h: what all TLS connections of the server share: certificate, key, settings, and the keys of session
 * tickets. The files are read at the start and by tls_context_reload; a handshake that has begun keeps what it began
 * with. TLS 1.2 and 1.3, with forward secrecy and authenticated ciphers only.
 *
 * tls_context_open, _reload and _close are main's; tls_context_take is for any thread. Its lock is held for a few
 * instructions, and only handshakes take it.
 */
#ifndef CHITCHAT_CONNECTION_TLS_CONTEXT_H
#define CHITCHAT_CONNECTION_TLS_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct ssl_ctx_st;
struct tls_context;

/* Reads the certificate chain and the private key, both PEM. Borrows the paths and `clock` until tls_context_close. 0;
 * or -EINVAL, and `text` has one line that says what is wrong with which file and what to do. Logs the certificate and,
 * as a warning, that it has expired. */
int tls_context_open(struct tls_context **context_r, const char *certificate_path, const char *key_path,
                     struct clock *clock, char *text, size_t text_bytes);
/* Reads the files again, for handshakes that begin from now on. On failure the old ones stay. 0 or -EINVAL and `text`,
 * as above. */
int tls_context_reload(struct tls_context *context, char *text, size_t text_bytes);
/* When the certificate expires, in microseconds since the Unix epoch; 0: its date cannot be read. Main's thread. */
uint64_t tls_context_expiry_us(struct tls_context *context);
/* When no other thread uses it any more. Nulls *context; NULL is fine. */
void tls_context_close(struct tls_context **context);

/* The present settings, with a reference that the caller frees (SSL_CTX_free). Their keylog callback gives lines to
 * tls_handshake_on_secret. */
struct ssl_ctx_st *tls_context_take(struct tls_context *context);

#endif
