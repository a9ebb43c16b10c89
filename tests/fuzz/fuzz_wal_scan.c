/* Any bytes as a segment: the scan stays within them and gives only records that decode. With the first byte odd the
 * CRCs are made right first, so that what lies behind them is reached. */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "storage/wal/wal_format.h"

#define GENERATION 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct seen {
    const char *begin;
    const char *end;
    uint64_t count;
};

static int see(void *context, const struct record_fields *fields)
{
    struct seen *seen = context;
    ASSERT(fields->from.data >= seen->begin && fields->text.data + fields->text.bytes <= seen->end);
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
    memcpy(file + WAL_BLOCK_BYTES + WAL_BATCH_HEADER_BYTES, data + 1, batch.payload_bytes);
    wal_batch_encode(GENERATION, &batch, file + WAL_BLOCK_BYTES);
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct wal_scan scan;
    struct wal_stray stray;
    struct wal_header header;
    uint64_t file_bytes = WAL_BLOCK_BYTES + bytes;
    uint8_t *file;
    if (bytes < 3 || bytes > 100000)
        return 0;
    if ((data[0] & 1) != 0) {
        file = wrap(data + 1, bytes - 1, &file_bytes);
    } else {
        file = calloc(1, file_bytes);
        memcpy(file + WAL_BLOCK_BYTES, data, bytes);
    }
    struct seen seen = {(const char *)file, (const char *)file + file_bytes, 0};
    int status = wal_scan(file, file_bytes, GENERATION, file_bytes, see, &seen, &scan);
    ASSERT(status == 0 || status == -EBADMSG);
    ASSERT(scan.record_count == seen.count && scan.end_bytes <= wal_block_round((uint32_t)file_bytes));
    wal_scan_stray(file, file_bytes, &stray);
    ASSERT(stray.last_bytes < file_bytes);
    if (file_bytes >= 2 * WAL_BLOCK_BYTES)
        (void)wal_header_decode(file + WAL_BLOCK_BYTES, &header);
    free(file);
    return 0;
}
