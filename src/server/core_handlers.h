/*
 * core_handlers.h: the handlers of shard.h. They dispatch what a shard's loop reports to the modules, and run the steps
 * at the end of a turn, in a fixed order. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_CORE_HANDLERS_H
#define CHITCHAT_SERVER_CORE_HANDLERS_H

struct shard_handlers;

/* The handlers of every shard; their context is a struct core. Static. */
const struct shard_handlers *core_handlers(void);

#endif
