#include "cli/client_tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/span.h"

struct client_tls_context {
    /* Set by open, then only read. */
    struct client_tls_options options;
    SSL_CTX *context;
    BIO_METHOD *method;
    /* Shared: texts of OpenSSL, which stand for ever. */
    _Atomic(const char *) version;
    _Atomic(const char *) cipher;
};

struct client_tls {
    struct client_tls_context *client; /* borrowed */
    SSL *ssl;                          /* of the connection; NULL: there is none */
    SSL_SESSION *ticket;               /* the newest; NULL: there is none */
    struct span given;                 /* borrowed */
    struct buffer output;
    bool is_secured;
};

/* -- the BIO: reads what was given, appends to the output -- */

static int bio_read(BIO *bio, char *out, int room)
{
    struct client_tls *tls = BIO_get_data(bio);
    size_t bytes = tls->given.bytes < (size_t)room ? tls->given.bytes : (size_t)room;
    BIO_clear_retry_flags(bio);
    if (bytes == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, tls->given.data, bytes);
    tls->given = (struct span){tls->given.data + bytes, tls->given.bytes - bytes};
    return (int)bytes;
}

static int bio_write(BIO *bio, const char *data, int bytes)
{
    struct client_tls *tls = BIO_get_data(bio);
    buffer_grow(&tls->output, (uint32_t)bytes);
    memcpy(tls->output.data + tls->output.bytes, data, (size_t)bytes);
    tls->output.bytes += (uint32_t)bytes;
    return bytes;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *open_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "chitchat");
    ASSERT(method != NULL);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
}

/* -- what all connections share -- */

/* The callee owns the ticket if it returns 1. After a resumed handshake of TLS 1.3, OpenSSL 3.0 marks the session as
 * used up, and the new ticket, a copy of it, too; then the older ticket stays, and is used again. */
static int take_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    struct client_tls *tls = SSL_get_app_data(ssl);
    if (!SSL_SESSION_is_resumable(ticket))
        return 0;
    SSL_SESSION_free(tls->ticket);
    tls->ticket = ticket;
    return 1;
}

/* A certificate of the file is trusted as it is: it need not be a CA's. */
static bool trust(SSL_CTX *context, const struct client_tls_options *options, char *why, size_t room)
{
    if (options->is_insecure)
        return true;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    if (options->ca_path == NULL)
        return SSL_CTX_set_default_verify_paths(context) == 1;
    if (SSL_CTX_load_verify_file(context, options->ca_path) == 1)
        return true;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(why, room, "--tls-ca %s: %s; give a file with one or more certificates in PEM", options->ca_path,
             reason != NULL ? reason : "cannot be read");
    ERR_clear_error();
    return false;
}

bool client_tls_context_open(struct client_tls_context **client_r, const struct client_tls_options *options, char *why,
                             size_t room)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    ASSERT(options->host != NULL && options->insecure_hint != NULL && options->plain_hint != NULL);
    struct client_tls_context *client = calloc(1, sizeof *client);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    ASSERT(client != NULL && context != NULL); /* its users can do nothing without memory */
    *client = (struct client_tls_context){.options = *options, .context = context, .method = open_method()};
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); /* else each connection keeps 34 KB */
    SSL_CTX_set_read_ahead(context, 1);                  /* takes all that was given at once */
    SSL_CTX_set_alpn_protos(context, protocols, sizeof protocols - 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (options->keeps_tickets) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, take_ticket);
    }
    *client_r = client;
    if (trust(context, options, why, room))
        return true;
    client_tls_context_close(client_r);
    return false;
}

void client_tls_context_close(struct client_tls_context **client)
{
    if (*client == NULL)
        return;
    SSL_CTX_free((*client)->context);
    BIO_meth_free((*client)->method);
    free(*client);
    *client = NULL;
}

void client_tls_context_describe(const struct client_tls_context *client, char *out, size_t room)
{
    const char *version = atomic_load(&client->version), *cipher = atomic_load(&client->cipher);
    snprintf(out, room, "%s%s%s", version != NULL ? version : "", version != NULL ? ", " : "",
             cipher != NULL ? cipher : "");
}

/* -- one session -- */

struct client_tls *client_tls_open(struct client_tls_context *client)
{
    struct client_tls *tls = calloc(1, sizeof *tls);
    ASSERT(tls != NULL);
    tls->client = client;
    return tls;
}

void client_tls_close(struct client_tls **tls)
{
    if (*tls == NULL)
        return;
    client_tls_end(*tls);
    SSL_SESSION_free((*tls)->ticket);
    buffer_fini(&(*tls)->output);
    free(*tls);
    *tls = NULL;
}

