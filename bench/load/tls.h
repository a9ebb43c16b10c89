/*
 * tls.h: the client's side of TLS 1.2 and 1.3, by OpenSSL, between a connection's bytes and its io. Nothing here reads
 * or writes a socket: received bytes are given, and bytes to send stand in an output buffer. OpenSSL reads the received
 * bytes in place and appends records to the output, by a BIO of this file: so a byte is copied once in each direction
 * beside the cipher itself. There is no kTLS.
 *
 * struct load_tls_client is what all connections share; any thread, after it was opened. struct load_tls belongs to one
 * session and its worker's thread: it outlives the connection, with --tls-resume to keep the newest ticket.
 *
 * A connection: load_tls_begin; send the output; for what is received load_tls_give, then load_tls_read until it
 * returns 0, and send the output; from load_tls_is_secured on also load_tls_write; load_tls_end.
 */
#ifndef CHITCHAT_BENCH_LOAD_TLS_H
#define CHITCHAT_BENCH_LOAD_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/buffer.h"
#include "load/options.h"

struct load_tls_client;
struct load_tls;

/* Borrows the options until load_tls_client_close. False, with the reason in `why`: the certificates of --tls-ca cannot
 * be read. */
bool load_tls_client_open(struct load_tls_client **client_r, const struct load_options *options, char *why,
                          size_t room);
/* After all load_tls of it are closed. Nulls *client; NULL is fine. */
void load_tls_client_close(struct load_tls_client **client);
/* Writes version and cipher suite of the newest connection; nothing before the first. */
void load_tls_client_describe(const struct load_tls_client *client, char *out, size_t room);

/* Borrows the client until load_tls_close. */
struct load_tls *load_tls_open(struct load_tls_client *client);
/* Nulls *tls; NULL is fine. */
void load_tls_close(struct load_tls **tls);

/* Begins a connection: the output is the first message of the handshake. False as for load_tls_read. */
bool load_tls_begin(struct load_tls *tls);
/* The connection is over, whatever its state. */
void load_tls_end(struct load_tls *tls);
/* Whether the handshake of this connection is complete. */
bool load_tls_is_secured(const struct load_tls *tls);
/* Whether it resumed an earlier session. */
bool load_tls_was_resumed(const struct load_tls *tls);

/* Borrows bytes that came from the server until load_tls_read returns 0 or less. */
void load_tls_give(struct load_tls *tls, const char *data, uint32_t bytes);
/* Writes what the given bytes hold to `out`, and returns how many bytes those are. 0: all was used. -1: the connection
 * failed; then load_tls_explain comes next. */
int64_t load_tls_read(struct load_tls *tls, char *out, uint32_t room);
/* Appends `data` to the output, encrypted; once the connection is secured. False as for load_tls_read. */
bool load_tls_write(struct load_tls *tls, const char *data, uint32_t bytes);
/* What is to be sent. The caller may take the buffer and leave another one. */
struct load_buffer *load_tls_output(struct load_tls *tls);

/* Writes why the connection failed. Returns whether each further one must fail in the same way. */
bool load_tls_explain(struct load_tls *tls, char *out, size_t room);

#endif
