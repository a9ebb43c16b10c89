/* starting_fixture.h: listeners and clients of starting.h. */
#ifndef CHITCHAT_STARTING_FIXTURE_H
#define CHITCHAT_STARTING_FIXTURE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int listen_at(struct sockaddr_in *address_r)
{
    socklen_t bytes = sizeof *address_r;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *address_r = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert(bind(fd, (struct sockaddr *)address_r, sizeof *address_r) == 0 && listen(fd, 128) == 0);
    cr_assert(getsockname(fd, (struct sockaddr *)address_r, &bytes) == 0);
    return fd;
}

static inline int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    return fd;
}

/* What the server says to `request` in plain bytes, to its end. Valid until the next call. */
static inline const char *ask_plainly(const struct sockaddr_in *address, const char *request)
{
    static char text[1 << 16];
    size_t used = 0;
    int fd = connect_to(address);
    cr_assert_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    for (ssize_t bytes; (bytes = recv(fd, text + used, sizeof text - 1 - used, 0)) > 0;)
        used += (size_t)bytes;
    text[used] = '\0';
    close(fd);
    return text;
}

/* Without its empty line. */
#define UPGRADE                                                                                                        \
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"        \
    "SEC-WebSocket-Key:  dGhlIHNhbXBsZSBub25jZQ== \r\n"

/* -- slow clients -- */

#define DRIPS_MAX 4000
#define DRIP_US 5000 /* of DRIPS_MAX, ten times what a client with TLS may take */

/* A client that sends one byte after another, until it is closed or DRIPS_MAX are sent. */
struct dripper {
    pthread_t thread;
    int fd;
    atomic_int drips;
};

static inline void *drip(void *context)
{
    struct dripper *dripper = context;
    while (dripper->drips < DRIPS_MAX && send(dripper->fd, "G", 1, MSG_NOSIGNAL) == 1) {
        dripper->drips++;
        usleep(DRIP_US);
    }
    return NULL;
}

/* `first`: what the client sends before. */
static inline void begin_to_drip(struct dripper *dripper, const struct sockaddr_in *address, const char *first)
{
    dripper->fd = connect_to(address);
    dripper->drips = 0;
    cr_assert_eq(send(dripper->fd, first, strlen(first), MSG_NOSIGNAL), (ssize_t)strlen(first));
    cr_assert_eq(pthread_create(&dripper->thread, NULL, drip, dripper), 0);
    while (dripper->drips < 3)
        usleep(DRIP_US);
}

#endif
