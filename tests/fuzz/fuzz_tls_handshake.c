/* The handshake of a TLS connection: records of a stranger end it or wait for more, and never complete it; a client of
 * libssl completes it, and does not if a byte of a record between them is changed. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connection/tls_context.h"
#include "connection/tls_handshake.h"
#include "fuzz.h"

#define ROUNDS_MAX 8
#define RECORD_BYTES_MAX (TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX)

static struct tls_context *context;
static SSL_CTX *client_context;

static void write_file(const char *path, EVP_PKEY *key, X509 *certificate)
{
    FILE *file = fopen(path, "w");
    ASSERT(file != NULL && fchmod(fileno(file), 0600) == 0);
    ASSERT(certificate != NULL ? PEM_write_X509(file, certificate) == 1
                               : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    ASSERT(fclose(file) == 0);
}

static void write_files(const char *certificate_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ASSERT(key != NULL && certificate != NULL);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    ASSERT(X509_set_pubkey(certificate, key) == 1 && X509_sign(certificate, key, EVP_sha256()) > 0);
    write_file(certificate_path, key, certificate);
    write_file(key_path, key, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void set_up(void)
{
    static struct clock clock;
    char certificate_path[256], key_path[256], text[512];
    const char *dir = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    (void)snprintf(certificate_path, sizeof certificate_path, "%s/fuzz-%d.crt", dir, (int)getpid());
    (void)snprintf(key_path, sizeof key_path, "%s/fuzz-%d.key", dir, (int)getpid());
    write_files(certificate_path, key_path);
    clock_init_system(&clock);
    ASSERT(tls_context_open(&context, certificate_path, key_path, &clock, text, sizeof text) == 0);
    unlink(certificate_path);
    unlink(key_path);
    client_context = SSL_CTX_new(TLS_client_method());
    ASSERT(client_context != NULL);
}

static struct tls_handshake *open_handshake(void)
{
    SSL_CTX *server = tls_context_take(context);
    struct tls_handshake *handshake = tls_handshake_open(server);
    SSL_CTX_free(server);
    ASSERT(handshake != NULL);
    return handshake;
}

/* As the connection does: bytes that begin no record, or only a part of one, are not for the handshake. */
static enum tls_handshake_step feed(struct tls_handshake *handshake, struct span record, struct span *out_r)
{
    static struct tls_record keys;
    char *copy = fuzz_copy(record.data, record.bytes);
    enum tls_handshake_step step =
        tls_handshake_feed(handshake, copy, record.bytes, &out_r->data, &out_r->bytes, &keys);
    ASSERT(step != TLS_HANDSHAKE_FAILED || tls_handshake_reason(handshake) != NULL);
    free(copy);
    return step;
}

static void check_stranger(struct fuzz_input *input)
{
    struct tls_handshake *handshake = open_handshake();
    enum tls_handshake_step step = TLS_HANDSHAKE_MORE;
    while (step == TLS_HANDSHAKE_MORE) {
        struct span out;
        const char *data = (const char *)input->data;
        size_t bytes = tls_record_bytes(data, input->bytes);
        if (!tls_header_is_good(data, input->bytes) || bytes == 0 || bytes > input->bytes)
            break;
        step = feed(handshake, fuzz_span(input, bytes), &out);
        ASSERT(step != TLS_HANDSHAKE_DONE);
    }
    tls_handshake_close(&handshake);
}

/* What becomes of one byte: of the record with this number, and where in it. */
struct change {
    uint32_t record;
    uint32_t at;
    uint8_t bits; /* 0: nothing is changed */
};

/* The next record of the client; 0 bytes: there is none. */
static size_t take_record(BIO *from, char record[RECORD_BYTES_MAX])
{
    if (BIO_read(from, record, TLS_HEADER_BYTES) != TLS_HEADER_BYTES)
        return 0;
    size_t bytes = tls_record_bytes(record, TLS_HEADER_BYTES);
    ASSERT(BIO_read(from, record + TLS_HEADER_BYTES, (int)(bytes - TLS_HEADER_BYTES)) > 0);
    return bytes;
}

/* The header is not protected, and a ChangeCipherSpec means nothing in TLS 1.3. */
static bool change_record(const struct change *change, char *record, size_t bytes)
{
    uint32_t at = TLS_HEADER_BYTES + change->at % (uint32_t)(bytes - TLS_HEADER_BYTES);
    record[at] = (char)(record[at] ^ change->bits);
    return change->bits != 0 && record[0] != TLS_CHANGE_CIPHER_SPEC;
}

static void check_client(int version, const struct change *change)
{
    static char record[RECORD_BYTES_MAX];
    struct tls_handshake *handshake = open_handshake();
    SSL *client = SSL_new(client_context);
    BIO *to_client = BIO_new(BIO_s_mem()), *from_client = BIO_new(BIO_s_mem());
    enum tls_handshake_step step = TLS_HANDSHAKE_MORE;
    bool is_changed = false;
    uint32_t number = 0;
    ASSERT(client != NULL && to_client != NULL && from_client != NULL);
    ASSERT(SSL_set_max_proto_version(client, version) == 1);
    SSL_set_bio(client, to_client, from_client);
    SSL_set_connect_state(client);
    for (int round = 0; round < ROUNDS_MAX && step == TLS_HANDSHAKE_MORE; round++) {
        (void)SSL_do_handshake(client);
        for (size_t bytes; step == TLS_HANDSHAKE_MORE && (bytes = take_record(from_client, record)) > 0;) {
            struct span out;
            if (number++ == change->record)
                is_changed = change_record(change, record, bytes);
            step = feed(handshake, (struct span){record, bytes}, &out);
            if (out.bytes > 0)
                ASSERT(BIO_write(to_client, out.data, (int)out.bytes) == (int)out.bytes);
        }
    }
    ASSERT(is_changed ? step != TLS_HANDSHAKE_DONE : change->bits != 0 || step == TLS_HANDSHAKE_DONE);
    SSL_free(client);
    tls_handshake_close(&handshake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    if (context == NULL)
        set_up();
    uint8_t kind = (uint8_t)fuzz_number(&input, 1);
    if (kind % 3 == 0) {
        check_stranger(&input);
        return 0;
    }
    struct change change = {.record = (uint32_t)fuzz_number(&input, 1) % 4};
    change.at = (uint32_t)fuzz_number(&input, 2);
    change.bits = (uint8_t)fuzz_number(&input, 1);
    check_client(kind % 3 == 1 ? TLS1_2_VERSION : TLS1_3_VERSION, &change);
    return 0;
}
