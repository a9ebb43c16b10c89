/* The handshake and the records behind it, against a client of libssl. */
#include <criterion/criterion.h>
#include <endian.h>
#include <string.h>

#include "connection/tls_context.h"
#include "connection/tls_handshake.h"
#include "tls_fixture.h"

/* A client of libssl, and this server. */
struct pair {
    struct tls_context *context;
    struct tls_handshake *handshake;
    struct tls_record record;
    struct tls_ciphers ciphers;
    bool is_done;
    bool is_resumed;
    SSL_CTX *client_context;
    SSL *client;
    BIO *to_client;
    BIO *from_client;
};

static struct tls_files files;
static struct clock system_clock;

static void set_up(void)
{
    clock_init_system(&system_clock);
    make_files(&files);
}

static void tear_down(void)
{
    remove_files(&files);
}

TestSuite(tls_handshake, .init = set_up, .fini = tear_down);

static void pair_open(struct pair *pair)
{
    char text[512];
    *pair = (struct pair){.is_done = false};
    cr_assert_eq(tls_context_open(&pair->context, files.certificate, files.key, &system_clock, text, sizeof text), 0,
                 "%s", text);
    cr_assert_eq(tls_ciphers_open(&pair->ciphers), 0);
    pair->client_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(pair->client_context, SSL_SESS_CACHE_OFF);
}

static void pair_connect(struct pair *pair, SSL_SESSION *session)
{
    SSL_CTX *server = tls_context_take(pair->context);
    pair->handshake = tls_handshake_open(server);
    SSL_CTX_free(server);
    pair->client = SSL_new(pair->client_context);
    pair->to_client = BIO_new(BIO_s_mem());
    pair->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(pair->client, pair->to_client, pair->from_client);
    SSL_set_connect_state(pair->client);
    if (session != NULL)
        SSL_set_session(pair->client, session);
    pair->is_done = false;
}

static void pair_disconnect(struct pair *pair)
{
    tls_handshake_close(&pair->handshake);
    SSL_free(pair->client);
}

static void pair_close(struct pair *pair)
{
    pair_disconnect(pair);
    SSL_CTX_free(pair->client_context);
    tls_ciphers_close(&pair->ciphers);
    tls_context_close(&pair->context);
}

/* The next record of the client; 0: there is none. */
static size_t take_record(struct pair *pair, char *out)
{
    if (BIO_read(pair->from_client, out, TLS_HEADER_BYTES) != TLS_HEADER_BYTES)
        return 0;
    int body = (int)(tls_record_bytes(out, TLS_HEADER_BYTES) - TLS_HEADER_BYTES);
    cr_assert_eq(BIO_read(pair->from_client, out + TLS_HEADER_BYTES, body), body);
    return TLS_HEADER_BYTES + (size_t)body;
}

static enum tls_handshake_step shake_hands(struct pair *pair)
{
    char record[TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX];
    enum tls_handshake_step step = TLS_HANDSHAKE_MORE;
    for (int i = 0; i < 20 && !pair->is_done; i++) {
        const char *out;
        size_t out_bytes;
        (void)SSL_do_handshake(pair->client);
        for (size_t bytes; !pair->is_done && (bytes = take_record(pair, record)) > 0;) {
            step = tls_handshake_feed(pair->handshake, record, bytes, &out, &out_bytes, &pair->record);
            if (out_bytes > 0)
                cr_assert_eq(BIO_write(pair->to_client, out, (int)out_bytes), (int)out_bytes);
            if (step == TLS_HANDSHAKE_FAILED)
                return step;
            pair->is_done = step == TLS_HANDSHAKE_DONE;
        }
    }
    pair->is_resumed = pair->is_done && tls_handshake_is_resumed(pair->handshake);
    return step;
}

static void server_sends(struct pair *pair, enum tls_type type, const void *data, size_t bytes)
{
    static char room[TLS_FRONT_BYTES + TLS_DATA_BYTES_MAX + TLS_BACK_BYTES];
    size_t front, back;
    memcpy(room + TLS_FRONT_BYTES, data, bytes);
    cr_assert(tls_seal(&pair->ciphers, &pair->record.write, type, room + TLS_FRONT_BYTES, bytes, &front, &back));
    int all = (int)(front + bytes + back);
    cr_assert_eq(BIO_write(pair->to_client, room + TLS_FRONT_BYTES - front, all), all);
}

