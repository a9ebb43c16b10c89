/*
 * store_position.h: how much of a shard's WAL is in its runs. Both the WAL and the store use it.
 */
#ifndef CHITCHAT_STORAGE_STORE_POSITION_H
#define CHITCHAT_STORAGE_STORE_POSITION_H

#include <stdint.h>

/* Everything below (generation, bytes) is in the runs. */
struct store_position {
    uint64_t generation; /* of the WAL segment; 0: none yet */
    uint64_t bytes;      /* offset in it */
};

#endif
