/* The bytes of a batch of a replicated log: what is decoded encodes to the same bytes; what is encoded decodes to the
 * same header; with any byte changed or the end cut it is no batch. */
#include "fuzz.h"
#include "storage/log_batch.h"

static void check_any(const char *data, size_t bytes)
{
    struct log_batch_header header;
    if (log_batch_decode(data, bytes, &header) != 0)
        return;
    char *copy = fuzz_copy(data, bytes);
    memset(copy, 0xff, LOG_BATCH_HEADER_BYTES);
    ASSERT(log_batch_encode(&header, copy) == bytes && memcmp(copy, data, bytes) == 0);
    free(copy);
}

static struct log_batch_header make_header(struct fuzz_input *input)
{
    struct log_batch_header header;
    memset(&header, 0, sizeof header);
    header.slot = (uint32_t)fuzz_number(input, 2);
    header.kind = (enum log_batch_kind)(LOG_BATCH_RECORDS + fuzz_number(input, 1) % 3);
    header.generation = fuzz_number(input, 8);
    header.number = fuzz_number(input, 8);
    header.incarnation = fuzz_number(input, 2);
    header.wall_us = fuzz_number(input, 8);
    header.record_count = (uint32_t)fuzz_number(input, 2);
    header.generation += header.generation == 0;
    header.number += header.number == 0;
    header.committed = fuzz_number(input, 8) % header.number;
    struct span previous = fuzz_span(input, LOG_HASH_BYTES);
    if (previous.bytes > 0)
        memcpy(header.previous.bytes, previous.data, previous.bytes);
    size_t name_bytes = 1 + fuzz_number(input, 1) % LOG_BATCH_NODE_BYTES;
    for (size_t i = 0; i < name_bytes; i++)
        header.node[i] = (char)('!' + fuzz_number(input, 1) % 94);
    header.payload_bytes = (uint32_t)(input->bytes < 1024 ? input->bytes : 1024);
    return header;
}

static void check_encoded(struct fuzz_input input)
{
    uint64_t at = fuzz_number(&input, 4), change = fuzz_number(&input, 1);
    struct log_batch_header header = make_header(&input), read;
    char *data = malloc(LOG_BATCH_HEADER_BYTES + header.payload_bytes);
    struct span payload = fuzz_span(&input, header.payload_bytes);
    if (payload.bytes > 0)
        memcpy(data + LOG_BATCH_HEADER_BYTES, payload.data, payload.bytes);
    size_t bytes = log_batch_encode(&header, data);
    ASSERT(bytes == LOG_BATCH_HEADER_BYTES + header.payload_bytes);
    ASSERT(log_batch_decode(data, bytes, &read) == 0
           && memcmp(&header, &read, offsetof(struct log_batch_header, node)) == 0
           && strcmp(header.node, read.node) == 0);
    ASSERT(span_equal(log_batch_payload(&read, data), payload));
    ASSERT(log_batch_decode(data, at % bytes, &read) != 0);
    data[at % bytes] = (char)(data[at % bytes] ^ (char)(change == 0 ? 1 : change));
    ASSERT(log_batch_decode(data, bytes, &read) != 0);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *copy = fuzz_copy(data, bytes);
    check_any(copy, bytes);
    free(copy);
    check_encoded((struct fuzz_input){data, bytes});
    return 0;
}