static void client_gets(struct pair *pair, const void *data, size_t bytes)
{
    static char got[TLS_DATA_BYTES_MAX + 1];
    cr_assert_eq(SSL_read(pair->client, got, sizeof got), (int)bytes);
    cr_assert_eq(memcmp(got, data, bytes), 0);
}

/* The next record of the client, opened. Returns its type. */
static uint8_t server_gets(struct pair *pair, const void *data, size_t bytes)
{
    static char record[TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX];
    uint8_t type;
    char *got;
    size_t got_bytes;
    size_t record_bytes = take_record(pair, record);
    cr_assert_eq(tls_open(&pair->ciphers, &pair->record.read, record, record_bytes, &type, &got, &got_bytes), 0);
    cr_assert_eq(got_bytes, bytes);
    cr_assert_eq(memcmp(got, data, bytes), 0);
    return type;
}

static void talk(struct pair *pair)
{
    static char data[TLS_DATA_BYTES_MAX];
    const size_t sizes[] = {1, 2, 100, 4048, TLS_DATA_BYTES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(data, 'a' + (int)i, sizes[i]);
        server_sends(pair, TLS_DATA, data, sizes[i]);
        client_gets(pair, data, sizes[i]);
        cr_assert_eq(SSL_write(pair->client, data, (int)sizes[i]), (int)sizes[i]);
        cr_assert_eq(server_gets(pair, data, sizes[i]), TLS_DATA);
    }
}

static const struct {
    int version;
    const char *cipher;
} settings[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},        {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},  {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"}, {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static void choose(struct pair *pair, size_t setting)
{
    SSL_CTX_set_max_proto_version(pair->client_context, settings[setting].version);
    if (settings[setting].version == TLS1_3_VERSION)
        cr_assert_eq(SSL_CTX_set_ciphersuites(pair->client_context, settings[setting].cipher), 1);
    else
        cr_assert_eq(SSL_CTX_set_cipher_list(pair->client_context, settings[setting].cipher), 1);
}

Test(tls_handshake, both_sides_understand_each_other_with_each_cipher)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        struct pair pair;
        pair_open(&pair);
        choose(&pair, i);
        pair_connect(&pair, NULL);
        cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE, "%s", settings[i].cipher);
        cr_assert_str_eq(SSL_get_cipher(pair.client), settings[i].cipher);
        cr_assert_not(pair.is_resumed);
        tls_handshake_close(&pair.handshake);
        talk(&pair);
        pair_close(&pair);
    }
}

Test(tls_handshake, a_ticket_resumes_the_session_with_each_cipher)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        struct pair pair;
        pair_open(&pair);
        choose(&pair, i);
        pair_connect(&pair, NULL);
        cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE);
        talk(&pair);
        SSL_SESSION *session = SSL_get1_session(pair.client);
        cr_assert(SSL_SESSION_is_resumable(session));
        SSL_shutdown(pair.client);
        pair_disconnect(&pair);
        pair_connect(&pair, session);
        cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE);
        cr_assert(pair.is_resumed, "%s", settings[i].cipher);
        talk(&pair);
        SSL_SESSION_free(session);
        pair_close(&pair);
    }
}

Test(tls_handshake, no_nonce_is_used_twice_after_the_finished_of_tls_1_2)
{
    struct pair pair;
    pair_open(&pair);
    choose(&pair, 3);
    pair_connect(&pair, NULL);
    cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE);
    char *all;
    size_t bytes = (size_t)BIO_get_mem_data(pair.to_client, &all);
    size_t last = 0;
    for (size_t at = 0; at < bytes; at += tls_record_bytes(all + at, bytes - at))
        last = at;
    uint64_t finished, next;
    memcpy(&finished, all + last + TLS_HEADER_BYTES, sizeof finished);
    memcpy(&next, pair.record.write.secret, sizeof next);
    cr_assert_eq(be64toh(next), be64toh(finished) + 1);
    pair_close(&pair);
}

