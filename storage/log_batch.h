/*
 * log_batch.h: the bytes of one batch of a replicated log. A batch has a header and records (record.h),
 * or what its kind says. All integers are little endian. Pure; any thread.
 *
 *     8 magic   u32 version   u32 CRC32C   u32 slot   u32 kind   u64 generation   u64 number   u64 committed
 *     u64 incarnation   u64 wall clock   16 hash of the batch before   u32 record count   u32 payload bytes
 *     32 node   8 zero   payload
 *
 * The CRC covers the whole batch, with zeros in its own place. Magic, version and CRC keep their places in every
 * version. Each batch names the hash of the batch before it: a batch stands for all before it, and a log that lost or
 * changed a part is noticed.
 *
 * `committed` is the number up to which the writer knew all batches to be acknowledged when it made this one. A reader
 * that finds a batch cannot tell whether it is acknowledged; the header of a later one tells.
 */
#ifndef CHITCHAT_STORAGE_LOG_BATCH_H
#define CHITCHAT_STORAGE_LOG_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define LOG_BATCH_VERSION 1u
#define LOG_BATCH_HEADER_BYTES 128u
#define LOG_BATCH_BYTES_MAX (1u << 20) /* the header included */
#define LOG_BATCH_NODE_BYTES 32u       /* of a node's name, which is not empty */
#define LOG_HASH_BYTES 16u

/* The first half of a SHA-256. Zeros: there is no batch. */
struct log_hash {
    uint8_t bytes[LOG_HASH_BYTES];
};

enum log_batch_kind {
    LOG_BATCH_RECORDS = 1, /* any number of records, also none */
    LOG_BATCH_TAKE = 2,    /* the first batch of a generation; the payload is the address of the node for clients */
    LOG_BATCH_CREATE = 3,  /* the first batch of the `meta` log; the payload is the META file of the data set */
};

struct log_batch_header {
    uint32_t slot;
    enum log_batch_kind kind;
    uint64_t generation;  /* of the ownership; not 0 */
    uint64_t number;      /* its place in the log, from 1 */
    uint64_t committed;   /* below `number` */
    uint64_t incarnation; /* of the slot: raised when an operator accepts a loss */
    uint64_t wall_us;     /* the writer's wall clock, since 1970 */
    struct log_hash previous;
    uint32_t record_count;
    uint32_t payload_bytes; /* at most LOG_BATCH_BYTES_MAX - LOG_BATCH_HEADER_BYTES */
    char node[LOG_BATCH_NODE_BYTES + 1];
};

static inline bool log_hash_equal(const struct log_hash *a, const struct log_hash *b)
{
    return memcmp(a->bytes, b->bytes, LOG_HASH_BYTES) == 0;
}

/* Writes the header of a batch whose payload stands at `data` + LOG_BATCH_HEADER_BYTES. Number, generation and the
 * lengths are in their bounds (asserted). Returns the bytes of the whole batch. Borrows all. */
uint32_t log_batch_encode(const struct log_batch_header *header, void *data);

/* Reads the header of the batch that `data` (`bytes`) is, and checks the whole. 0; -EPROTO: a whole batch of another
 * version; -EBADMSG: no whole batch. Borrows `data`. */
int log_batch_decode(const void *data, size_t bytes, struct log_batch_header *header_r);

/* The hash of a whole batch, for the header of the next. Takes a time like reading the bytes once; allocates within
 * libcrypto. Borrows `data`. */
void log_batch_hash(const void *data, size_t bytes, struct log_hash *hash_r);

/* The payload of a batch that log_batch_decode accepted. Borrows `data`. */
static inline struct span log_batch_payload(const struct log_batch_header *header, const void *data)
{
    return (struct span){(const char *)data + LOG_BATCH_HEADER_BYTES, header->payload_bytes};
}

#endif
