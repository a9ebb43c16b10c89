#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define BACKLOG 4096
#define TRIES 20
/* SO_RCVBUF, which accepted sockets inherit; Linux doubles it. It is what a client may send before the shard reads:
 * the kernel needs no more memory for the client, and the shard gets no more input of the client at a time. */
#define RECEIVE_BUFFER_BYTES 32768
#define TRY_AGAIN_NS 50000000L

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

/* A bound socket, owned by the caller, or -errno. `shared`: other sockets may bind the port, if they are shared, too.
 */
static int bind_one(const struct config_listen *listen_at, bool shared)
{
    int family = listen_at->address.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (status == 0 && shared)
        status = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (status == 0 && family == AF_INET6)
        status = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (status == 0)
        status = set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
    if (status == 0 && bind(fd, (const struct sockaddr *)&listen_at->address, listen_at->address_bytes) != 0)
        status = -errno;
    if (status == 0)
        return fd;
    close(fd);
    return status;
}

/* Another server of the same user would share its port, so the probe binds without sharing. */
static int probe(const struct config_listen *listen_at)
{
    int fd = -EADDRINUSE;
    for (int i = 0; i < TRIES; i++) {
        fd = bind_one(listen_at, false);
        if (fd >= 0 && listen(fd, 1) != 0) {
            int error = errno;
            close(fd);
            fd = -error;
        }
        if (fd != -EADDRINUSE)
            break;
        nanosleep(&(struct timespec){.tv_nsec = TRY_AGAIN_NS}, NULL);
    }
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static uint16_t *port_of(struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return &((struct sockaddr_in6 *)(void *)address)->sin6_port;
    return &((struct sockaddr_in *)(void *)address)->sin_port;
}

/* Port 0, after the first bind: notes the port, for the other shards and for the `ready` line. */
static void learn_port(struct config_listen *listen_at, int fd)
{
    struct sockaddr_storage bound;
    socklen_t bytes = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "";
    if (*port_of(&listen_at->address) != 0 || getsockname(fd, (struct sockaddr *)&bound, &bytes) != 0)
        return;
    *port_of(&listen_at->address) = *port_of(&bound);
    bool is_six = bound.ss_family == AF_INET6;
    const void *at = is_six ? (const void *)&((struct sockaddr_in6 *)(void *)&bound)->sin6_addr
                            : (const void *)&((struct sockaddr_in *)(void *)&bound)->sin_addr;
    inet_ntop(bound.ss_family, at, host, sizeof host);
    snprintf(listen_at->text, sizeof listen_at->text, is_six ? "[%s]:%u" : "%s:%u", host,
             (unsigned)ntohs(*port_of(&bound)));
}

/* Writes the error into `text`, and returns it. */
static int explain(const struct config_listen *listen_at, int status, char *text, size_t text_bytes)
{
    ASSERT(status < 0);
    ASSERT(text_bytes > 0);
    if (status == -EADDRINUSE)
        snprintf(text, text_bytes, "%s is in use: stop the program that listens there, or choose another address",
                 listen_at->text);
    else if (status == -EACCES)
        snprintf(text, text_bytes,
                 "cannot listen on %s: %s: a port below 1024 needs root or CAP_NET_BIND_SERVICE; give that, or choose "
                 "another port",
                 listen_at->text, strerror(-status));
    else
        snprintf(text, text_bytes, "cannot listen on %s: %s: choose another address", listen_at->text,
                 strerror(-status));
    return status;
}

int listen_probe(const struct config_listen *listens, uint32_t listen_count, char *text, size_t text_bytes)
{
    for (uint32_t i = 0; i < listen_count; i++) {
        int status = probe(&listens[i]);
        if (status != 0)
            return explain(&listens[i], status, text, text_bytes);
    }
    return 0;
}

static int open_address(struct config_listen *listen_at, uint32_t shard_count, uint32_t stride, int *fds)
{
    for (uint32_t shard = 0; shard < shard_count; shard++) {
        int fd = bind_one(listen_at, true);
        if (fd < 0)
            return fd;
        fds[shard * stride] = fd;
        learn_port(listen_at, fd);
        if (listen(fd, BACKLOG) != 0)
            return -errno;
    }
    return 0;
}

int listen_open(struct config_listen *listens, uint32_t listen_count, uint32_t shard_count, int *fds, char *text,
                size_t text_bytes)
{
    ASSERT(shard_count > 0);
    for (uint32_t i = 0; i < shard_count * listen_count; i++)
        fds[i] = -1;
    for (uint32_t i = 0; i < listen_count; i++) {
        int status = open_address(&listens[i], shard_count, listen_count, fds + i);
        if (status == 0)
            continue;
        listen_close(fds, shard_count * listen_count);
        return explain(&listens[i], status, text, text_bytes);
    }
    return 0;
}

void listen_close(int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}
