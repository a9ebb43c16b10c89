/* The client's TLS against a server of OpenSSL in this process, without sockets. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client_tls.h"

#define MANY_BYTES 100000u

struct peer {
    struct client_tls_context *client;
    struct client_tls *tls;
    SSL_CTX *context;
    SSL *ssl;
    char in[2 * MANY_BYTES]; /* what the client has read */
    uint32_t in_bytes;
    bool has_failed;
};

static void certify(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    cr_assert_eq(SSL_CTX_use_certificate(context, certificate), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static struct peer *peer_open(int version, bool is_insecure)
{
    char why[200];
    struct peer *peer = calloc(1, sizeof *peer);
    cr_assert_not_null(peer);
    const struct client_tls_options options = {.host = "localhost",
                                               .is_insecure = is_insecure,
                                               .keeps_tickets = true,
                                               .insecure_hint = ", or else",
                                               .plain_hint = "take ws://"};
    cr_assert(client_tls_context_open(&peer->client, &options, why, sizeof why), "%s", why);
    peer->tls = client_tls_open(peer->client);
    peer->context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(peer->context, version);
    certify(peer->context);
    return peer;
}

static void peer_disconnect(struct peer *peer)
{
    client_tls_end(peer->tls);
    SSL_free(peer->ssl);
    peer->ssl = NULL;
}

static void peer_close(struct peer *peer)
{
    peer_disconnect(peer);
    client_tls_close(&peer->tls);
    client_tls_context_close(&peer->client);
    SSL_CTX_free(peer->context);
    free(peer);
}

/* Gives bytes to the client, at most `step` at a time, and reads all that it can. */
static void give(struct peer *peer, const char *data, uint32_t bytes, uint32_t step)
{
    for (uint32_t at = 0; at < bytes && !peer->has_failed; at += step) {
        int64_t count;
        client_tls_give(peer->tls, data + at, bytes - at < step ? bytes - at : step);
        while (
            (count = client_tls_read(peer->tls, peer->in + peer->in_bytes, (uint32_t)sizeof peer->in - peer->in_bytes))
            > 0)
            peer->in_bytes += (uint32_t)count;
        peer->has_failed = count < 0;
    }
}

static uint32_t from_server(struct peer *peer, char *out, uint32_t room)
{
    int bytes = BIO_read(SSL_get_wbio(peer->ssl), out, (int)room);
    return bytes > 0 ? (uint32_t)bytes : 0;
}

static void to_server(struct peer *peer)
{
    struct buffer *output = client_tls_output(peer->tls);
    BIO_write(SSL_get_rbio(peer->ssl), output->data, (int)output->bytes);
    output->bytes = 0;
}

static void peer_connect(struct peer *peer, uint32_t step)
{
    char data[8192];
    peer->ssl = SSL_new(peer->context);
    SSL_set_bio(peer->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(peer->ssl);
    cr_assert(client_tls_begin(peer->tls));
    for (int i = 0; i < 4 && !peer->has_failed; i++) {
        to_server(peer);
        SSL_do_handshake(peer->ssl);
        give(peer, data, from_server(peer, data, sizeof data), step);
    }
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

Test(client_tls, what_one_side_writes_the_other_reads)
{
    static char sent[MANY_BYTES], records[2 * MANY_BYTES], read[MANY_BYTES];
    for (uint32_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i * 31 >> 3);
    for (int i = 0; i < 2; i++) {
        struct peer *peer = peer_open(versions[i], true);
        size_t count, got = 0;
        peer_connect(peer, 65536);
        cr_assert(client_tls_is_secured(peer->tls));
        cr_assert(client_tls_write(peer->tls, sent, sizeof sent));
        to_server(peer);
        while (SSL_read_ex(peer->ssl, read + got, sizeof read - got, &count) == 1)
            got += count;
        cr_expect(got == sizeof sent && memcmp(read, sent, got) == 0);
        cr_assert_eq(SSL_write(peer->ssl, sent, sizeof sent), (int)sizeof sent);
        give(peer, records, from_server(peer, records, sizeof records), 65536);
        cr_expect(peer->in_bytes == sizeof sent && memcmp(peer->in, sent, sizeof sent) == 0);
        peer_close(peer);
    }
}

Test(client_tls, bytes_may_come_one_at_a_time)
{
    char record[200];
    struct peer *peer = peer_open(TLS1_3_VERSION, true);
    peer_connect(peer, 1);
    cr_assert(client_tls_is_secured(peer->tls));
    SSL_write(peer->ssl, "hello", 5);
    give(peer, record, from_server(peer, record, sizeof record), 1);
    cr_expect(peer->in_bytes == 5 && memcmp(peer->in, "hello", 5) == 0);
    peer_close(peer);
}

Test(client_tls, each_connection_after_the_first_resumes_its_session)
{
    for (int i = 0; i < 2; i++) {
        struct peer *peer = peer_open(versions[i], true);
        for (int round = 0; round < 4; round++) {
            peer_connect(peer, 65536);
            cr_assert(client_tls_is_secured(peer->tls));
            cr_expect_eq(client_tls_was_resumed(peer->tls), round > 0);
            peer_disconnect(peer);
        }
        peer_close(peer);
    }
}

Test(client_tls, a_certificate_that_nobody_trusts_is_hopeless)
{
    char why[200];
    struct peer *peer = peer_open(TLS1_3_VERSION, false);
    peer_connect(peer, 65536);
    cr_assert(peer->has_failed);
    cr_expect(client_tls_explain(peer->tls, why, sizeof why));
    cr_expect_not_null(strstr(why, "the server's certificate is not trusted: "));
    cr_expect_not_null(strstr(why, ", or else"));
    peer_close(peer);
}

Test(client_tls, an_answer_in_plain_http_is_hopeless)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    char why[200];
    struct peer *peer = peer_open(TLS1_3_VERSION, true);
    cr_assert(client_tls_begin(peer->tls));
    give(peer, answer, sizeof answer - 1, 65536);
    cr_assert(peer->has_failed);
    cr_expect(client_tls_explain(peer->tls, why, sizeof why));
    cr_expect_not_null(strstr(why, "does not answer in TLS: take ws://"));
    peer_close(peer);
}

Test(client_tls, what_came_before_a_forged_record_is_read_and_then_the_connection_fails)
{
    char records[200], why[200];
    struct peer *peer = peer_open(TLS1_3_VERSION, true);
    peer_connect(peer, 65536);
    SSL_write(peer->ssl, "true", 4);
    SSL_write(peer->ssl, "forged", 6);
    uint32_t bytes = from_server(peer, records, sizeof records);
    records[bytes - 1] ^= 1;
    give(peer, records, bytes, 65536);
    cr_expect(peer->in_bytes == 4 && memcmp(peer->in, "true", 4) == 0);
    cr_assert(peer->has_failed);
    cr_expect_not(client_tls_explain(peer->tls, why, sizeof why));
    peer_close(peer);
}
