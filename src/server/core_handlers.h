/*
 * core_handlers.h: the chat's side of shard.h: what a shard's loop calls, handed to the modules, and what happens at
 * the end of a turn, in order. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_CORE_HANDLERS_H
#define CHITCHAT_SERVER_CORE_HANDLERS_H

struct shard_handlers;

/* The handlers of every shard; their context is a struct core. Static. */
const struct shard_handlers *core_handlers(void);

#endif
