/*
 * trim.h: what a burst took and nothing needs any more goes back to the system: slabs of the core's pools, receive
 * buffers, the memory of generations. A little with each tick, and only what was not needed since the last one, so that
 * a busy server keeps its memory at hand. Shard's thread.
 */
#ifndef CHITCHAT_TRIM_H
#define CHITCHAT_TRIM_H

struct core;

/* Once a second. */
void trim_tick(struct core *core);

#endif
