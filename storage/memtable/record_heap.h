/*
 * record_heap.h: the memory of one shard's records, and of what else lives about as long (memtable index).
 *
 * Memory is one sparse mapping of `bytes_max`, cut into blocks of 1 MiB. A block is filled from its start;
 * each piece is counted; when the last piece of a block that is no longer being filled is given back, and no holder
 * has a part of it, the block is free again. So taking and giving back are a few instructions, and nothing is ever
 * allocated on the path of a send. Pieces live about as long as each other (a memtable generation), so blocks empty
 * together.
 *
 * A holder, such as a memtable generation, keeps records by their blocks: it lets go of all at once and touches none of
 * them again, when they have long left the caches.
 *
 * All calls on the owner's thread. No piece is larger than RECORD_HEAP_PIECE_MAX.
 */
#ifndef CHITCHAT_STORAGE_MEMTABLE_RECORD_HEAP_H
#define CHITCHAT_STORAGE_MEMTABLE_RECORD_HEAP_H

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

/* One reference more, also for a record that has none and is held. */
struct record *record_heap_ref(struct record_heap *heap, struct record *record);
/* Gives one reference back; with the last the memory goes, unless it is held. Nulls *record. */
void record_heap_unref(struct record_heap *heap, struct record **record);

/* At a time. */
#define RECORD_HEAP_GROUPS_MAX 8u

/* A holder of no record yet: its number; -ENOMEM: there are RECORD_HEAP_GROUPS_MAX. */
int record_heap_group_open(struct record_heap *heap);
/* The record stands until the holder lets go, whether it is referenced or not. */
void record_heap_group_ref(struct record_heap *heap, uint32_t group, const struct record *record);
/* Lets go of at most `blocks_max` blocks. True: of all, and the number may be given to another; else to be called
 * again, and nothing else may be done with it. */
bool record_heap_group_close_some(struct record_heap *heap, uint32_t group, uint32_t blocks_max);

/* Memory beside that of the records for what lives about as long, a generation's index: RECORD_HEAP_BLOCK_BYTES of no
 * particular content, and not counted below. NULL: there is no memory. */
void *record_heap_index_take(struct record_heap *heap);
void record_heap_index_give(struct record_heap *heap, void *block);

/* Gives some of the memory back to the system that nothing needed since the call before; the rest is kept, as pages
 * that are taken from the system anew cost more than what is written to them. Once a second. */
void record_heap_trim(struct record_heap *heap);

/* Bytes of blocks that are in use, and the bound. */
uint64_t record_heap_bytes_used(const struct record_heap *heap);
uint64_t record_heap_bytes_max(const struct record_heap *heap);

#endif
