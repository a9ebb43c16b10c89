/*
 * client_tls.h: the client's side of TLS 1.2 and 1.3, by OpenSSL, between a connection's bytes and its io, for the
 * commands that connect to a server and for the load generator. Nothing here reads or writes a socket: received bytes
 * are given, and bytes to send stand in an output buffer. OpenSSL reads the received bytes in place and appends records
 * to the output, by a BIO of this file: so a byte is copied once in each direction beside the cipher itself. There is
 * no kTLS.
 *
 * struct client_tls_context is what all connections share; any thread, after it was opened. struct client_tls belongs
 * to one thread; it outlives its connection, and may keep the newest ticket.
 *
 * A connection: client_tls_begin; send the output; for what is received client_tls_give, then client_tls_read until it
 * returns 0, and send the output; from client_tls_is_secured on also client_tls_write; client_tls_end.
 */
#ifndef CHITCHAT_CLI_CLIENT_TLS_H
#define CHITCHAT_CLI_CLIENT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct client_tls_context;
struct client_tls;

/* All texts are borrowed until client_tls_context_close. */
struct client_tls_options {
    const char *host;          /* a name or an IP address, which the certificate must have */
    const char *ca_path;       /* --tls-ca: certificates that may have signed the server's, PEM; NULL: the system's */
    bool is_insecure;          /* the certificate is not checked */
    bool keeps_tickets;        /* the next connection resumes the session */
    const char *insecure_hint; /* how the user turns the check off, for an error; "": they cannot */
    const char *plain_hint;    /* what the user does where the server does not speak TLS, for an error */
};

/* Copies the options. False, with the reason in `why`: the certificates of --tls-ca cannot
 * be read. */
bool client_tls_context_open(struct client_tls_context **client_r, const struct client_tls_options *options, char *why,
                             size_t room);
/* After all client_tls of it are closed. Nulls *client; NULL is fine. */
void client_tls_context_close(struct client_tls_context **client);
/* Writes version and cipher suite of the newest connection; nothing before the first. */
void client_tls_context_describe(const struct client_tls_context *client, char *out, size_t room);

/* Borrows the client until client_tls_close. */
struct client_tls *client_tls_open(struct client_tls_context *client);
/* Nulls *tls; NULL is fine. */
void client_tls_close(struct client_tls **tls);

/* Begins a connection: the output is the first message of the handshake. False as for client_tls_read. */
bool client_tls_begin(struct client_tls *tls);
/* The connection is over, whatever its state. */
void client_tls_end(struct client_tls *tls);
/* Whether the handshake of this connection is complete. */
bool client_tls_is_secured(const struct client_tls *tls);
/* Whether it resumed an earlier session. */
bool client_tls_was_resumed(const struct client_tls *tls);

/* Borrows bytes that came from the server until client_tls_read returns 0 or less. */
void client_tls_give(struct client_tls *tls, const char *data, uint32_t bytes);
/* Writes what the given bytes hold to `out`, and returns how many bytes those are. 0: all was used. -1: the connection
 * failed; then client_tls_explain comes next. */
int64_t client_tls_read(struct client_tls *tls, char *out, uint32_t room);
/* Appends `data` to the output, encrypted; once the connection is secured. False as for client_tls_read. */
bool client_tls_write(struct client_tls *tls, const char *data, uint32_t bytes);
/* What is to be sent. The caller may take the buffer and leave another one. */
struct buffer *client_tls_output(struct client_tls *tls);

/* Writes why the connection failed. Returns whether each further one must fail in the same way. */
bool client_tls_explain(struct client_tls *tls, char *out, size_t room);

#endif
