/*
 * listen.h: listening sockets: one for each shard and address. Those of one address share its port (SO_REUSEPORT), so
 * that the kernel spreads the connections over the shards. Main's thread, before the shards start.
 */
#ifndef CHITCHAT_SERVER_LISTEN_H
#define CHITCHAT_SERVER_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "cli/config.h"

/* Checks that all addresses are free, before the data directory is opened. Tries a port in use again for a second,
 * since a port may stay in use for a moment after its server ended. 0; or -errno, and `text` has one line that says
 * what failed and what to do. Borrows all pointers. */
int listen_probe(const struct config_listen *listens, uint32_t listen_count, char *text, size_t text_bytes);

/* Binds and listens. The caller owns the descriptors fds[shard * listen_count + i], and closes them with listen_close.
 * Port 0 means any free port; listens[i].text and its address then name that port. 0; or -errno and `text` as above,
 * and no descriptor stays open. */
int listen_open(struct config_listen *listens, uint32_t listen_count, uint32_t shard_count, int *fds, char *text,
                size_t text_bytes);
/* Closes `count` descriptors and sets them to -1; passes over those below 0. */
void listen_close(int *fds, uint32_t count);

#endif
