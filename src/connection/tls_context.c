#include "connection/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "connection/tls_handshake.h"
#include "connection/tls_tickets.h"

/* Forward secrecy and AEAD. The ciphers of TLS 1.3 all are. */
#define CIPHERS_12                                                                                                     \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                         \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

struct tls_context {
    /* Set by open, then only read. */
    const char *certificate_path;
    const char *key_path;
    struct tls_tickets tickets; /* has a lock of its own */

    /* Under the lock. */
    pthread_mutex_t lock;
    SSL_CTX *ssl;
};

/* -- session tickets -- */

static bool ticket_seal(struct tls_tickets *tickets, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                        struct tls_ticket_key *key)
{
    if (!tls_tickets_newest(tickets, key) || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
        return false;
    memcpy(name, key->name, sizeof key->name);
    return EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher_key, iv) == 1;
}

/* libssl asks for the key of a ticket. 1: use it; 2: use it, and give the client a newer ticket; 0: unknown, so the
 * handshake is a full one; -1: failed. */
static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int seals)
{
    struct tls_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_ticket_key key;
    enum tls_ticket_match match = TLS_TICKET_NEWEST;
    bool is_good;
    if (seals) {
        is_good = ticket_seal(tickets, name, iv, cipher, &key);
    } else {
        match = tls_tickets_find(tickets, name, &key);
        if (match == TLS_TICKET_UNKNOWN)
            return 0;
        is_good = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher_key, iv) == 1;
    }
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac_key, sizeof key.mac_key),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    is_good = is_good && EVP_MAC_CTX_set_params(mac, parameters) == 1;
    OPENSSL_cleanse(&key, sizeof key);
    return !is_good ? -1 : match == TLS_TICKET_OLDER ? 2 : 1;
}

/* -- ALPN -- */

/* A client that offers only other protocols, as h2, gets an alert. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *offered,
                   unsigned offered_bytes, void *argument)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)argument;
    if (SSL_select_next_proto(&chosen, out_bytes, ours, sizeof ours - 1, offered, offered_bytes)
        != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* -- the files -- */

static int complain(char *text, size_t text_bytes, const char *option, const char *path, const char *what)
{
    (void)snprintf(text, text_bytes, "--%s %s %s", option, path, what);
    return -EINVAL;
}

/* Whether the file can be read, and for a key, that others cannot. */
static int check_file(const char *option, const char *path, bool is_secret, char *text, size_t text_bytes)
{
    char what[200];
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, and not waited for */
    if (fd < 0 || fstat(fd, &status) != 0) {
        (void)snprintf(what, sizeof what, "cannot be read: %s: give a PEM file that this user may read",
                       strerror(errno));
        if (fd >= 0)
            close(fd);
        return complain(text, text_bytes, option, path, what);
    }
    close(fd);
    if (!S_ISREG(status.st_mode))
        return complain(text, text_bytes, option, path, "is not a file: give a PEM file");
    if (is_secret && (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
        return complain(text, text_bytes, option, path,
                        "can be read or written by every user of this machine: chmod 600 it");
    return 0;
}

/* An encrypted key: nobody is there to type a passphrase. */
static int on_passphrase(char *buffer, int bytes, int writes, void *asked)
{
    (void)buffer;
    (void)bytes;
    (void)writes;
    *(bool *)asked = true;
    return -1;
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != NULL ? reason : "no reason given";
}

static int load_key(SSL_CTX *ssl, const char *path, char *text, size_t text_bytes)
{
    char what[200];
    bool is_encrypted = false;
    SSL_CTX_set_default_passwd_cb(ssl, on_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, &is_encrypted);
    bool is_loaded = SSL_CTX_use_PrivateKey_file(ssl, path, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
    if (is_encrypted)
        return complain(text, text_bytes, "tls-key", path,
                        "is encrypted: decrypt it (openssl pkey -in F -out F2) and chmod 600 the result");
    bool is_other = !is_loaded && ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
    if (is_other || (is_loaded && SSL_CTX_check_private_key(ssl) != 1))
        return complain(text, text_bytes, "tls-key", path,
                        "does not belong to the certificate of --tls-cert: give the key it was made with");
    if (is_loaded)
        return 0;
    (void)snprintf(what, sizeof what, "has no private key in PEM: %s: give the file of the key", openssl_reason());
    return complain(text, text_bytes, "tls-key", path, what);
}

static int load_files(SSL_CTX *ssl, const struct tls_context *context, char *text, size_t text_bytes)
{
    char what[200];
    int status = check_file("tls-cert", context->certificate_path, false, text, text_bytes);
    if (status == 0)
        status = check_file("tls-key", context->key_path, true, text, text_bytes);
    if (status != 0)
        return status;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ssl, context->certificate_path) != 1) {
        (void)snprintf(what, sizeof what,
                       "has no usable certificate chain in PEM: %s: give a file with the server's certificate first",
                       openssl_reason());
        return complain(text, text_bytes, "tls-cert", context->certificate_path, what);
    }
    return load_key(ssl, context->key_path, text, text_bytes);
}

static bool set_up(SSL_CTX *ssl, struct tls_context *context)
{
    SSL_CTX_set_app_data(ssl, &context->tickets);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ssl, TLS_TICKET_LIFE_S);
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
    SSL_CTX_set_keylog_callback(ssl, tls_handshake_on_secret);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1
           && SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 && SSL_CTX_set_cipher_list(ssl, CIPHERS_12) == 1
           && SSL_CTX_set_ciphersuites(ssl, CIPHERS_13) == 1 && SSL_CTX_set1_groups_list(ssl, GROUPS) == 1
           && SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"chitchat", 8) == 1
           && SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket) == 1;
}

