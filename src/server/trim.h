/*
 * trim.h: what a burst took and nothing needs any more goes back to the system: slabs of the core's pools, receive
 * buffers, the memory of generations. A little each second, one pool a turn, and only what was not needed since the
 * last time, so that a busy server keeps its memory at hand. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_TRIM_H
#define CHITCHAT_SERVER_TRIM_H

#include <stdbool.h>
#include <stdint.h>

struct core;

/* What a shard keeps of it. */
struct trim {
    bool is_under_way;
    uint32_t at; /* the next pool */
};

/* Once a second. */
void trim_tick(struct core *core);
/* End of a turn: what the last tick began. True: there is more. */
bool trim_step(struct core *core);

#endif
