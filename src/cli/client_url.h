/*
 * client_url.h: the address of a server as people write it. Pure; any thread.
 */
#ifndef CHITCHAT_CLI_CLIENT_URL_H
#define CHITCHAT_CLI_CLIENT_URL_H

#include <stdbool.h>

#define CLIENT_URL_HOST_BYTES 256u
#define CLIENT_URL_PORT_BYTES 6u
#define CLIENT_URL_PATH_BYTES 1024u

struct client_url {
    bool is_tls;
    char host[CLIENT_URL_HOST_BYTES]; /* a name or an address, without the brackets of IPv6 */
    char port[CLIENT_URL_PORT_BYTES]; /* 1 to 65535, without zeros in front */
    char path[CLIENT_URL_PATH_BYTES]; /* with its query; empty: the URL has none, or only a slash */
};

/* Reads `url`: SCHEME://HOST[:PORT][/PATH], where SCHEME is `plain` or `plain` and an s (ws and wss; http and https).
 * Without a port it is 80 or 443. NULL, and *url_r is filled; or, static, what is wrong with it. */
const char *client_url_parse(const char *url, const char *plain, struct client_url *url_r);

/* Room for what client_url_host writes. */
#define CLIENT_URL_HOST_TEXT_BYTES (CLIENT_URL_HOST_BYTES + CLIENT_URL_PORT_BYTES + 3)
/* Writes HOST:PORT as the header Host has it: with brackets of IPv6. */
void client_url_host(const struct client_url *url, char out[CLIENT_URL_HOST_TEXT_BYTES]);

#endif
