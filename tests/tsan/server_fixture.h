/*
 * server_fixture.h: the whole server on a thread of this process, and blocking clients for it: for programs under
 * ThreadSanitizer. SIGTERM, as from outside, stops it.
 */
#ifndef CHITCHAT_TESTS_TSAN_SERVER_FIXTURE_H
#define CHITCHAT_TESTS_TSAN_SERVER_FIXTURE_H

#include <arpa/inet.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "server/serve.h"

#define FIXTURE_FRAME_BYTES (1u << 19)

struct fixture {
    char dir[32];
    uint16_t port;
    char arguments[12][64];
    struct config config;
    pthread_t thread;
    int code;
    atomic_bool is_stopping; /* clients that cannot connect any more give up */
};

static inline struct sockaddr_in fixture_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline uint16_t fixture_free_port(void)
{
    struct sockaddr_in address = fixture_address(0);
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    ASSERT(getsockname(fd, (struct sockaddr *)&address, &bytes) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline void *fixture_serve(void *argument)
{
    struct fixture *fixture = argument;
    char *none[] = {NULL}; /* it is no node of a cluster */
    fixture->code = serve(&fixture->config, none);
    return NULL;
}

/* All threads begin with SIGTERM blocked: serve waits for it. */
static inline void fixture_init(struct fixture *fixture)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    strcpy(fixture->dir, "/tmp/chitchat-tsan-XXXXXX");
    ASSERT(mkdtemp(fixture->dir) != NULL);
}

/* Small memory and segments, so that checkpoints, merges and the recycler have work. No rates: few users send all that
 * is sent. */
static inline void fixture_start(struct fixture *fixture, const char *shards)
{
    static const char *const fixed[] = {"--memtable-bytes=1M", "--wal-segment-bytes=4M", "--checkpoint-s=1",
                                        "--stop-time-s=120",   "--frame-rate=0",         "--send-rate=0",
                                        "--history-rate=0"};
    char *argv[12] = {"chitchat", "serve"};
    char *environment[] = {NULL};
    char text[CONFIG_TEXT_BYTES];
    int count = 2;
    fixture->port = fixture_free_port();
    atomic_store(&fixture->is_stopping, false);
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        strcpy(argv[count++] = fixture->arguments[i], fixed[i]);
    snprintf(argv[count++] = fixture->arguments[8], 64, "--shards=%s", shards);
    snprintf(argv[count++] = fixture->arguments[9], 64, "--data=%s", fixture->dir);
    snprintf(argv[count++] = fixture->arguments[10], 64, "--listen=127.0.0.1:%u", fixture->port);
    if (config_parse(count, argv, environment, &fixture->config, text, sizeof text) != CONFIG_SERVE) {
        fprintf(stderr, "%s\n", text);
        abort();
    }
    ASSERT(pthread_create(&fixture->thread, NULL, fixture_serve, fixture) == 0);
}

static inline void fixture_stop(struct fixture *fixture)
{
    kill(getpid(), SIGTERM);
    pthread_join(fixture->thread, NULL);
    ASSERT(fixture->code == 0);
}

static inline int fixture_remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

static inline void fixture_fini(struct fixture *fixture)
{
    nftw(fixture->dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* -- clients -- */

struct fixture_client {
    int fd;
    size_t out_bytes;
    size_t in_bytes;
    size_t in_taken;
    char out[1 << 17];
    char in[FIXTURE_FRAME_BYTES];
};

static inline void client_frame(struct fixture_client *client, const char *text)
{
    size_t bytes = strlen(text);
    uint8_t *at = (uint8_t *)client->out + client->out_bytes;
    ASSERT(bytes < 65536 && client->out_bytes + bytes + 8 <= sizeof client->out);
    uint8_t header[] = {0x81, 0x80 | 126, (uint8_t)(bytes >> 8), (uint8_t)bytes, 0, 0, 0, 0};
    if (bytes < 126) {
        uint8_t small[] = {0x81, (uint8_t)(0x80 | bytes), 0, 0, 0, 0};
        memcpy(at, small, sizeof small);
        at += sizeof small;
    } else {
        memcpy(at, header, sizeof header);
        at += sizeof header;
    }
    memcpy(at, text, bytes);
    client->out_bytes = (size_t)(at - (uint8_t *)client->out) + bytes;
}

/* Writes all that was put, at once; false: the server is gone. */
static inline bool client_flush(struct fixture_client *client)
{
    size_t at = 0;
    while (at < client->out_bytes) {
        ssize_t written = send(client->fd, client->out + at, client->out_bytes - at, MSG_NOSIGNAL);
        if (written <= 0)
            return false;
        at += (size_t)written;
    }
    client->out_bytes = 0;
    return true;
}

/* Connects, for up to a minute if the server does not listen yet. The upgrade and the login are put, but not written
 * yet. NULL: the server is stopping. */
static inline struct fixture_client *client_open(struct fixture *fixture, const char *user, const char *fields)
{
    static const char head[] = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct fixture_client *client = malloc(sizeof *client);
    struct sockaddr_in address = fixture_address(fixture->port);
    char login[256];
    ASSERT(client != NULL);
    for (int attempt = 0;; attempt++) {
        client->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client->fd, (struct sockaddr *)&address, sizeof address) == 0)
            break;
        close(client->fd);
        if (atomic_load(&fixture->is_stopping)) {
            free(client);
            return NULL;
        }
        ASSERT(attempt < 6000);
        usleep(10000);
    }
    client->in_bytes = client->in_taken = 0;
    client->out_bytes = sizeof head - 1;
    memcpy(client->out, head, sizeof head - 1);
    snprintf(login, sizeof login, "{\"op\":\"login\",\"id\":0,\"user\":\"%s\"%s}", user, fields);
    client_frame(client, login);
    return client;
}

static inline void client_close(struct fixture_client *client)
{
    close(client->fd);
    free(client);
}

static inline bool client_fill(struct fixture_client *client)
{
    memmove(client->in, client->in + client->in_taken, client->in_bytes - client->in_taken);
    client->in_bytes -= client->in_taken;
    client->in_taken = 0;
    ASSERT(client->in_bytes < sizeof client->in - 1);
    ssize_t bytes = recv(client->fd, client->in + client->in_bytes, sizeof client->in - 1 - client->in_bytes, 0);
    if (bytes > 0)
        client->in_bytes += (size_t)bytes;
    return bytes > 0;
}

/* The end of the answer to the upgrade. */
static inline bool client_take_head(struct fixture_client *client)
{
    char *end;
    while ((end = memmem(client->in, client->in_bytes, "\r\n\r\n", 4)) == NULL)
        if (!client_fill(client))
            return false;
    client->in_taken = (size_t)(end + 4 - client->in);
    return true;
}

/* The next text frame, not terminated, valid until the next call; NULL: closed. */
static inline const char *client_next(struct fixture_client *client, size_t *bytes_r)
{
    for (;;) {
        const uint8_t *at = (const uint8_t *)client->in + client->in_taken;
        size_t left = client->in_bytes - client->in_taken;
        size_t header = left < 2 ? 2 : at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;
        size_t bytes = left < header ? 0 : header == 2 ? at[1] : header == 4 ? (size_t)at[2] << 8 | at[3] : 0;
        for (size_t i = 2; header == 10 && left >= 10 && i < 10; i++)
            bytes = bytes << 8 | at[i];
        if (left >= header && left >= header + bytes) {
            client->in_taken += header + bytes;
            if (at[0] == 0x88)
                return NULL;
            *bytes_r = bytes;
            if (at[0] == 0x81)
                return (const char *)at + header;
        } else if (!client_fill(client)) {
            return NULL;
        }
    }
}

/* Reads frames until `count` of them have the op; other frames may come between. False: closed before. */
static inline bool client_await(struct fixture_client *client, const char *op, unsigned count)
{
    char wanted[32];
    size_t bytes;
    snprintf(wanted, sizeof wanted, "{\"op\":\"%s\"", op);
    while (count > 0) {
        const char *frame = client_next(client, &bytes);
        if (frame == NULL)
            return false;
        count -= bytes > strlen(wanted) && memcmp(frame, wanted, strlen(wanted)) == 0;
    }
    return true;
}

/* Reads frames until `count` requests are answered, by `ok` or an error; returns how many by `ok`; -1: closed before.
 */
static inline int client_await_replies(struct fixture_client *client, unsigned count)
{
    int good = 0;
    size_t bytes;
    while (count > 0) {
        const char *frame = client_next(client, &bytes);
        if (frame == NULL)
            return -1;
        bool is_ok = bytes > 10 && memcmp(frame, "{\"op\":\"ok\"", 10) == 0;
        bool is_error = bytes > 13 && memcmp(frame, "{\"op\":\"error\"", 13) == 0;
        count -= is_ok || is_error;
        good += is_ok;
    }
    return good;
}

#endif
