#include "cli/client_resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/client_url.h"

struct client_resolve {
    /* Set by open, then only read. */
    char host[CLIENT_URL_HOST_BYTES];
    char port[CLIENT_URL_PORT_BYTES];
    int fd; /* an eventfd */
    /* Owned by the thread until the fd is readable, then by the caller. */
    int status;
    struct addrinfo *found; /* owned */
    /* Shared: the thread and the caller; who leaves last frees all. */
    atomic_uint users;
};

static void leave(struct client_resolve *resolve)
{
    if (atomic_fetch_sub(&resolve->users, 1) > 1)
        return;
    if (resolve->found != NULL)
        freeaddrinfo(resolve->found);
    close(resolve->fd);
    free(resolve);
}

static void *ask(void *argument)
{
    struct client_resolve *resolve = argument;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    resolve->status = getaddrinfo(resolve->host, resolve->port, &hints, &resolve->found);
    if (resolve->status != 0)
        resolve->found = NULL;
    int status = eventfd_write(resolve->fd, 1);
    ASSERT(status == 0);
    leave(resolve);
    return NULL;
}

/* The thread takes no signal: those are for the program. */
static int start(struct client_resolve *resolve)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int status = pthread_create(&thread, NULL, ask, resolve);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0)
        pthread_detach(thread);
    return -status;
}

int client_resolve_open(struct client_resolve **resolve_r, const char *host, const char *port)
{
    struct client_resolve *resolve = calloc(1, sizeof *resolve);
    ASSERT(resolve != NULL);
    ASSERT(strlen(host) < sizeof resolve->host && strlen(port) < sizeof resolve->port);
    (void)snprintf(resolve->host, sizeof resolve->host, "%s", host);
    (void)snprintf(resolve->port, sizeof resolve->port, "%s", port);
    resolve->fd = eventfd(0, EFD_CLOEXEC);
    atomic_init(&resolve->users, 2);
    int status = resolve->fd < 0 ? -errno : start(resolve);
    if (status == 0) {
        *resolve_r = resolve;
        return 0;
    }
    if (resolve->fd >= 0)
        close(resolve->fd);
    free(resolve);
    return status;
}

int client_resolve_fd(const struct client_resolve *resolve)
{
    return resolve->fd;
}

/* Reading the eventfd orders what the thread wrote before what is read here. */
int client_resolve_take(struct client_resolve *resolve, struct addrinfo **found_r)
{
    eventfd_t count;
    int status = eventfd_read(resolve->fd, &count);
    ASSERT(status == 0);
    *found_r = resolve->found;
    resolve->found = NULL;
    return resolve->status;
}

void client_resolve_close(struct client_resolve **resolve)
{
    if (*resolve != NULL)
        leave(*resolve);
    *resolve = NULL;
}
