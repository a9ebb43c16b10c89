/*
 * record_heap.h: the memory of one shard's records, and of whatever else lives about as long (memtable index).
 *
 * Memory is one sparse mapping of `bytes_max`, cut into blocks of 1 MiB. A block is filled from its start;
 * each piece is counted; when the last piece of a block that is no longer being filled is given back, the
 * block is free again. So taking and giving back are a few instructions, and nothing is ever allocated on the
 * path of a send. Pieces live about as long as each other (a memtable generation), so blocks empty together.
 *
 * All calls on the owner's thread. No piece is larger than RECORD_HEAP_PIECE_MAX.
 */
#ifndef CHITCHAT_STORAGE_RECORD_HEAP_H
#define CHITCHAT_STORAGE_RECORD_HEAP_H

#include "storage/record.h"

#define RECORD_HEAP_BLOCK_BYTES (1u << 20)
#define RECORD_HEAP_PIECE_MAX (1u << 17)

struct record_heap;

/* Maps `bytes_max` (rounded up to blocks, at least 4). Returns 0 or -ENOMEM. The caller owns *heap_r. */
int record_heap_open(struct record_heap **heap_r, uint64_t bytes_max);
/* Every record must have been given back. Nulls *heap. */
void record_heap_close(struct record_heap **heap);

/* A record with room for `from`, `to`, `key` and `text` copied in, refs 1, the rest zero; NULL when the heap is
 * full. Lengths are within limits.h. */
struct record *record_heap_take(struct record_heap *heap, struct span from, struct span to, struct span key,
                                struct span text);

static inline struct record *record_ref(struct record *record)
{
    record->refs++;
    return record;
}

/* Gives one reference back; the memory goes with the last. Nulls *record. */
void record_heap_unref(struct record_heap *heap, struct record **record);

/* Bytes of blocks that hold at least one live piece, and the bound. */
uint64_t record_heap_bytes_used(const struct record_heap *heap);
uint64_t record_heap_bytes_max(const struct record_heap *heap);

#endif
