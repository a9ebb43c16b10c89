#include "load/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

static struct sockaddr_in source_of(const struct load_options *options, uint32_t nth)
{
    uint32_t address = ntohl(options->source_first.s_addr) + nth % options->source_count;
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
}

/* The kernel chooses the port at the connect, so a port in use for another server is no obstacle. */
static int bind_to_source(const struct load_options *options, uint32_t nth, int fd)
{
    int on = 1;
    struct sockaddr_in source = source_of(options, nth);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(fd, (const struct sockaddr *)&source, sizeof source) == 0 ? 0 : -errno;
}

static int begin_connect(const struct load_address *to, int fd)
{
    socklen_t bytes;
    const struct sockaddr *address = load_address_chosen(to, &bytes);
    if (connect(fd, address, bytes) != 0 && errno != EINPROGRESS)
        return -errno;
    return fcntl(fd, F_SETFL, 0) == 0 ? 0 : -errno;
}

int load_socket_open(const struct load_options *options, uint32_t node, uint32_t nth, enum load_socket_step *step_r)
{
    int on = 1, status = 0;
    *step_r = LOAD_SOCKET_OPEN;
    int fd = socket(load_address_family(&options->addresses[node]), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (options->source_count > 0) {
        *step_r = LOAD_SOCKET_BIND;
        status = bind_to_source(options, nth, fd);
    }
    if (status == 0) {
        *step_r = LOAD_SOCKET_CONNECT;
        status = begin_connect(&options->addresses[node], fd);
    }
    if (status == 0)
        return fd;
    close(fd);
    return status;
}

bool load_socket_is_hopeless(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case ETIMEDOUT:
    case EAGAIN:
    case EINTR: return false;
    default: return true;
    }
}

void load_socket_explain(const struct load_options *options, uint32_t nth, enum load_socket_step step, int error,
                         char *out, size_t room)
{
    char from[INET_ADDRSTRLEN] = "";
    ASSERT(error > 0);
    if (options->source_count > 0) {
        struct sockaddr_in source = source_of(options, nth);
        inet_ntop(AF_INET, &source.sin_addr, from, sizeof from);
    }
    if (error == EMFILE || error == ENFILE)
        snprintf(out, room, "%s: raise `ulimit -n`%s", strerror(error), error == ENFILE ? " or fs.file-max" : "");
    else if (step == LOAD_SOCKET_BIND && error == EADDRNOTAVAIL)
        snprintf(out, room, "cannot connect from %s, which is no address of this machine: correct --source-ips", from);
    else if (step == LOAD_SOCKET_CONNECT && error == EADDRNOTAVAIL)
        snprintf(out, room,
                 "no local port is left for one more connection to %s%s%s: give more addresses by --source-ips, or "
                 "widen net.ipv4.ip_local_port_range",
                 options->addresses[0].text, from[0] != '\0' ? " from " : "", from);
    else
        snprintf(out, room, "cannot connect to %s%s%s: %s%s", options->addresses[0].text,
                 from[0] != '\0' ? " from " : "", from, strerror(error),
                 from[0] != '\0' ? "; do the addresses of --source-ips reach it?"
                                 : "; does a rule of this machine forbid it?");
}
