#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "storage/wal/wal_format.h"

/* What a scan reads, cut to its limit. */
struct region {
    const unsigned char *data;
    uint64_t bytes;
    uint64_t generation;
};

struct visitor {
    int (*visit)(void *context, const struct record_fields *fields);
    void *context;
};

static int visit_batch(const unsigned char *payload, const struct wal_batch *batch, const struct visitor *visitor,
                       struct wal_scan *scan)
{
    uint32_t at = 0;
    uint32_t record_count = batch->record_count - FAULT(SKIP_LAST_RECORD);
    for (uint32_t i = 0; i < record_count; i++) {
        struct record_fields fields;
        int bytes = record_decode(payload + at, batch->payload_bytes - at, &fields);
        if (bytes <= 0)
            return -EBADMSG;
        int result = visitor->visit(visitor->context, &fields);
        if (result != 0)
            return result;
        scan->record_count++;
        at += (uint32_t)bytes;
    }
    return at == batch->payload_bytes || FAULT(SKIP_LAST_RECORD) ? 0 : -EBADMSG;
}

static bool is_zero(const unsigned char *data, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return false;
    return true;
}

/* A batch is written only when the one before is durable: so a batch behind a bad one shows that the bad one was good
 * before. The length of the bad one is unknown, so every block is examined. */
static bool has_batch_beyond(const struct region *region, uint64_t at)
{
    struct wal_batch batch;
    for (at += WAL_BLOCK_BYTES; at < region->bytes; at += WAL_BLOCK_BYTES)
        if (wal_batch_decode(region->data + at, region->bytes - at, region->generation, &batch) == 0)
            return true;
    return false;
}

/* The kind of end at `at`, where no valid batch is. */
static enum wal_end end_at(const struct region *region, uint64_t at)
{
    if (has_batch_beyond(region, at))
        return WAL_END_DAMAGE;
    const unsigned char *block = region->data + at;
    uint64_t rest = region->bytes - at;
    uint64_t generation;
    if (is_zero(block, rest < WAL_BLOCK_BYTES ? rest : WAL_BLOCK_BYTES))
        return WAL_END_CLEAN;
    if (wal_batch_peek(block, rest, &generation) && generation != region->generation)
        return WAL_END_CLEAN;
    return WAL_END_TORN;
}

static int scan_batches(const struct region *region, const struct visitor *visitor, struct wal_scan *scan)
{
    uint64_t sequence = 0;
    while (scan->end_bytes < region->bytes) {
        const unsigned char *data = region->data + scan->end_bytes;
        struct wal_batch batch;
        if (wal_batch_decode(data, region->bytes - scan->end_bytes, region->generation, &batch) != 0) {
            scan->end = end_at(region, scan->end_bytes);
            return 0;
        }
        if (scan->batch_count > 0 && batch.sequence != sequence + 1) {
            scan->end = WAL_END_DAMAGE;
            return 0;
        }
        int result = visit_batch(data + WAL_BATCH_HEADER_BYTES, &batch, visitor, scan);
        if (result != 0)
            return result;
        sequence = batch.sequence;
        scan->batch_count++;
        scan->end_bytes += wal_block_round(WAL_BATCH_HEADER_BYTES + batch.payload_bytes);
    }
    return 0;
}

int wal_scan(const void *data, uint64_t bytes, uint64_t generation, uint64_t limit_bytes,
             int (*visit)(void *context, const struct record_fields *fields), void *context, struct wal_scan *scan_r)
{
    ASSERT(visit != NULL);
    struct region region = {data, bytes < limit_bytes ? bytes : limit_bytes, generation};
    struct visitor visitor = {visit, context};
    *scan_r = (struct wal_scan){.end_bytes = WAL_BLOCK_BYTES, .end = WAL_END_CLEAN};
    int result = scan_batches(&region, &visitor, scan_r);
    if (scan_r->end != WAL_END_CLEAN)
        scan_r->damage_bytes = scan_r->end_bytes;
    return result;
}

void wal_scan_stray(const void *data, uint64_t bytes, struct wal_stray *stray_r)
{
    *stray_r = (struct wal_stray){0};
    for (uint64_t at = WAL_BLOCK_BYTES; at < bytes; at += WAL_BLOCK_BYTES) {
        const unsigned char *block = (const unsigned char *)data + at;
        struct wal_batch batch;
        uint64_t generation;
        if (!wal_batch_peek(block, bytes - at, &generation) || generation < stray_r->generation)
            continue;
        if (wal_batch_decode(block, bytes - at, generation, &batch) != 0)
            continue;
        if (generation > stray_r->generation)
            *stray_r = (struct wal_stray){.generation = generation, .first_bytes = at};
        stray_r->last_bytes = at;
    }
}
