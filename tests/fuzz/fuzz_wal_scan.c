/* Any bytes as a segment: the scan stays within them, and gives only records that decode, of batches whose CRC this
 * target has computed itself. With the first byte odd the CRC is made right first, so that what lies behind it is
 * reached. A header that decodes, written again, decodes to the same. */
#include <errno.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "storage/wal/wal_format.h"

#define GENERATION 3u

struct seen {
    const uint8_t *file;
    uint64_t file_bytes;
    uint64_t begin; /* of the payload of the batch that the scan is in, offsets in the file */
    uint64_t end;
    uint64_t next; /* where the next batch begins */
    uint64_t count;
};

/* The batch at seen->next is valid by wal_format.h. */
static void enter_batch(struct seen *seen)
{
    uint8_t generation[8];
    ASSERT(seen->next + WAL_BATCH_HEADER_BYTES <= seen->file_bytes);
    const uint8_t *batch = seen->file + seen->next;
    uint32_t payload_bytes = bytes_load_le32(batch + 24);
    ASSERT(payload_bytes <= seen->file_bytes - seen->next - WAL_BATCH_HEADER_BYTES);
    bytes_store_le64(generation, GENERATION);
    ASSERT(memcmp(batch + 8, generation, sizeof generation) == 0);
    uint32_t crc = hash_crc32c(0, generation, sizeof generation);
    crc = hash_crc32c(crc, batch, WAL_BATCH_HEADER_BYTES - 4);
    crc = hash_crc32c(crc, batch + WAL_BATCH_HEADER_BYTES, payload_bytes);
    ASSERT(crc == bytes_load_le32(batch + WAL_BATCH_HEADER_BYTES - 4));
    seen->begin = seen->next + WAL_BATCH_HEADER_BYTES;
    seen->end = seen->begin + payload_bytes;
    seen->next += wal_block_round(WAL_BATCH_HEADER_BYTES + payload_bytes);
}

static int see(void *context, const struct record_fields *fields)
{
    struct seen *seen = context;
    uint64_t at = (uint64_t)((const uint8_t *)fields->data - seen->file);
    uint64_t end = (uint64_t)((const uint8_t *)fields->text.data - seen->file) + fields->text.bytes;
    if (at >= seen->end)
        enter_batch(seen);
    ASSERT(at >= seen->begin && end <= seen->end);
    ASSERT(fields->from.bytes >= 1 && fields->to.bytes >= 1);
    seen->count++;
    return 0;
}

/* Wraps the payload into a batch with a good header. */
static uint8_t *wrap(const uint8_t *data, size_t bytes, uint64_t *bytes_r)
{
    struct wal_batch batch = {.sequence = 1, .payload_bytes = (uint32_t)bytes - 1, .record_count = data[0]};
    *bytes_r = WAL_BLOCK_BYTES + wal_block_round(WAL_BATCH_HEADER_BYTES + batch.payload_bytes);
    uint8_t *file = calloc(1, *bytes_r);
    ASSERT(file != NULL);
    memcpy(file + WAL_BLOCK_BYTES + WAL_BATCH_HEADER_BYTES, data + 1, batch.payload_bytes);
    if (batch.record_count > 0)
        wal_batch_encode(GENERATION, &batch, file + WAL_BLOCK_BYTES);
    return file;
}

/* The bytes of the input as block 0, with a CRC made right if `fix`. */
static void check_header(const uint8_t *data, size_t bytes, bool fix)
{
    static const uint8_t magic[8] = {0xff, 'c', 's', 0xfe, 'e', 'g', 0xf8, 0xff};
    struct wal_header header = {0}, again = {0};
    uint8_t *block = calloc(1, WAL_BLOCK_BYTES);
    ASSERT(block != NULL);
    memcpy(block, data, bytes < WAL_BLOCK_BYTES ? bytes : WAL_BLOCK_BYTES);
    if (fix) {
        memcpy(block, magic, sizeof magic);
        bytes_store_le32(block + 8, WAL_FORMAT_VERSION);
        bytes_store_le32(block + 12, 0);
        bytes_store_le32(block + 12, hash_crc32c(0, block, WAL_BLOCK_BYTES));
    }
    int status = wal_header_decode(block, &header);
    ASSERT(status == 0 || status == -ENODATA || status == -EPROTO || status == -EBADMSG);
    ASSERT(status != -EBADMSG || wal_header_is_damaged(block));
    if (status == 0) {
        ASSERT(!wal_header_is_damaged(block));
        ASSERT(header.generation != 0 && header.sealed_count <= WAL_LIVE_SEGMENTS_MAX);
        wal_header_encode(&header, block);
        ASSERT(wal_header_decode(block, &again) == 0);
        ASSERT(again.shard == header.shard && again.generation == header.generation);
        ASSERT(again.previous == header.previous && again.file_bytes == header.file_bytes);
        ASSERT(again.sealed_count == header.sealed_count);
        ASSERT(memcmp(again.sealed, header.sealed, header.sealed_count * sizeof header.sealed[0]) == 0);
    }
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct wal_scan scan;
    struct wal_stray stray;
    uint64_t file_bytes = WAL_BLOCK_BYTES + bytes;
    uint8_t *file;
    if (bytes < 3 || bytes > 100000)
        return 0;
    bool fix = (data[0] & 1) != 0;
    check_header(data + 1, bytes - 1, fix);
    if (fix) {
        file = wrap(data + 1, bytes - 1, &file_bytes);
    } else {
        file = calloc(1, file_bytes);
        ASSERT(file != NULL);
        memcpy(file + WAL_BLOCK_BYTES, data, bytes);
    }
    struct seen seen = {file, file_bytes, 0, 0, WAL_BLOCK_BYTES, 0};
    int status = wal_scan(file, file_bytes, GENERATION, file_bytes, see, &seen, &scan);
    ASSERT(status == 0 || status == -EBADMSG);
    ASSERT(scan.record_count == seen.count && scan.end_bytes <= wal_block_round((uint32_t)file_bytes));
    wal_scan_stray(file, file_bytes, &stray);
    ASSERT(stray.last_bytes < file_bytes);
    free(file);
    return 0;
}
