/* tls_socket.h: clients of starting.h that speak TLS, or should. */
#include "connection/tls_socket.h"

#include <signal.h>

#include "connection/tls_context.h"
#include "server/core.h"
#include "server/starting.h"
#include "starting_fixture.h"
#include "tls_fixture.h"

static struct tls_files files;
static struct clock system_clock;
static struct tls_context *tls;
static struct starting *starting;
static struct sockaddr_in address;
static SSL_CTX *client_context;
static int listener;

static void set_up(void)
{
    char text[512];
    signal(SIGPIPE, SIG_IGN);
    clock_init_system(&system_clock);
    make_files(&files);
    cr_assert_eq(tls_context_open(&tls, files.certificate, files.key, &system_clock, text, sizeof text), 0, "%s", text);
    listener = listen_at(&address);
    cr_assert_eq(starting_open(&starting, &listener, 1, (bool[]){true}, 1, tls), 0);
    client_context = SSL_CTX_new(TLS_client_method());
}

static void tear_down(void)
{
    starting_close(&starting);
    SSL_CTX_free(client_context);
    tls_context_close(&tls);
    remove_files(&files);
    close(listener);
}

TestSuite(tls_socket, .init = set_up, .fini = tear_down);

/* A client whose handshake is done, on a connected socket, which it owns. */
static SSL *secure_on(int fd)
{
    SSL *ssl = SSL_new(client_context);
    cr_assert_eq(SSL_set_fd(ssl, fd), 1);
    cr_assert_eq(SSL_connect(ssl), 1);
    return ssl;
}

static SSL *secure(void)
{
    return secure_on(connect_to(&address));
}

static void leave(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
}

/* What comes until close_notify: an end without that is an error. */
static const char *read_to_end(SSL *ssl)
{
    static char text[1 << 16];
    int used = 0, bytes;
    while ((bytes = SSL_read(ssl, text + used, (int)sizeof text - 1 - used)) > 0)
        used += bytes;
    text[used] = '\0';
    cr_expect_eq(SSL_get_error(ssl, bytes), SSL_ERROR_ZERO_RETURN, "close_notify behind: %s", text);
    return text;
}

static const char *ask_on(SSL *ssl, const char *request)
{
    cr_assert_eq(SSL_write(ssl, request, (int)strlen(request)), (int)strlen(request));
    const char *answer = read_to_end(ssl);
    leave(ssl);
    return answer;
}

static const char *ask(const char *request)
{
    return ask_on(secure(), request);
}

static void is_live(void)
{
    const char *answer = ask("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 200 OK\r\n") == answer, "%s", answer);
}

Test(tls_socket, checks_are_answered_by_each_version_of_tls)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        SSL_CTX_set_min_proto_version(client_context, versions[i]);
        SSL_CTX_set_max_proto_version(client_context, versions[i]);
        is_live();
        const char *answer = ask("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_expect(strstr(answer, "HTTP/1.1 503 ") == answer && strstr(answer, "\"starting\"") != NULL, "%s", answer);
    }
}

Test(tls_socket, a_websocket_is_closed_with_the_address_of_the_owner)
{
    static const char owner[] = "\x88\x10\x03\xe9wss://north/ws";
    starting_say_owner(starting, "wss://north/ws");
    const char *answer = ask(UPGRADE "Sec-WebSocket-Protocol: chitchat.v1\r\n\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 101 ") == answer, "%s", answer);
    cr_expect_str_eq(strstr(answer, "\r\n\r\n") + 4, owner);
}

Test(tls_socket, metrics_that_the_socket_does_not_take_at_once_come_whole)
{
    const int small = 1; /* the smallest that the kernel allows; who is accepted has that of the listener */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    static struct server server;
    static struct cluster cluster;
    struct core *cores[] = {calloc(1, sizeof(struct core))};
    server = (struct server){.core_count = 1, .cores = cores, .cluster = &cluster};
    cr_assert_eq(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    starting_show_metrics(starting, &server);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    const char *answer = ask_on(secure_on(fd), "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    const char *length = strstr(answer, "Content-Length: ");
    const char *body = strstr(answer, "\r\n\r\n");
    cr_assert(length != NULL && body != NULL, "%s", answer);
    cr_expect_eq((size_t)atoi(length + 16), strlen(body + 4));
    starting_close(&starting);
    free(cores[0]);
}

Test(tls_socket, a_certificate_that_is_read_again_is_that_of_the_next_client)
{
    char text[512];
    EVP_PKEY *fresh = write_pair(&files, 60);
    SSL *before = secure();
    cr_assert_eq(tls_context_reload(tls, text, sizeof text), 0, "%s", text);
    SSL *after = secure();
    cr_expect_neq(EVP_PKEY_eq(X509_get0_pubkey(SSL_get0_peer_certificate(before)), fresh), 1);
    cr_expect_eq(EVP_PKEY_eq(X509_get0_pubkey(SSL_get0_peer_certificate(after)), fresh), 1);
    EVP_PKEY_free(fresh);
    leave(before);
    leave(after);
}

Test(tls_socket, who_speaks_no_tls_is_closed)
{
    struct span refusal = http_answer_not_tls();
    const char *answer = ask_plainly(&address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_eq(strlen(answer), refusal.bytes, "%s", answer);
    cr_expect_eq(memcmp(answer, refusal.data, refusal.bytes), 0, "%s", answer);
    cr_expect_null(strstr(ask_plainly(&address, "SSH-2.0-OpenSSH_9.2\r\n"), "HTTP"));
    is_live();
}

/* The header of a record of a handshake that has 16,128 bytes, and the first of these. */
#define LONG_RECORD "\x16\x03\x01\x3f\x10\x01"

Test(tls_socket, a_handshake_that_does_not_end_delays_nobody_and_is_closed_after_its_time)
{
    struct dripper dripper;
    char byte;
    int half = connect_to(&address);
    cr_assert_eq(send(half, LONG_RECORD, 6, 0), 6);
    SSL *silent = secure(); /* the handshake is done, and no request comes */
    begin_to_drip(&dripper, &address, LONG_RECORD);
    is_live();
    cr_expect_lt(dripper.drips, DRIPS_MAX);
    pthread_join(dripper.thread, NULL);
    cr_expect_lt(dripper.drips, DRIPS_MAX, "its time counts, not that between two bytes");
    cr_expect_eq(recv(half, &byte, 1, 0), 0);
    cr_expect_leq(SSL_read(silent, &byte, 1), 0);
    close(half);
    leave(silent);
    close(dripper.fd);
}

Test(tls_socket, more_handshakes_than_it_serves_leave_a_place_for_a_check)
{
    int half[STARTING_CLIENTS_MAX + 10];
    char byte;
    for (uint32_t i = 0; i < STARTING_CLIENTS_MAX + 10; i++) {
        half[i] = connect_to(&address);
        cr_assert_eq(send(half[i], LONG_RECORD, 6, 0), 6);
    }
    is_live();
    cr_expect_leq(recv(half[0], &byte, 1, 0), 0, "the oldest is closed");
    for (uint32_t i = 0; i < STARTING_CLIENTS_MAX + 10; i++)
        close(half[i]);
}

Test(tls_socket, new_keys_that_a_client_asks_for_are_used)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    SSL *ssl = secure();
    for (size_t i = 0; i < strlen(request); i++) {
        cr_assert_eq(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        cr_assert_eq(SSL_write(ssl, request + i, 1), 1);
    }
    const char *answer = read_to_end(ssl);
    cr_expect(strstr(answer, "HTTP/1.1 200 OK\r\n") == answer, "%s", answer);
    leave(ssl);
}
