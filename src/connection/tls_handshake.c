#include "connection/tls_handshake.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct tls_handshake {
    SSL *ssl;
    BIO *in;  /* owned by `ssl` */
    BIO *out; /* owned by `ssl` */
    const char *reason;
    bool has_client_secret;
    bool has_server_secret;
    uint8_t client_secret[TLS_SECRET_BYTES_MAX];
    uint8_t server_secret[TLS_SECRET_BYTES_MAX];
};

struct tls_handshake *tls_handshake_open(SSL_CTX *ssl_context)
{
    struct tls_handshake *handshake = calloc(1, sizeof *handshake);
    if (handshake == NULL)
        return NULL;
    handshake->ssl = SSL_new(ssl_context);
    handshake->in = BIO_new(BIO_s_mem());
    handshake->out = BIO_new(BIO_s_mem());
    if (handshake->ssl == NULL || handshake->in == NULL || handshake->out == NULL) {
        SSL_free(handshake->ssl);
        BIO_free(handshake->in);
        BIO_free(handshake->out);
        free(handshake);
        return NULL;
    }
    SSL_set_bio(handshake->ssl, handshake->in, handshake->out);
    SSL_set_accept_state(handshake->ssl);
    SSL_set_app_data(handshake->ssl, handshake);
    return handshake;
}

void tls_handshake_close(struct tls_handshake **handshake_p)
{
    struct tls_handshake *handshake = *handshake_p;
    *handshake_p = NULL;
    if (handshake == NULL)
        return;
    SSL_free(handshake->ssl);
    OPENSSL_cleanse(handshake, sizeof *handshake);
    free(handshake);
}

/* -- the secrets of TLS 1.3 -- */

/* "LABEL client_random secret", the last two in hex. False: another label, or a secret of another size. */
static bool take_secret(const char *line, const char *label, uint8_t secret[TLS_SECRET_BYTES_MAX])
{
    size_t label_bytes = strlen(label);
    size_t bytes;
    if (strncmp(line, label, label_bytes) != 0 || line[label_bytes] != ' ')
        return false;
    const char *hex = strrchr(line, ' ') + 1;
    return OPENSSL_hexstr2buf_ex(secret, TLS_SECRET_BYTES_MAX, &bytes, hex, '\0') == 1;
}

void tls_handshake_on_secret(const SSL *ssl, const char *line)
{
    struct tls_handshake *handshake = SSL_get_app_data(ssl);
    if (handshake == NULL)
        return;
    if (take_secret(line, "CLIENT_TRAFFIC_SECRET_0", handshake->client_secret))
        handshake->has_client_secret = true;
    if (take_secret(line, "SERVER_TRAFFIC_SECRET_0", handshake->server_secret))
        handshake->has_server_secret = true;
}

/* -- the end of a handshake -- */

static bool suite_of(const SSL *ssl, enum tls_suite *suite_r)
{
    switch (SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(ssl))) {
    case NID_aes_128_gcm: *suite_r = TLS_AES_128_GCM; return true;
    case NID_aes_256_gcm: *suite_r = TLS_AES_256_GCM; return true;
    case NID_chacha20_poly1305: *suite_r = TLS_CHACHA20_POLY1305; return true;
    default: return false;
    }
}

/* The number of records in `out`, and the last of them. */
static uint32_t count_records(const char *out, size_t bytes, const char **last_r)
{
    uint32_t count = 0;
    *last_r = out;
    while (bytes > 0) {
        size_t record = tls_record_bytes(out, bytes);
        ASSERT(record > 0 && record <= bytes);
        *last_r = out;
        out += record;
        bytes -= record;
        count++;
    }
    return count;
}

/* Records of the last step are session tickets, under the first application key. */
static bool take_keys_13(struct tls_handshake *handshake, enum tls_suite suite, const char *out, size_t out_bytes,
                         struct tls_record *record_r)
{
    const char *last;
    if (!handshake->has_client_secret || !handshake->has_server_secret
        || !tls_record_init_13(record_r, suite, handshake->client_secret, handshake->server_secret))
        return false;
    record_r->write.sequence = count_records(out, out_bytes, &last);
    return true;
}

