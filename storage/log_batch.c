#include "storage/log_batch.h"

#include <errno.h>
#include <openssl/sha.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

/* Never in UTF-8, so no text looks like a batch. */
static const uint8_t magic[8] = {0xff, 'c', 'h', 'i', 't', 'l', 'o', 0xfe};

enum {
    AT_VERSION = 8,
    AT_CRC = 12,
    AT_SLOT = 16,
    AT_KIND = 20,
    AT_GENERATION = 24,
    AT_NUMBER = 32,
    AT_COMMITTED = 40,
    AT_INCARNATION = 48,
    AT_WALL = 56,
    AT_PREVIOUS = 64,
    AT_RECORDS = 80,
    AT_PAYLOAD = 84,
    AT_NODE = 88,
    AT_ZERO = 120,
};
_Static_assert(AT_NODE + LOG_BATCH_NODE_BYTES == AT_ZERO, "the node's name has its room");
_Static_assert(AT_ZERO + 8 == LOG_BATCH_HEADER_BYTES, "the header has its size");

static uint32_t crc_of(const uint8_t *data, size_t bytes)
{
    static const uint8_t zero[4] = {0};
    uint32_t crc = hash_crc32c(0, data, AT_CRC);
    crc = hash_crc32c(crc, zero, sizeof zero);
    return hash_crc32c(crc, data + AT_CRC + sizeof zero, bytes - AT_CRC - sizeof zero);
}

uint32_t log_batch_encode(const struct log_batch_header *header, void *data)
{
    uint8_t *out = data;
    size_t node_bytes = strnlen(header->node, sizeof header->node);
    ASSERT(header->number > 0 && header->generation > 0);
    ASSERT(header->committed < header->number);
    ASSERT(header->payload_bytes <= LOG_BATCH_BYTES_MAX - LOG_BATCH_HEADER_BYTES);
    ASSERT(node_bytes > 0 && node_bytes <= LOG_BATCH_NODE_BYTES);
    memset(out, 0, LOG_BATCH_HEADER_BYTES);
    memcpy(out, magic, sizeof magic);
    bytes_store_le32(out + AT_VERSION, LOG_BATCH_VERSION);
    bytes_store_le32(out + AT_SLOT, header->slot);
    bytes_store_le32(out + AT_KIND, (uint32_t)header->kind);
    bytes_store_le64(out + AT_GENERATION, header->generation);
    bytes_store_le64(out + AT_NUMBER, header->number);
    bytes_store_le64(out + AT_COMMITTED, header->committed);
    bytes_store_le64(out + AT_INCARNATION, header->incarnation);
    bytes_store_le64(out + AT_WALL, header->wall_us);
    memcpy(out + AT_PREVIOUS, header->previous.bytes, LOG_HASH_BYTES);
    bytes_store_le32(out + AT_RECORDS, header->record_count);
    bytes_store_le32(out + AT_PAYLOAD, header->payload_bytes);
    memcpy(out + AT_NODE, header->node, node_bytes);
    uint32_t bytes = LOG_BATCH_HEADER_BYTES + header->payload_bytes;
    bytes_store_le32(out + AT_CRC, crc_of(out, bytes));
    return bytes;
}

static void read_fields(const uint8_t *data, struct log_batch_header *header_r)
{
    *header_r = (struct log_batch_header){
        .slot = bytes_load_le32(data + AT_SLOT),
        .kind = (enum log_batch_kind)bytes_load_le32(data + AT_KIND),
        .generation = bytes_load_le64(data + AT_GENERATION),
        .number = bytes_load_le64(data + AT_NUMBER),
        .committed = bytes_load_le64(data + AT_COMMITTED),
        .incarnation = bytes_load_le64(data + AT_INCARNATION),
        .wall_us = bytes_load_le64(data + AT_WALL),
        .record_count = bytes_load_le32(data + AT_RECORDS),
        .payload_bytes = bytes_load_le32(data + AT_PAYLOAD),
    };
    memcpy(header_r->previous.bytes, data + AT_PREVIOUS, LOG_HASH_BYTES);
    memcpy(header_r->node, data + AT_NODE, LOG_BATCH_NODE_BYTES);
}

static bool is_in_bounds(const struct log_batch_header *header, size_t bytes)
{
    return header->kind >= LOG_BATCH_RECORDS && header->kind <= LOG_BATCH_CREATE && header->generation > 0
           && header->number > header->committed && header->node[0] != '\0'
           && header->payload_bytes == bytes - LOG_BATCH_HEADER_BYTES;
}

int log_batch_decode(const void *data, size_t bytes, struct log_batch_header *header_r)
{
    const uint8_t *in = data;
    if (bytes < LOG_BATCH_HEADER_BYTES || bytes > LOG_BATCH_BYTES_MAX || memcmp(in, magic, sizeof magic) != 0)
        return -EBADMSG;
    if (bytes_load_le32(in + AT_CRC) != crc_of(in, bytes))
        return -EBADMSG;
    if (bytes_load_le32(in + AT_VERSION) != LOG_BATCH_VERSION)
        return -EPROTO;
    read_fields(in, header_r);
    return is_in_bounds(header_r, bytes) ? 0 : -EBADMSG;
}

void log_batch_hash(const void *data, size_t bytes, struct log_hash *hash_r)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(data, bytes, digest);
    memcpy(hash_r->bytes, digest, LOG_HASH_BYTES);
}
