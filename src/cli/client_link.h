/*
 * client_link.h: carries a client's frames over the network: resolves the host, connects (each address for 5 s if there
 * are more), TLS, the upgrade to a WebSocket, frames by wslay. A ping of the server is answered here. One connection at
 * a time, one thread, and nothing blocks but the end.
 */
#ifndef CHITCHAT_CLI_CLIENT_LINK_H
#define CHITCHAT_CLI_CLIENT_LINK_H

#include "cli/client.h"
#include "cli/client_transport.h"

/* Reads the URL and the certificates; connects to nothing yet. 0 or -1, as client_open. Borrows the options. */
int client_link_open(struct client_transport **transport_r, const struct client_options *options,
                     char error[CLIENT_ERROR_BYTES]);

#endif
