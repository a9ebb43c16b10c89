/* harness_io.c: the double of shard/io.h: sockets are byte queues of clients, WAL writes become durable when the
 * test allows it. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness_double.h"
#include "server/core_handlers.h"

static const struct io_handlers *handlers(void)
{
    return &core_handlers()->io;
}

/* What a turn begins, completes in a later one, even if the turn has done nothing else. So what is begun counts as
 * activity, too. */

static struct client *client_of(struct io *io, struct io_socket *socket)
{
    return harness_client_of(io->harness, socket->fd);
}

void io_accept_start(struct io *io, uint32_t listener, int fd)
{
    (void)io, (void)listener, (void)fd;
}

void io_accept_stop(struct io *io)
{
    (void)io;
}

bool io_is_accepting(const struct io *io)
{
    (void)io;
    return false;
}

struct address io_peer_address(int fd)
{
    return (struct address){
        {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = (uint8_t)(fd / HARNESS_FDS_OF_HOST)}};
}

void io_adopt(struct io *io, struct io_socket *socket, int fd)
{
    *socket = (struct io_socket){.fd = fd};
    struct client *client = client_of(io, socket);
    client->io = io;
    client->socket = socket;
    client->is_end_reported = false; /* the next owner of a released socket finds the end once more */
}

/* Whether a receive would complete. */
static bool is_receivable(const struct client *client)
{
    const struct io_socket *socket = client->socket;
    return socket != NULL && (socket->flags & (SOCKET_RECV_ONCE | SOCKET_RECV_MANY)) != 0
           && (socket->flags & (SOCKET_CLOSING | SOCKET_RELEASING)) == 0
           && (client_bytes_left(client) > 0 || ((client->is_gone || client->has_ended) && !client->is_end_reported));
}

/* A receive that begins counts as activity if the next turn completes it. */
static void begin_recv(struct io *io, struct io_socket *socket, uint8_t flag)
{
    bool has_begun = (socket->flags & (SOCKET_RECV_ONCE | SOCKET_RECV_MANY)) == 0;
    socket->flags |= flag;
    if (has_begun && is_receivable(client_of(io, socket)))
        io->harness->activity++;
}

void io_recv_once(struct io *io, struct io_socket *socket)
{
    begin_recv(io, socket, SOCKET_RECV_ONCE);
}

void io_recv_start(struct io *io, struct io_socket *socket)
{
    begin_recv(io, socket, SOCKET_RECV_MANY);
}

void io_recv_stop(struct io *io, struct io_socket *socket)
{
    (void)io;
    socket->flags &= (uint8_t)~SOCKET_RECV_MANY;
}

void io_recv_in_turn(struct io *io, struct io_socket *socket)
{
    client_of(io, socket)->parts++;
}

bool io_is_sending(const struct io_socket *socket)
{
    return (socket->flags & SOCKET_SENDING) != 0;
}

uint32_t io_sent_bytes(const struct io_socket *socket)
{
    return socket->send_bytes;
}

void io_gather_less(struct io *io)
{
    (void)io;
}

void io_gather_longer(struct io *io, uint32_t ns)
{
    (void)io;
    (void)ns;
}

void io_hold_turns(struct io *io, bool is_held)
{
    (void)io;
    (void)is_held;
}

void io_trim(struct io *io)
{
    (void)io;
}

void io_send(struct io *io, struct io_socket *socket, const struct iovec *vectors, uint32_t count)
{
    ASSERT(!io_is_sending(socket) && count >= 1 && count <= IO_SEND_VECTORS_MAX);
    struct client *client = client_of(io, socket);
    socket->send_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        socket->send_bytes += (uint32_t)vectors[i].iov_len;
        harness_client_receive(client, vectors[i].iov_base, vectors[i].iov_len);
    }
    socket->flags |= SOCKET_SENDING;
    io->harness->activity++;
}

void io_shutdown_send(struct io *io, struct io_socket *socket)
{
    client_of(io, socket)->is_shut = true;
}

void io_close(struct io *io, struct io_socket *socket)
{
    socket->flags |= SOCKET_CLOSING;
    io->harness->activity++;
}

void io_release(struct io *io, struct io_socket *socket)
{
    ASSERT(!io_is_sending(socket));
    socket->flags |= SOCKET_RELEASING;
    io->harness->activity++;
}

