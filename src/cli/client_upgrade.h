/*
 * client_upgrade.h: the HTTP side of a client's WebSocket: its request, and the server's answer. Pure; any thread.
 */
#ifndef CHITCHAT_CLI_CLIENT_UPGRADE_H
#define CHITCHAT_CLI_CLIENT_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "cli/client_url.h"

#define CLIENT_UPGRADE_HEAD_BYTES 8192u
/* 16 bytes, and 20 bytes, as base64, each with a NUL. */
#define CLIENT_UPGRADE_KEY_BYTES 25u
#define CLIENT_UPGRADE_ACCEPT_BYTES 29u

/* The header Sec-WebSocket-Key of 16 random bytes. */
void client_upgrade_key(const uint8_t random[16], char out[CLIENT_UPGRADE_KEY_BYTES]);
/* Writes the request, with a NUL; returns its bytes. */
size_t client_upgrade_write(const struct client_url *url, const char *key, char out[CLIENT_UPGRADE_HEAD_BYTES]);

enum client_upgrade_verdict {
    CLIENT_UPGRADE_PART,    /* more bytes have to come */
    CLIENT_UPGRADE_DONE,    /* the first *head_bytes_r bytes are the head; frames follow */
    CLIENT_UPGRADE_REFUSED, /* `status` is another one, or the head is none */
};

struct client_upgrade {
    int status;             /* of HTTP; 0: this is no HTTP */
    uint64_t retry_after_s; /* 0: not given */
    size_t head_bytes;
    struct span body; /* the first line of what follows a head that refuses, as far as it has come; borrowed */
};

/* Reads the answer to a request with `key`, as far as it has come. */
enum client_upgrade_verdict client_upgrade_read(struct span answer, const char *key, struct client_upgrade *upgrade_r);

#endif
