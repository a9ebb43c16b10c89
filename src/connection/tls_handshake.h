/*
 * tls_handshake.h: the handshake of one TLS connection by libssl, between memory BIOs: records go in one by one, each
 * step returns its output. When the handshake is done the caller has the keys (protocol/tls_record.h) and closes this:
 * libssl's memory, about 47 KB, is in use only meanwhile. Shard's thread.
 */
#ifndef CHITCHAT_CONNECTION_TLS_HANDSHAKE_H
#define CHITCHAT_CONNECTION_TLS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/tls_record.h"

struct ssl_st;
struct ssl_ctx_st;
struct tls_handshake;

enum tls_handshake_step {
    TLS_HANDSHAKE_MORE,   /* the next record is needed */
    TLS_HANDSHAKE_DONE,   /* the keys are set */
    TLS_HANDSHAKE_FAILED, /* the output may be an alert; the connection must end */
};

/* NULL: no memory. Takes a reference to `ssl_context`. */
struct tls_handshake *tls_handshake_open(struct ssl_ctx_st *ssl_context);
/* Frees it, and erases its secrets. Nulls *handshake; NULL is fine. */
void tls_handshake_close(struct tls_handshake **handshake);
/* Takes one record, header included. *out_bytes_r bytes at *out_r are for the peer, borrowed until the next call.
 * TLS_HANDSHAKE_DONE: *record_r is set. */
enum tls_handshake_step tls_handshake_feed(struct tls_handshake *handshake, const char *data, size_t bytes,
                                           const char **out_r, size_t *out_bytes_r, struct tls_record *record_r);
/* After TLS_HANDSHAKE_FAILED: why. Static text. */
const char *tls_handshake_reason(const struct tls_handshake *handshake);
/* For tests. After TLS_HANDSHAKE_DONE: whether a session ticket made it short. */
bool tls_handshake_is_resumed(const struct tls_handshake *handshake);

/* After TLS_HANDSHAKE_DONE: bytes of data in a record that the client takes, TLS_DATA_BYTES_MAX unless it asked for
 * less (RFC 6066, 4). */
size_t tls_handshake_data_max(const struct tls_handshake *handshake);

/* For SSL_CTX_set_keylog_callback: libssl gives the secrets as lines of text. A connection that libssl serves to its
 * end (connection/tls_socket.h) is not of this module: nothing is kept. */
void tls_handshake_on_secret(const struct ssl_st *ssl, const char *line);

#endif