void io_write_submit(struct io *io, struct io_write *write)
{
    ASSERT(io->write == NULL);
    io->write = write;
    io->harness->activity++;
}

static void write_turn(struct io *io)
{
    struct io_write *write = io->write;
    struct chaos *chaos = io->harness->chaos;
    if (write == NULL || io->hold_writes || (harness_is_chaotic(io->harness) && !chaos_hits(chaos, 3)))
        return;
    int result = -EIO;
    /* A write that fails may still have reached the disk. */
    if (!io->fail_writes || (harness_is_chaotic(io->harness) && chaos_hits(chaos, 2)))
        result = (int)pwrite(write->fd, write->data, write->bytes, (off_t)write->offset);
    if (result > 0 && chaos != NULL && chaos->on_durable != NULL)
        chaos->on_durable(chaos, write->data, write->bytes);
    io->write = NULL;
    io->harness->activity++;
    handlers()->on_written(io->shard->context, write, io->fail_writes ? -EIO : result);
}

/* Closing and releasing end when no send is in flight. True if the socket is gone. */
static bool leave_turn(struct io *io, struct client *client)
{
    struct io_socket *socket = client->socket;
    if ((socket->flags & (SOCKET_CLOSING | SOCKET_RELEASING)) == 0)
        return false;
    bool is_closing = (socket->flags & SOCKET_CLOSING) != 0;
    client->socket = NULL;
    client->io = NULL;
    client->is_closed = is_closing;
    io->harness->activity++;
    if (is_closing) {
        handlers()->on_closed(io->shard->context, socket);
    } else {
        int fd = socket->fd;
        socket->fd = -1;
        handlers()->on_released(io->shard->context, socket, fd);
    }
    return true;
}

#define RECVS_OF_TURN_MAX 64u

/* What a receive without bytes returns. A peer that is gone resets the connection; in chaos it has ended its side
 * before, and the next send fails. */
static int end_of(const struct io *io, const struct client *client)
{
    return client->is_gone && !harness_is_chaotic(io->harness) ? -ECONNRESET : 0;
}

/* One buffer, or in chaos a part of one. */
static void recv_one(struct io *io, struct client *client)
{
    struct io_socket *socket = client->socket;
    char data[4096];
    size_t left = client_bytes_left(client);
    size_t bytes = left < sizeof data ? left : sizeof data;
    if (harness_is_chaotic(io->harness) && bytes > 1 && chaos_hits(io->harness->chaos, 2))
        bytes = 1 + chaos_below(io->harness->chaos, (uint32_t)bytes - 1);
    harness_client_take(client, data, bytes);
    socket->flags &= (uint8_t)~SOCKET_RECV_ONCE;
    client->is_end_reported = bytes == 0;
    io->harness->activity++;
    handlers()->on_recv(io->shard->context, socket, data, bytes > 0 ? (int)bytes : end_of(io, client));
}

#define ALL_AT_ONCE_IN 8u

/* A client may have sent more than a buffer holds: then a turn has several completions for one connection, by chance
 * all that it could, or fewer. */
static void recv_turn(struct io *io, struct client *client)
{
    struct chaos *chaos = harness_is_chaotic(io->harness) ? io->harness->chaos : NULL;
    bool has_all = chaos == NULL || chaos_hits(chaos, ALL_AT_ONCE_IN);
    for (uint32_t i = 0; i < RECVS_OF_TURN_MAX && is_receivable(client); i++) {
        recv_one(io, client);
        if (!has_all && chaos_hits(chaos, 2))
            return;
    }
}

static void client_turn(struct io *io, struct client *client)
{
    if (leave_turn(io, client))
        return;
    struct io_socket *socket = client->socket;
    if (io_is_sending(socket) && (!client->is_stalled || client->is_gone)) {
        socket->flags &= (uint8_t)~SOCKET_SENDING;
        io->harness->activity++;
        handlers()->on_sent(io->shard->context, socket, client->is_gone ? -EPIPE : 0);
    }
    recv_turn(io, client);
}

void harness_io_turn(struct io *io)
{
    for (struct client *client = io->harness->clients; client != NULL; client = client->next)
        if (client->io == io && (!harness_is_chaotic(io->harness) || chaos_hits(io->harness->chaos, 2)))
            client_turn(io, client);
    write_turn(io);
}
