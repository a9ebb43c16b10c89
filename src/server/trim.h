/*
 * trim.h: returns memory to the system that a burst needed and that is free again: slabs of the core's pools, receive
 * buffers, and memory of the record heap. A little each second, one pool per turn, and only memory that was not needed
 * since the last time, so that a busy server keeps its memory. Shard's thread.
 */
#ifndef CHITCHAT_SERVER_TRIM_H
#define CHITCHAT_SERVER_TRIM_H

#include <stdbool.h>
#include <stdint.h>

struct core;

/* A shard's state of this module. */
struct trim {
    bool is_running; /* a pass over the pools */
    uint32_t at;     /* the next pool of the pass */
};

/* Once a second: begins a pass. */
void trim_tick(struct core *core);
/* End of a turn: trims the next pool. True: more pools are left for the next turn. */
bool trim_step(struct core *core);

#endif