/* The certificate must be for the host of ADDR:PORT. An address is no name, so it is not sent (RFC 6066, 3). */
static void name_server(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return;
    SSL_set_tlsext_host_name(ssl, host);
    SSL_set1_host(ssl, host);
    ERR_clear_error();
}

/* Whether the step that returned `status` only waits for more bytes. */
static bool is_waiting(const struct client_tls *tls, int status)
{
    return SSL_get_error(tls->ssl, status) == SSL_ERROR_WANT_READ;
}

static void note_secured(struct client_tls *tls)
{
    if (tls->is_secured || !SSL_is_init_finished(tls->ssl))
        return;
    tls->is_secured = true;
    atomic_store_explicit(&tls->client->version, SSL_get_version(tls->ssl), memory_order_relaxed);
    atomic_store_explicit(&tls->client->cipher, SSL_get_cipher_name(tls->ssl), memory_order_relaxed);
}

/* By a copy, which OpenSSL marks as used up. */
static void resume(struct client_tls *tls)
{
    SSL_SESSION *copy = SSL_SESSION_dup(tls->ticket);
    ASSERT(copy != NULL);
    SSL_set_session(tls->ssl, copy);
    SSL_SESSION_free(copy);
}

bool client_tls_begin(struct client_tls *tls)
{
    ASSERT(tls->ssl == NULL && tls->output.bytes == 0);
    BIO *bio = BIO_new(tls->client->method);
    tls->ssl = SSL_new(tls->client->context);
    ASSERT(tls->ssl != NULL && bio != NULL);
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    name_server(tls->ssl, tls->client->options.host);
    if (tls->ticket != NULL)
        resume(tls);
    SSL_set_connect_state(tls->ssl);
    return is_waiting(tls, SSL_do_handshake(tls->ssl));
}

/* A connection that ended without a shutdown of its own would make OpenSSL discard the ticket. */
void client_tls_end(struct client_tls *tls)
{
    if (tls->ssl == NULL)
        return;
    SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    tls->ssl = NULL;
    tls->is_secured = false;
    tls->given = (struct span){0};
    tls->output.bytes = 0;
}

bool client_tls_is_secured(const struct client_tls *tls)
{
    return tls->is_secured;
}

bool client_tls_was_resumed(const struct client_tls *tls)
{
    ASSERT(tls->is_secured);
    return SSL_session_reused(tls->ssl) == 1;
}

void client_tls_give(struct client_tls *tls, const char *data, uint32_t bytes)
{
    ASSERT(tls->ssl != NULL && tls->given.bytes == 0);
    tls->given = (struct span){data, bytes};
}

/* A record holds at most 16 KiB, so several are put together: the frames that end in the next one are read in place. */
int64_t client_tls_read(struct client_tls *tls, char *out, uint32_t room)
{
    ASSERT(tls->ssl != NULL && room <= INT_MAX);
    uint32_t used = 0;
    while (used < room) {
        int bytes = SSL_read(tls->ssl, out + used, (int)(room - used));
        if (bytes <= 0 && !is_waiting(tls, bytes) && used == 0)
            return -1;
        if (bytes <= 0)
            break;
        used += (uint32_t)bytes;
    }
    if (used > 0)
        ERR_clear_error(); /* after a failure the next call fails again */
    note_secured(tls);
    return used;
}

bool client_tls_write(struct client_tls *tls, const char *data, uint32_t bytes)
{
    ASSERT(tls->is_secured && bytes > 0 && bytes <= INT_MAX);
    return SSL_write(tls->ssl, data, (int)bytes) == (int)bytes;
}

struct buffer *client_tls_output(struct client_tls *tls)
{
    return &tls->output;
}

bool client_tls_explain(struct client_tls *tls, char *out, size_t room)
{
    ASSERT(tls->ssl != NULL);
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    long verified = SSL_get_verify_result(tls->ssl);
    bool is_name = verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH;
    const char *text = ERR_reason_error_string(error);
    ERR_clear_error();
    if (error == 0) {
        snprintf(out, room, "the server ended the connection");
        return false;
    }
    if (!tls->client->options.is_insecure && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        snprintf(out, room, "the server's certificate is not trusted: %s: %s%s",
                 X509_verify_cert_error_string(verified),
                 is_name ? "connect to a name that stands in it" : "give the certificate of its CA by --tls-ca",
                 tls->client->options.insecure_hint);
        return true;
    }
    if (reason == SSL_R_WRONG_VERSION_NUMBER) {
        snprintf(out, room, "the server does not answer in TLS: %s", tls->client->options.plain_hint);
        return true;
    }
    snprintf(out, room, "TLS: %s", text != NULL ? text : "unknown error");
    return false;
}
