/*
 * wal_format.h: the bytes of a segment: its header (wal_header_encode and wal_header_decode of wal.h) and its batches,
 * for wal.c, which writes them, and wal_scan.c, which reads them. All integers are little endian. Pure; any thread.
 *
 *     batch    8 magic   u64 generation   u64 sequence   u32 payload bytes   u32 record count   u32 zero   u32 CRC32C
 *              payload   zeros up to a whole block
 *     header   8 magic   u32 version   u32 CRC32C   u32 shard   u32 sealed count   u64 generation   u64 previous
 *              sealed count times {u64 generation   u64 bytes}   zeros   u64 bytes of the file, which ends the block
 *
 * The CRC of a batch covers its generation, then the 36 bytes before the CRC, then the payload. The CRC of a header
 * covers the whole block with zeros in place of the CRC. Magic, version and CRC keep their places in every version, so
 * that a header of another version differs from a torn one.
 *
 * A batch's magic has bytes that are never in UTF-8 text: so no user's text, wherever it lies, looks like a batch.
 */
#ifndef CHITCHAT_STORAGE_WAL_WAL_FORMAT_H
#define CHITCHAT_STORAGE_WAL_WAL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/wal/wal.h"

#define WAL_FORMAT_VERSION 1u
#define WAL_BATCH_HEADER_BYTES 40u
#define WAL_BATCH_PAYLOAD_BYTES_MAX (WAL_BATCH_BYTES_MAX - WAL_BATCH_HEADER_BYTES)

struct wal_batch {
    uint64_t sequence;
    uint32_t payload_bytes; /* 1 to WAL_BATCH_PAYLOAD_BYTES_MAX */
    uint32_t record_count;
};

/* `bytes` rounded up to whole blocks: what they take on the disk. */
static inline uint32_t wal_block_round(uint32_t bytes)
{
    return (bytes + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
}

/* Completes a batch whose payload is at `data` + WAL_BATCH_HEADER_BYTES: writes header and padding. Returns the bytes
 * of the whole batch, wal_block_round of header and payload, for which `data` has room. */
uint32_t wal_batch_encode(uint64_t generation, const struct wal_batch *batch, void *data);

/* Whether the magic of a batch is at `data` (`bytes`), and the generation in its header. */
bool wal_batch_peek(const void *data, uint64_t bytes, uint64_t *generation_r);

/* 0 if a whole valid batch of `generation` begins at `data` and ends within `bytes`, else -EBADMSG. */
int wal_batch_decode(const void *data, uint64_t bytes, uint64_t generation, struct wal_batch *batch_r);

#endif
