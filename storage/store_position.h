/*
 * store_position.h: how far the runs of a shard have what its write-ahead log has: the one thing that the log and the
 * store both speak of.
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
