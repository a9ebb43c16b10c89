/* Handshakes of TLS in a turn: behind the WAL write and the answers, and what comes with their end. The client is
 * libssl's. */
#include <criterion/criterion.h>

#include "../unit/tls_fixture.h"
#include "connection/tls_context.h"
#include "harness_double.h"

#define FLIGHT_BYTES 32768
#define TURNS_MAX 10u

/* A shard with a certificate. */
struct secure {
    struct tls_files files;
    struct harness *harness;
    struct tls_context *context;
};

struct peer {
    struct harness *harness;
    struct client *wire;
    SSL_CTX *context;
    SSL *ssl;
    BIO *to_client;
    BIO *from_client;
};

static void secure_open(struct secure *secure)
{
    char text[512];
    make_files(&secure->files);
    secure->harness = harness_open(&(struct harness_options){.shards = 1});
    cr_assert_eq(tls_context_open(&secure->context, secure->files.certificate, secure->files.key,
                                  &secure->harness->clock, text, sizeof text),
                 0, "%s", text);
    secure->harness->server.tls_context = secure->context;
}

static void secure_close(struct secure *secure)
{
    harness_close(secure->harness);
    tls_context_close(&secure->context);
    remove_files(&secure->files);
}

static void peer_open(struct peer *peer, struct harness *harness)
{
    *peer = (struct peer){.harness = harness, .wire = client_accept(harness, 0)};
    struct conn *conn = container_of(peer->wire->socket, struct conn, socket);
    cr_assert(tls_begin(harness_core(harness, 0), conn));
    peer->context = SSL_CTX_new(TLS_client_method());
    peer->ssl = SSL_new(peer->context);
    peer->to_client = BIO_new(BIO_s_mem());
    peer->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(peer->ssl, peer->to_client, peer->from_client);
    SSL_set_connect_state(peer->ssl);
}

static void peer_close(struct peer *peer)
{
    client_end(peer->wire);
    harness_run_until_idle(peer->harness);
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
}

/* The client takes what has come, goes on with the handshake, and sends what follows from that in one piece: with the
 * `bytes` of `data` as the first record behind the handshake, if there are any. */
static void peer_step(struct peer *peer, const char *data, size_t bytes)
{
    static char flight[FLIGHT_BYTES];
    struct client *wire = peer->wire;
    int came = (int)(wire->in_bytes - wire->in_taken);
    if (came > 0)
        cr_assert_eq(BIO_write(peer->to_client, wire->in + wire->in_taken, came), came);
    wire->in_taken = wire->in_bytes;
    int is_done = SSL_do_handshake(peer->ssl);
    if (bytes > 0)
        cr_assert(is_done == 1 && SSL_write(peer->ssl, data, (int)bytes) == (int)bytes);
    int sent = BIO_read(peer->from_client, flight, sizeof flight);
    cr_assert_gt(sent, 0);
    client_send_bytes(wire, flight, (size_t)sent);
}

/* -- tests -- */

struct seen {
    const struct harness *harness;
    uint32_t hellos;
    const struct client *other;
    size_t other_bytes; /* that it had got before the turn */
    /* When the ClientHello was read: */
    bool was_written;  /* the WAL write was in flight */
    bool was_answered; /* the other client had its answer */
    bool was_flushed;  /* and these had left */
};

static int on_hello(SSL *ssl, int *alert, void *context)
{
    struct seen *seen = context;
    (void)ssl;
    (void)alert;
    seen->hellos++;
    seen->was_written = seen->harness->shards[0].io.write != NULL;
    seen->was_answered = seen->other->in_bytes > seen->other_bytes;
    seen->was_flushed = seen->harness->shards[0].has_flushed;
    return SSL_CLIENT_HELLO_SUCCESS;
}

Test(handshake, the_wal_write_and_the_answers_of_the_turn_leave_before_a_hello_is_read)
{
    struct secure secure;
    struct peer peer;
    secure_open(&secure);
    struct harness *harness = secure.harness;
    struct seen seen = {.harness = harness};
    SSL_CTX *context = tls_context_take(secure.context);
    SSL_CTX_set_client_hello_cb(context, on_hello, &seen);
    SSL_CTX_free(context);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    peer_open(&peer, harness);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 0, true);
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"x\"}", harness_name(harness, 0, 1));
    client_send(alice, "{\"op\":\"ping\",\"id\":2}");
    seen.other = alice;
    seen.other_bytes = alice->in_bytes;
    peer_step(&peer, NULL, 0);
    for (uint32_t i = 0; i < TURNS_MAX && seen.hellos == 0; i++)
        harness_turn(harness, 0);
    cr_assert_eq(seen.hellos, 1);
    cr_assert(seen.was_written);
    cr_assert(seen.was_answered);
    cr_assert(seen.was_flushed);
    harness_hold_writes(harness, 0, false);
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "ok"));
    json_decref(client_expect(alice, "ok"));
    peer_close(&peer);
    secure_close(&secure);
}

/* What came with its end, such as a login, has steps of a turn before it: nothing else would wake the shard for them.
 */
Test(handshake, a_turn_that_ends_one_asks_for_another_turn)
{
    static const char head[] = "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n";
    struct secure secure;
    struct peer peer;
    secure_open(&secure);
    struct harness *harness = secure.harness;
    struct shard *shard = &harness->shards[0];
    peer_open(&peer, harness);
    peer_step(&peer, NULL, 0);
    harness_run_until_idle(harness);
    peer_step(&peer, head, sizeof head - 1);
    size_t before = peer.wire->in_bytes;
    for (uint32_t i = 0; i < TURNS_MAX && peer.wire->in_bytes == before; i++)
        harness_turn(harness, 0);
    cr_assert_gt(peer.wire->in_bytes, before, "the head behind the handshake is answered");
    cr_assert(shard->has_more);
    peer_close(&peer);
    secure_close(&secure);
}
