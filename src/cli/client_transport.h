/*
 * client_transport.h: between the client, which knows the protocol (client.c), and what carries its frames: the network
 * (client_link.c), or a double in tests. One thread; nothing blocks.
 */
#ifndef CHITCHAT_CLI_CLIENT_TRANSPORT_H
#define CHITCHAT_CLI_CLIENT_TRANSPORT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

/* What the client calls. */
struct client_transport {
    /* Begins a connection; none exists. client_on_open or client_on_end follows, not within this call. */
    void (*begin)(struct client_transport *transport, struct client *client);
    /* Sends one text message; the connection is open. Borrows. */
    void (*send)(struct client_transport *transport, const char *text, size_t bytes);
    /* The server has taken a login on this connection. */
    void (*logged_in)(struct client_transport *transport);
    /* Gives the connection up, with this close code if it is open. No call of the client follows. */
    void (*end)(struct client_transport *transport, uint16_t code);
    /* As client_wants: the most milliseconds to wait; -1: any time. */
    int (*wants)(const struct client_transport *transport, struct pollfd *poll_r);
    void (*step)(struct client_transport *transport, short revents);
    /* Frees all, and says good-bye if a connection is open. */
    void (*close)(struct client_transport *transport);
};

/* The end of a connection that the client did not end. */
struct client_end {
    uint16_t code;           /* of the close frame; 1006: none came */
    bool is_hopeless;        /* the given URL or its certificate is wrong: a first connect is not tried again */
    uint64_t retry_after_ms; /* as the server asked */
    const char *reason;      /* a line for people */
};

/* What the transport calls. The upgrade is done. */
void client_on_open(struct client *client);
/* One text message came, whole. Borrows. */
void client_on_frame(struct client *client, const char *text, size_t bytes);
/* Bytes came, whatever they are: the connection lives. */
void client_on_heard(struct client *client);
void client_on_end(struct client *client, const struct client_end *end);

#endif
