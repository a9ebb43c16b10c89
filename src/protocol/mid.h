/*
 * mid.h: a message's id: the sender's ts (53 bits), the sender's shard (10) and a number drawn at each start (56), big
 * endian, the last bit spare. Unique for ever: a shard gives each ts once, and a start that does not know the last ts
 * (a restored backup) has another number. reply_write_mid writes a mid as text. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_MID_H
#define CHITCHAT_PROTOCOL_MID_H

#include <stdint.h>

#include "base/limits.h"

#define MID_RANDOM_MAX ((UINT64_C(1) << 56) - 1)

/* `ts` up to LIMIT_TS_MAX, `shard` below LIMIT_SHARDS, `random` up to MID_RANDOM_MAX: asserted. */
void mid_make(uint8_t out[LIMIT_MID_BYTES], uint64_t ts, uint32_t shard, uint64_t random);

#endif