Test(tls_handshake, keys_change_in_both_directions)
{
    static const char update[] = {24, 0, 0, 1, 0}, asks[] = {24, 0, 0, 1, 1};
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        pair_open(&pair);
        choose(&pair, i);
        pair_connect(&pair, NULL);
        cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE);
        talk(&pair);
        cr_assert_eq(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
        cr_assert_eq(SSL_write(pair.client, "x", 1), 1);
        cr_assert_eq(server_gets(&pair, asks, sizeof asks), TLS_HANDSHAKE);
        cr_assert(tls_direction_update(&pair.record.read));
        cr_assert_eq(server_gets(&pair, "x", 1), TLS_DATA);
        server_sends(&pair, TLS_HANDSHAKE, update, sizeof update);
        cr_assert(tls_direction_update(&pair.record.write));
        talk(&pair);
        pair_close(&pair);
    }
}

Test(tls_handshake, close_notify_is_understood)
{
    struct pair pair;
    static const char alert[] = {1, TLS_CLOSE_NOTIFY};
    char byte;
    pair_open(&pair);
    pair_connect(&pair, NULL);
    cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE);
    SSL_shutdown(pair.client);
    cr_assert_eq(server_gets(&pair, alert, sizeof alert), TLS_ALERT);
    server_sends(&pair, TLS_ALERT, alert, sizeof alert);
    cr_assert(SSL_read(pair.client, &byte, 1) <= 0);
    cr_assert((SSL_get_shutdown(pair.client) & SSL_RECEIVED_SHUTDOWN) != 0);
    pair_close(&pair);
}

Test(tls_handshake, a_changed_record_is_refused)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        static char record[TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX], copy[sizeof record];
        struct pair pair;
        uint8_t type;
        char *data;
        size_t data_bytes;
        pair_open(&pair);
        choose(&pair, i);
        pair_connect(&pair, NULL);
        cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE);
        cr_assert_eq(SSL_write(pair.client, "hello", 5), 5);
        size_t bytes = take_record(&pair, record);
        for (size_t at = 0; at < bytes; at++) {
            if (at == 3 || at == 4)
                continue; /* the length */
            memcpy(copy, record, bytes);
            copy[at] = (char)(copy[at] ^ 1);
            cr_assert_neq(tls_open(&pair.ciphers, &pair.record.read, copy, bytes, &type, &data, &data_bytes), 0,
                          "byte %zu with %s", at, settings[i].cipher);
        }
        cr_assert_eq(tls_open(&pair.ciphers, &pair.record.read, record, bytes, &type, &data, &data_bytes), 0);
        cr_assert_eq(data_bytes, 5);
        pair_close(&pair);
    }
}

Test(tls_handshake, garbage_and_old_versions_fail_with_a_reason)
{
    struct pair pair;
    const char *out;
    size_t out_bytes;
    pair_open(&pair);
    pair_connect(&pair, NULL);
    cr_assert_eq(
        tls_handshake_feed(pair.handshake, "\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, &out, &out_bytes, &pair.record),
        TLS_HANDSHAKE_FAILED);
    cr_assert_neq(tls_handshake_reason(pair.handshake)[0], '\0');
    cr_assert_eq(out[0], TLS_ALERT);
    pair_disconnect(&pair);
    SSL_CTX_set_min_proto_version(pair.client_context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(pair.client_context, TLS1_1_VERSION);
    SSL_CTX_set_security_level(pair.client_context, 0);
    pair_connect(&pair, NULL);
    cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_FAILED);
    cr_assert_str_eq(tls_handshake_reason(pair.handshake), "unsupported protocol");
    pair_close(&pair);
}

Test(tls_handshake, a_client_that_offers_only_http_2_is_refused)
{
    struct pair pair;
    pair_open(&pair);
    SSL_CTX_set_alpn_protos(pair.client_context, (const unsigned char *)"\x02h2", 3);
    pair_connect(&pair, NULL);
    cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_FAILED);
    (void)SSL_do_handshake(pair.client);
    pair_disconnect(&pair);
    SSL_CTX_set_alpn_protos(pair.client_context, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    pair_connect(&pair, NULL);
    cr_assert_eq(shake_hands(&pair), TLS_HANDSHAKE_DONE);
    const unsigned char *chosen;
    unsigned chosen_bytes;
    SSL_get0_alpn_selected(pair.client, &chosen, &chosen_bytes);
    cr_assert(chosen_bytes == 8 && memcmp(chosen, "http/1.1", 8) == 0);
    pair_close(&pair);
}
