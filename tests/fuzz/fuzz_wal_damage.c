/* A good segment in which up to 4 adjacent bytes were changed: the scan gives exactly the records of the batches before
 * the changed one, and calls it damage if a batch follows. (A CRC of 32 bits notices each such change.) */
#include "base/bytes.h"
#include "fuzz.h"
#include "storage/wal/wal_format.h"

#define GENERATION 5u
#define BATCHES_MAX 6u
#define RECORDS_MAX 200u
#define FILE_BYTES (WAL_BLOCK_BYTES * (1 + BATCHES_MAX * 16))

struct segment {
    uint8_t *file;
    uint64_t bytes;
    uint32_t batch_count;
    struct {
        uint64_t begin, end;   /* offsets; without the padding */
        uint32_t record_count; /* of this batch and those before */
    } batches[BATCHES_MAX];
    uint64_t ts[RECORDS_MAX]; /* ts_from of each record */
    uint32_t record_count;
};

static uint32_t put_record(struct segment *segment, struct fuzz_input *input, uint8_t *out)
{
    static const char names[] = "abcdefghij";
    struct record *record = calloc(1, sizeof *record + LIMIT_RECORD_BODY_BYTES);
    ASSERT(record != NULL);
    record->ts_from = record->ts_to = segment->ts[segment->record_count++] = fuzz_number(input, 2);
    record->from_bytes = record->to_bytes = (uint8_t)(1 + fuzz_number(input, 1) % 5);
    struct span text = fuzz_span(input, fuzz_number(input, 2) % 3000);
    record->text_bytes = (uint16_t)text.bytes;
    memcpy(record->body, names, 2u * record->from_bytes);
    if (text.bytes > 0)
        memcpy(record->body + 2 * record->from_bytes, text.data, text.bytes);
    uint32_t bytes = record_encode(record, out);
    free(record);
    return bytes;
}

/* At most 16 records of at most 3.1 KB: 13 blocks. */
static void put_batch(struct segment *segment, struct fuzz_input *input)
{
    uint8_t *out = segment->file + segment->bytes;
    uint32_t index = segment->batch_count++;
    struct wal_batch batch = {.sequence = 9 + index, .record_count = 1 + (uint32_t)fuzz_number(input, 1) % 16};
    for (uint32_t i = 0; i < batch.record_count; i++)
        batch.payload_bytes += put_record(segment, input, out + WAL_BATCH_HEADER_BYTES + batch.payload_bytes);
    segment->batches[index].begin = segment->bytes;
    segment->batches[index].end = segment->bytes + WAL_BATCH_HEADER_BYTES + batch.payload_bytes;
    segment->batches[index].record_count = segment->record_count;
    segment->bytes += wal_batch_encode(GENERATION, &batch, out);
    ASSERT(segment->bytes <= FILE_BYTES && segment->record_count <= RECORDS_MAX);
}

struct seen {
    const struct segment *segment;
    uint32_t count;
};

static int see(void *context, const struct record_fields *fields)
{
    struct seen *seen = context;
    ASSERT(seen->count < seen->segment->record_count);
    ASSERT(fields->ts_from == seen->segment->ts[seen->count++]);
    return 0;
}

/* Changes bytes, and returns the batch that they are in; batch_count if they are in none. */
static uint32_t damage(struct segment *segment, uint64_t at, uint32_t change)
{
    uint8_t bytes[4];
    bytes_store_le32(bytes, change);
    for (uint32_t i = 0; i < segment->batch_count; i++) {
        if (at < segment->batches[i].begin || at + 4 > segment->batches[i].end)
            continue;
        for (uint32_t k = 0; k < 4; k++)
            segment->file[at + k] ^= bytes[k];
        return change == 0 ? segment->batch_count : i;
    }
    return segment->batch_count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    struct segment segment = {.file = calloc(1, FILE_BYTES), .bytes = WAL_BLOCK_BYTES};
    struct wal_scan scan;
    ASSERT(segment.file != NULL);
    uint32_t batch_count = 1 + (uint32_t)fuzz_number(&input, 1) % BATCHES_MAX;
    uint64_t at = fuzz_number(&input, 3);
    uint32_t change = (uint32_t)fuzz_number(&input, 4);
    for (uint32_t i = 0; i < batch_count; i++)
        put_batch(&segment, &input);
    uint32_t bad = damage(&segment, WAL_BLOCK_BYTES + at % (segment.bytes - WAL_BLOCK_BYTES), change);
    struct seen seen = {&segment, 0};
    ASSERT(wal_scan(segment.file, segment.bytes, GENERATION, segment.bytes, see, &seen, &scan) == 0);
    if (bad == segment.batch_count) {
        ASSERT(seen.count == segment.record_count && scan.end == WAL_END_CLEAN && scan.end_bytes == segment.bytes);
    } else {
        ASSERT(seen.count == (bad == 0 ? 0 : segment.batches[bad - 1].record_count));
        ASSERT(scan.batch_count == bad && scan.end_bytes == segment.batches[bad].begin);
        ASSERT(scan.end == WAL_END_DAMAGE || bad + 1 == segment.batch_count);
    }
    free(segment.file);
    return 0;
}
