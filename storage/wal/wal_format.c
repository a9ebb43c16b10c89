#include "storage/wal/wal_format.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "base/hash.h"

#define MAGIC_BYTES 8

static const unsigned char batch_magic[MAGIC_BYTES] = {0xff, 'c', 'b', 0xfe, 'a', 't', 0xf8, 0xff};
static const unsigned char segment_magic[MAGIC_BYTES] = {0xff, 'c', 's', 0xfe, 'e', 'g', 0xf8, 0xff};

enum batch_offset {
    BATCH_GENERATION = 8,
    BATCH_SEQUENCE = 16,
    BATCH_PAYLOAD_BYTES = 24,
    BATCH_RECORD_COUNT = 28,
    BATCH_ZERO = 32,
    BATCH_CRC = 36,
};
_Static_assert(BATCH_CRC + 4 == WAL_BATCH_HEADER_BYTES, "the CRC ends the batch header");

enum segment_offset {
    SEGMENT_VERSION = 8,
    SEGMENT_CRC = 12,
    SEGMENT_SHARD = 16,
    SEGMENT_SEALED_COUNT = 20,
    SEGMENT_GENERATION = 24,
    SEGMENT_PREVIOUS = 32,
    SEGMENT_SEALED = 40,
    SEGMENT_FILE_BYTES = WAL_BLOCK_BYTES - 8,
};
#define SEALED_ENTRY_BYTES 16u
#define SECTOR_BYTES 512u
_Static_assert(SEGMENT_SEALED + WAL_LIVE_SEGMENTS_MAX * SEALED_ENTRY_BYTES <= SEGMENT_FILE_BYTES,
               "the table fits into a block");

static uint32_t batch_crc(uint64_t generation, const unsigned char *data, uint32_t payload_bytes)
{
    unsigned char seed[8];
    bytes_store_le64(seed, generation);
    uint32_t crc = hash_crc32c(0, seed, sizeof seed);
    crc = hash_crc32c(crc, data, BATCH_CRC);
    return hash_crc32c(crc, data + WAL_BATCH_HEADER_BYTES, payload_bytes);
}

uint32_t wal_batch_encode(uint64_t generation, const struct wal_batch *batch, void *data)
{
    ASSERT(generation != 0);
    ASSERT(batch->record_count > 0);
    ASSERT(batch->payload_bytes > 0);
    ASSERT(batch->payload_bytes <= WAL_BATCH_PAYLOAD_BYTES_MAX);
    unsigned char *out = data;
    uint32_t bytes = WAL_BATCH_HEADER_BYTES + batch->payload_bytes;
    uint32_t padded_bytes = wal_block_round(bytes);
    memset(out + bytes, 0, padded_bytes - bytes);
    memcpy(out, batch_magic, MAGIC_BYTES);
    bytes_store_le64(out + BATCH_GENERATION, generation);
    bytes_store_le64(out + BATCH_SEQUENCE, batch->sequence);
    bytes_store_le32(out + BATCH_PAYLOAD_BYTES, batch->payload_bytes);
    bytes_store_le32(out + BATCH_RECORD_COUNT, batch->record_count);
    bytes_store_le32(out + BATCH_ZERO, 0);
    bytes_store_le32(out + BATCH_CRC, batch_crc(generation, out, batch->payload_bytes));
    return padded_bytes;
}

bool wal_batch_peek(const void *data, uint64_t bytes, uint64_t *generation_r)
{
    if (bytes < WAL_BATCH_HEADER_BYTES || memcmp(data, batch_magic, MAGIC_BYTES) != 0)
        return false;
    *generation_r = bytes_load_le64((const unsigned char *)data + BATCH_GENERATION);
    return true;
}

int wal_batch_decode(const void *data, uint64_t bytes, uint64_t generation, struct wal_batch *batch_r)
{
    const unsigned char *in = data;
    uint64_t found;
    if (!wal_batch_peek(data, bytes, &found) || found != generation)
        return -EBADMSG;
    uint32_t payload_bytes = bytes_load_le32(in + BATCH_PAYLOAD_BYTES);
    if (payload_bytes == 0 || payload_bytes > WAL_BATCH_PAYLOAD_BYTES_MAX)
        return -EBADMSG;
    if (wal_block_round(WAL_BATCH_HEADER_BYTES + payload_bytes) > bytes)
        return -EBADMSG;
    if (bytes_load_le32(in + BATCH_CRC) != batch_crc(generation, in, payload_bytes) && !FAULT(TORN_TAIL_ACCEPTED))
        return -EBADMSG;
    batch_r->sequence = bytes_load_le64(in + BATCH_SEQUENCE);
    batch_r->payload_bytes = payload_bytes;
    batch_r->record_count = bytes_load_le32(in + BATCH_RECORD_COUNT);
    return 0;
}

