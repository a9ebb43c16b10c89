/*
 * tls_socket.h: a TCP connection, plain or by TLS, that is served without a shard (server/starting.h). libssl works on
 * the socket and keeps its memory, some 50 KB, until the end: so this is for few connections that are short. tls.h is
 * for those of the shards.
 *
 * No call waits, and none reads more than one record after the handshake, so that no peer keeps the thread busy. The
 * caller polls: for POLLOUT if it has something to write or if waits_to_write, else for POLLIN. One thread for each;
 * SIGPIPE must be ignored (server/signals.h).
 */
#ifndef CHITCHAT_CONNECTION_TLS_SOCKET_H
#define CHITCHAT_CONNECTION_TLS_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_st;
struct tls_context;

struct tls_socket {
    int fd;              /* owned */
    struct ssl_st *ssl;  /* owned; NULL: plain */
    bool waits_to_write; /* TLS: the handshake goes on when the socket takes more */
};

/* Owns `fd`, which does not block. `tls`: the certificate and settings for the handshake; NULL: plain. False: no
 * memory, and the descriptor is closed. */
bool tls_socket_open(struct tls_socket *connection, int fd, struct tls_context *tls);
/* Closes the descriptor. The peer is given no end of TLS: that is tls_socket_end. */
void tls_socket_close(struct tls_socket *connection);

/* Continues the handshake, or reads: the number of bytes, more than 0; 0: the peer's end; -EAGAIN: nothing now;
 * -EPROTO: plain HTTP in place of TLS, and the connection is plain from now on; another -errno: the connection is over.
 */
ssize_t tls_socket_read(struct tls_socket *connection, char *data, size_t bytes);
/* After tls_socket_read has returned bytes, or -EPROTO. The number of bytes that were taken, more than 0; -EAGAIN:
 * none now, repeat it with the same arguments; another -errno: the connection is over. */
ssize_t tls_socket_write(struct tls_socket *connection, const char *data, size_t bytes);
/* The end of what is written, of TLS and of TCP. False: not now, repeat it. */
bool tls_socket_end(struct tls_socket *connection);

#endif