/* Warns of a certificate that is not good today: clients will refuse it, and it may be renewed while the server runs.
 */
static void log_certificate(const SSL_CTX *ssl, const struct tls_context *context)
{
    const X509 *certificate = SSL_CTX_get0_certificate(ssl);
    struct tm until;
    char text[32] = "?";
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until) == 1)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &until);
    log_line(LOG_INFO, "tls_certificate", "path=\"%s\" not_after=%s key=%s key_bits=%d", context->certificate_path,
             text, EVP_PKEY_get0_type_name(X509_get0_pubkey(certificate)),
             EVP_PKEY_get_bits(X509_get0_pubkey(certificate)));
    bool has_expired = X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
    if (has_expired || X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        log_line(LOG_WARN, "tls_certificate_not_valid",
                 "path=\"%s\" hint=\"the certificate %s: clients refuse it; replace it and send SIGHUP\"",
                 context->certificate_path, has_expired ? "has expired" : "is not valid yet");
}

static int make(struct tls_context *context, SSL_CTX **ssl_r, char *text, size_t text_bytes)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    int status = -EINVAL;
    if (ssl == NULL || !set_up(ssl, context))
        (void)snprintf(text, text_bytes, "libssl cannot be set up for TLS: %s: check its configuration (openssl.cnf)",
                       openssl_reason());
    else
        status = load_files(ssl, context, text, text_bytes);
    if (status == 0)
        log_certificate(ssl, context);
    else
        SSL_CTX_free(ssl);
    *ssl_r = status == 0 ? ssl : NULL;
    ERR_clear_error();
    return status;
}

int tls_context_open(struct tls_context **context_r, const char *certificate_path, const char *key_path,
                     struct clock *clock, char *text, size_t text_bytes)
{
    struct tls_context *context = calloc(1, sizeof *context);
    ASSERT(context != NULL);
    context->certificate_path = certificate_path;
    context->key_path = key_path;
    pthread_mutex_init(&context->lock, NULL);
    tls_tickets_init(&context->tickets, clock);
    int status = make(context, &context->ssl, text, text_bytes);
    if (status != 0)
        tls_context_close(&context);
    *context_r = context;
    return status;
}

int tls_context_reload(struct tls_context *context, char *text, size_t text_bytes)
{
    SSL_CTX *fresh;
    int status = make(context, &fresh, text, text_bytes);
    if (status != 0)
        return status;
    pthread_mutex_lock(&context->lock);
    SSL_CTX *old = context->ssl;
    context->ssl = fresh;
    pthread_mutex_unlock(&context->lock);
    SSL_CTX_free(old);
    return 0;
}

uint64_t tls_context_expiry_us(struct tls_context *context)
{
    struct tm until;
    SSL_CTX *ssl = tls_context_take(context);
    bool is_known = ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(ssl)), &until) == 1;
    SSL_CTX_free(ssl);
    time_t expiry_s = is_known ? timegm(&until) : 0;
    return expiry_s > 0 ? seconds_us((uint64_t)expiry_s) : 0;
}

void tls_context_close(struct tls_context **context_p)
{
    struct tls_context *context = *context_p;
    *context_p = NULL;
    if (context == NULL)
        return;
    SSL_CTX_free(context->ssl);
    tls_tickets_fini(&context->tickets);
    pthread_mutex_destroy(&context->lock);
    free(context);
}

SSL_CTX *tls_context_take(struct tls_context *context)
{
    pthread_mutex_lock(&context->lock);
    SSL_CTX *ssl = context->ssl;
    SSL_CTX_up_ref(ssl);
    pthread_mutex_unlock(&context->lock);
    return ssl;
}