static uint32_t segment_crc(const unsigned char *block)
{
    const unsigned char zero[4] = {0};
    uint32_t crc = hash_crc32c(0, block, SEGMENT_CRC);
    crc = hash_crc32c(crc, zero, sizeof zero);
    return hash_crc32c(crc, block + SEGMENT_CRC + sizeof zero, WAL_BLOCK_BYTES - SEGMENT_CRC - sizeof zero);
}

void wal_header_encode(const struct wal_header *header, void *block)
{
    ASSERT(header->generation != 0);
    ASSERT(header->sealed_count <= WAL_LIVE_SEGMENTS_MAX);
    unsigned char *out = block;
    memset(out, 0, WAL_BLOCK_BYTES);
    memcpy(out, segment_magic, MAGIC_BYTES);
    bytes_store_le32(out + SEGMENT_VERSION, WAL_FORMAT_VERSION);
    bytes_store_le32(out + SEGMENT_SHARD, header->shard);
    bytes_store_le32(out + SEGMENT_SEALED_COUNT, header->sealed_count);
    bytes_store_le64(out + SEGMENT_GENERATION, header->generation);
    bytes_store_le64(out + SEGMENT_PREVIOUS, header->previous);
    bytes_store_le64(out + SEGMENT_FILE_BYTES, header->file_bytes);
    for (uint32_t i = 0; i < header->sealed_count; i++) {
        unsigned char *entry = out + SEGMENT_SEALED + i * SEALED_ENTRY_BYTES;
        bytes_store_le64(entry, header->sealed[i].generation);
        bytes_store_le64(entry + 8, header->sealed[i].bytes);
    }
    bytes_store_le32(out + SEGMENT_CRC, segment_crc(out));
}

int wal_header_decode(const void *block, struct wal_header *header_r)
{
    const unsigned char *in = block;
    if (memcmp(in, segment_magic, MAGIC_BYTES) != 0 || bytes_load_le32(in + SEGMENT_CRC) != segment_crc(in))
        return -ENODATA;
    uint32_t sealed_count = bytes_load_le32(in + SEGMENT_SEALED_COUNT);
    if (bytes_load_le32(in + SEGMENT_VERSION) != WAL_FORMAT_VERSION || sealed_count > WAL_LIVE_SEGMENTS_MAX)
        return -EPROTO;
    if (bytes_load_le64(in + SEGMENT_GENERATION) == 0)
        return -EBADMSG;
    header_r->shard = bytes_load_le32(in + SEGMENT_SHARD);
    header_r->generation = bytes_load_le64(in + SEGMENT_GENERATION);
    header_r->previous = bytes_load_le64(in + SEGMENT_PREVIOUS);
    header_r->file_bytes = bytes_load_le64(in + SEGMENT_FILE_BYTES);
    header_r->sealed_count = sealed_count;
    for (uint32_t i = 0; i < sealed_count; i++) {
        const unsigned char *entry = in + SEGMENT_SEALED + i * SEALED_ENTRY_BYTES;
        header_r->sealed[i].generation = bytes_load_le64(entry);
        header_r->sealed[i].bytes = bytes_load_le64(entry + 8);
    }
    return 0;
}

static bool is_zero(const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return false;
    return true;
}

/* Whether a sector is zeros that is not zeros in a whole header: the last one, which ends with the file's size, or one
 * of the table. */
static bool lacks_a_sector(const unsigned char *in)
{
    uint32_t sealed_count = bytes_load_le32(in + SEGMENT_SEALED_COUNT);
    uint32_t table_end = SEGMENT_SEALED + sealed_count * SEALED_ENTRY_BYTES;
    if (sealed_count > WAL_LIVE_SEGMENTS_MAX)
        return false;
    for (uint32_t at = 0; at < table_end; at += SECTOR_BYTES)
        if (is_zero(in + at, SECTOR_BYTES))
            return true;
    return is_zero(in + WAL_BLOCK_BYTES - SECTOR_BYTES, SECTOR_BYTES);
}

bool wal_header_is_damaged(const void *block)
{
    const unsigned char *in = block;
    struct wal_header header;
    int status = wal_header_decode(block, &header);
    if (status == -EBADMSG)
        return true;
    /* A sector is written whole or not at all, so a first sector of zeros was not written. */
    if (is_zero(in, SECTOR_BYTES) || status != -ENODATA)
        return false;
    return memcmp(in, segment_magic, MAGIC_BYTES) != 0 || !lacks_a_sector(in);
}
