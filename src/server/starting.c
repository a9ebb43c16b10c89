#include "server/starting.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/config.h"

#define HEAD "Content-Type: application/json\r\nCache-Control: no-store\r\nConnection: close\r\n"

struct starting {
    pthread_t thread;
    uint32_t count;
    uint32_t listen_count;
    bool with_tls[CONFIG_ADMINS_MAX];
    struct pollfd polled[]; /* the descriptors, and behind them an eventfd that ends the thread */
};

/* The bytes of a request's head that come in time, or as many as fit. */
static size_t read_head(int fd, char *head, size_t room)
{
    size_t used = 0;
    while (used < room) {
        ssize_t bytes = recv(fd, head + used, room - used, 0);
        if (bytes <= 0)
            break;
        used += (size_t)bytes;
        if (memmem(head, used, "\r\n\r\n", 4) != NULL)
            break;
    }
    return used;
}

static void answer(int fd)
{
    static const char live[] = "HTTP/1.1 200 OK\r\n" HEAD "Content-Length: 17\r\n\r\n{\"status\":\"live\"}";
    static const char starting[] =
        "HTTP/1.1 503 Service Unavailable\r\n" HEAD
        "Content-Length: 65\r\n\r\n{\"error\":\"starting\",\"message\":\"the server reads its data: wait\"}\n";
    char head[2048];
    const struct timeval limit = {.tv_usec = STARTING_CLIENT_MS * 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    size_t bytes = read_head(fd, head, sizeof head);
    if (bytes == 0)
        return;
    bool is_live = bytes >= 11 && memcmp(head, "GET /livez ", 11) == 0;
    const char *text = is_live ? live : starting;
    ssize_t ignored = send(fd, text, strlen(text), MSG_NOSIGNAL);
    (void)ignored;
    (void)shutdown(fd, SHUT_WR);
    (void)recv(fd, head, sizeof head, 0); /* the client's end: a close before it may reset the connection */
}

static void *run(void *context)
{
    struct starting *starting = context;
    struct pollfd *polled = starting->polled;
    while (polled[starting->count].revents == 0) {
        if (poll(polled, starting->count + 1, -1) < 0 && errno != EINTR)
            break;
        for (uint32_t i = 0; i < starting->count && polled[starting->count].revents == 0; i++) {
            if (polled[i].revents == 0)
                continue;
            /* The listening descriptor blocks, and the client may be gone: so poll first, and accept once. */
            int fd = accept4(polled[i].fd, NULL, NULL, SOCK_CLOEXEC);
            if (fd < 0)
                continue;
            if (!starting->with_tls[i % starting->listen_count])
                answer(fd);
            close(fd);
        }
    }
    return NULL;
}

int starting_open(struct starting **starting_r, const int *fds, uint32_t count, const bool *with_tls,
                  uint32_t listen_count)
{
    ASSERT(listen_count > 0 && listen_count <= CONFIG_ADMINS_MAX && count % listen_count == 0);
    struct starting *starting = calloc(1, sizeof *starting + (count + 1) * sizeof starting->polled[0]);
    *starting_r = NULL;
    if (starting == NULL)
        return -ENOMEM;
    starting->count = count;
    starting->listen_count = listen_count;
    memcpy(starting->with_tls, with_tls, listen_count * sizeof *with_tls);
    for (uint32_t i = 0; i < count; i++)
        starting->polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    int end = eventfd(0, EFD_CLOEXEC);
    starting->polled[count] = (struct pollfd){.fd = end, .events = POLLIN};
    int status = end < 0 ? -errno : -pthread_create(&starting->thread, NULL, run, starting);
    if (status != 0) {
        if (end >= 0)
            close(end);
        free(starting);
        return status;
    }
    *starting_r = starting;
    return 0;
}

void starting_close(struct starting **starting_p)
{
    struct starting *starting = *starting_p;
    const uint64_t one = 1;
    *starting_p = NULL;
    if (starting == NULL)
        return;
    ssize_t written = write(starting->polled[starting->count].fd, &one, sizeof one);
    ASSERT(written == sizeof one);
    pthread_join(starting->thread, NULL);
    close(starting->polled[starting->count].fd);
    free(starting);
}