static bool take_keys_12(struct tls_handshake *handshake, enum tls_suite suite, struct tls_record *record_r)
{
    uint8_t master[TLS_MASTER_BYTES], client_random[TLS_RANDOM_BYTES], server_random[TLS_RANDOM_BYTES];
    const SSL *ssl = handshake->ssl;
    bool is_good =
        SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof master) == sizeof master
        && SSL_get_client_random(ssl, client_random, sizeof client_random) == sizeof client_random
        && SSL_get_server_random(ssl, server_random, sizeof server_random) == sizeof server_random
        && tls_record_init_12(record_r, suite, master, client_random, server_random, handshake->server_secret);
    OPENSSL_cleanse(master, sizeof master);
    return is_good;
}

/* TLS 1.2: the last flight ends with the Finished, behind whose header its nonce is. Kept of each flight, since after a
 * short handshake the last flight is not the last step. */
static void keep_nonce(struct tls_handshake *handshake, const char *out, size_t out_bytes)
{
    const char *last;
    count_records(out, out_bytes, &last);
    if (tls_record_bytes(last, out_bytes) >= TLS_HEADER_BYTES + 8)
        memcpy(handshake->server_secret, last + TLS_HEADER_BYTES, 8);
}

/* libssl has nothing left: what comes next is the caller's. */
static bool take_keys(struct tls_handshake *handshake, const char *out, size_t out_bytes, struct tls_record *record_r)
{
    enum tls_suite suite;
    if (!suite_of(handshake->ssl, &suite) || SSL_has_pending(handshake->ssl) || BIO_pending(handshake->in) > 0)
        return false;
    if (SSL_version(handshake->ssl) == TLS1_3_VERSION)
        return take_keys_13(handshake, suite, out, out_bytes, record_r);
    return take_keys_12(handshake, suite, record_r);
}

static enum tls_handshake_step fail(struct tls_handshake *handshake, const char *otherwise)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    handshake->reason = reason != NULL ? reason : otherwise;
    ERR_clear_error();
    return TLS_HANDSHAKE_FAILED;
}

enum tls_handshake_step tls_handshake_feed(struct tls_handshake *handshake, const char *data, size_t bytes,
                                           const char **out_r, size_t *out_bytes_r, struct tls_record *record_r)
{
    char *out = NULL;
    ASSERT(bytes > 0 && bytes <= TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX);
    ERR_clear_error();
    (void)BIO_reset(handshake->out);
    bool is_taken = BIO_write(handshake->in, data, (int)bytes) == (int)bytes;
    int result = is_taken ? SSL_do_handshake(handshake->ssl) : -1;
    *out_bytes_r = (size_t)BIO_get_mem_data(handshake->out, &out);
    *out_r = out;
    if (*out_bytes_r > 0 && (result == 1 || SSL_get_error(handshake->ssl, result) == SSL_ERROR_WANT_READ)
        && SSL_version(handshake->ssl) == TLS1_2_VERSION)
        keep_nonce(handshake, out, *out_bytes_r);
    if (result == 1)
        return take_keys(handshake, out, *out_bytes_r, record_r) ? TLS_HANDSHAKE_DONE : fail(handshake, "no keys");
    if (!is_taken || SSL_get_error(handshake->ssl, result) != SSL_ERROR_WANT_READ)
        return fail(handshake, "the handshake failed");
    return TLS_HANDSHAKE_MORE;
}

const char *tls_handshake_reason(const struct tls_handshake *handshake)
{
    return handshake->reason != NULL ? handshake->reason : "";
}

bool tls_handshake_is_resumed(const struct tls_handshake *handshake)
{
    return SSL_session_reused(handshake->ssl) == 1;
}

size_t tls_handshake_data_max(const struct tls_handshake *handshake)
{
    unsigned mode = SSL_SESSION_get_max_fragment_length(SSL_get_session(handshake->ssl));
    return mode == TLSEXT_max_fragment_length_DISABLED ? TLS_DATA_BYTES_MAX : (size_t)256 << mode;
}
