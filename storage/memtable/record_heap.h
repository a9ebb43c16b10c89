/*
 * record_heap.h: the memory of one shard's records, and the index memory of its memtables, which lives about as long.
 *
 * Records are in one sparse mapping of `bytes_max`, divided into blocks of 1 MiB. A block is filled from its start, and
 * counts its records that have references. A block is free again when it is not being filled, its count is 0, and no
 * group references it. So a record is taken and given back in a few instructions, without malloc. Records of one
 * memtable generation live about equally long, so most blocks become free as a whole.
 *
 * A group, such as a memtable generation, references records by their blocks: it unrefs block by block and does not
 * read the records, which have long left the caches.
 *
 * Index memory is mapped apart from the records, also in blocks of 1 MiB.
 *
 * One thread, the owner's.
 */
#ifndef CHITCHAT_STORAGE_MEMTABLE_RECORD_HEAP_H
#define CHITCHAT_STORAGE_MEMTABLE_RECORD_HEAP_H

#include "storage/record.h"

#define RECORD_HEAP_BLOCK_BYTES (1u << 20)
#define RECORD_HEAP_PIECE_MAX (1u << 17)

struct record_heap;

/* Maps `bytes_max` (rounded up to blocks, at least 4 of them), without using memory. 0 or -ENOMEM. The caller closes
 * *heap_r. */
int record_heap_open(struct record_heap **heap_r, uint64_t bytes_max);
/* No record may have references, no group may be open with records, and all index memory must be back (asserted). Nulls
 * *heap; NULL is fine. */
void record_heap_close(struct record_heap **heap);

/* A record with copies of `from`, `to`, `key` and `text`, refs 1, and both ts and the mid zero; NULL: the heap is full.
 * The lengths are within limits.h (asserted). */
struct record *record_heap_take(struct record_heap *heap, struct span from, struct span to, struct span key,
                                struct span text);

/* Adds a reference, also to a record that only a group references. Returns `record`. */
struct record *record_heap_ref(struct record_heap *heap, struct record *record);
/* Removes a reference. With the last one the memory is free, unless a group references its block. Nulls *record. */
void record_heap_unref(struct record_heap *heap, struct record **record);

/* Open at a time. */
#define RECORD_HEAP_GROUPS_MAX 8u

/* Opens an empty group. Returns its number, or -ENOMEM: RECORD_HEAP_GROUPS_MAX are open. */
int record_heap_group_open(struct record_heap *heap);
/* The group references the record, which stands until the group is closed, with or without other references. */
void record_heap_group_ref(struct record_heap *heap, uint32_t group, const struct record *record);
/* Unrefs at most `blocks_max` blocks of the group. True: the group is closed, and its number is free. False: call it
 * again, and nothing else may be done with the group. */
bool record_heap_group_close_some(struct record_heap *heap, uint32_t group, uint32_t blocks_max);

/* A block of RECORD_HEAP_BLOCK_BYTES of index memory, not cleared, and not counted in record_heap_bytes_used. Mostly
 * one that was given back, else a new mapping. The caller's until record_heap_index_give. NULL: no memory. */
void *record_heap_index_take(struct record_heap *heap);
void record_heap_index_give(struct record_heap *heap, void *block);

/* Gives a part of the memory that was not needed since the last call back to the system. The rest is kept: a new page
 * of the system costs more than what is written to it. Call it about once a second. */
void record_heap_trim(struct record_heap *heap);

/* Bytes of the blocks of records that are not free. */
uint64_t record_heap_bytes_used(const struct record_heap *heap);
/* Bytes of all blocks of records. */
uint64_t record_heap_bytes_max(const struct record_heap *heap);

#endif
