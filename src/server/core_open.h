/*
 * core_open.h: makes and frees the state of a shard. Main's thread, before the shard's thread starts and after it has
 * ended.
 */
#ifndef CHITCHAT_SERVER_CORE_OPEN_H
#define CHITCHAT_SERVER_CORE_OPEN_H

#include <stdint.h>

struct core;
struct server;

/* Makes a core without its storage, which recovery_run opens, and without its shard. Borrows `server`, whose options
 * must fit its memory (budget.h, asserted). 0 or -errno; the caller owns *core_r. */
int core_open(struct core **core_r, struct server *server, uint32_t index);
/* Frees the core and its storage. Nulls *core; NULL is fine. */
void core_close(struct core **core);

#endif
