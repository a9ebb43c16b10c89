/*
 * listen.h: listening sockets: one for each shard and address, all of one address on one port (SO_REUSEPORT), so that
 * the kernel spreads the connections. Main's thread, before the shards start.
 */
#ifndef CHITCHAT_SERVER_LISTEN_H
#define CHITCHAT_SERVER_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "cli/config.h"

/* Whether all addresses are free: before anything else is touched. A port in use is tried again for a second, since a
 * port outlives its server for a moment. Returns 0, or -errno and `text` says in a line what is wrong and what to do.
 */
int listen_probe(const struct config_listen *listens, uint32_t listen_count, char *text, size_t text_bytes);

/* Binds and listens: fds[shard * listen_count + i] is owned by the caller. Port 0 is any free one; listen->text then
 * says which. Returns 0, or -errno and `text`; nothing is left open then. */
int listen_open(struct config_listen *listens, uint32_t listen_count, uint32_t shard_count, int *fds, char *text,
                size_t text_bytes);
void listen_close(int *fds, uint32_t count);

#endif
