#include "storage/memtable/record_heap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"

#define NO_BLOCK UINT32_MAX
#define PIECE_ALIGN 8u

/* Each trim gives this part of the unneeded memory back: half of a burst's memory within 45 s. A busy shard, whose
 * generations live for seconds, loses nearly nothing. */
#define TRIM_PART 64u

struct block {
    uint32_t pieces; /* records with references */
    uint32_t next;   /* of the free ones */
    uint32_t groups; /* a bit for each */
};

struct record_group {
    bool is_open;
    uint32_t next_block; /* blocks below it are unreferenced already */
};

/* At the start of a free block of index memory. */
struct index_block {
    struct index_block *next;
};

struct record_heap {
    char *memory;
    uint32_t block_count;
    uint32_t blocks_touched;        /* blocks below it were used at least once */
    uint32_t free_first;            /* the chain of free blocks; NO_BLOCK: its end */
    uint32_t free_resident;         /* so many of them, the first ones of the chain, have memory */
    uint32_t free_resident_low;     /* the smallest free_resident since the last trim */
    struct index_block *index_free; /* the chain of free index blocks */
    uint32_t index_free_count;      /* of them */
    uint32_t index_free_low;        /* the smallest index_free_count since the last trim */
    uint32_t index_total;           /* index blocks, free or taken */
    uint32_t filling;               /* the block that records are put into; NO_BLOCK: none */
    uint32_t fill_bytes;            /* used of it */
    uint32_t used_count;            /* blocks that are not free */
    struct record_group groups[RECORD_HEAP_GROUPS_MAX];
    struct block blocks[];
};

int record_heap_open(struct record_heap **heap_r, uint64_t bytes_max)
{
    uint64_t count = (bytes_max + RECORD_HEAP_BLOCK_BYTES - 1) / RECORD_HEAP_BLOCK_BYTES;
    if (count < 4)
        count = 4;
    struct record_heap *heap = calloc(1, sizeof *heap + count * sizeof heap->blocks[0]);
    if (heap == NULL)
        return -ENOMEM;
    heap->memory = mmap(NULL, count * RECORD_HEAP_BLOCK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap->memory == MAP_FAILED) {
        free(heap);
        return -ENOMEM;
    }
    heap->block_count = (uint32_t)count;
    heap->free_first = NO_BLOCK;
    heap->filling = NO_BLOCK;
    *heap_r = heap;
    return 0;
}

static bool is_in_use(const struct block *block)
{
    return block->pieces > 0 || block->groups != 0;
}

static char *block_memory(const struct record_heap *heap, uint32_t block)
{
    return heap->memory + (size_t)block * RECORD_HEAP_BLOCK_BYTES;
}

static void set_free_resident(struct record_heap *heap, uint32_t count)
{
    heap->free_resident = count;
    if (count < heap->free_resident_low)
        heap->free_resident_low = count;
}

/* Gives the memory of the last `count` free resident blocks back to the system. */
static void release_memory(struct record_heap *heap, uint32_t count)
{
    uint32_t block = heap->free_first;
    for (uint32_t i = 0; i < heap->free_resident; i++, block = heap->blocks[block].next)
        if (i + count >= heap->free_resident)
            madvise(block_memory(heap, block), RECORD_HEAP_BLOCK_BYTES, MADV_DONTNEED);
    set_free_resident(heap, heap->free_resident - count);
}

/* Records, free resident blocks and index memory together use no more memory than all blocks of records have. */
static void release_excess(struct record_heap *heap)
{
    uint32_t kept_max = heap->block_count > heap->used_count + heap->index_total
                            ? heap->block_count - heap->used_count - heap->index_total
                            : 0;
    if (heap->free_resident > kept_max)
        release_memory(heap, heap->free_resident - kept_max);
}

static void block_give(struct record_heap *heap, uint32_t block)
{
    ASSERT(heap->used_count > 0);
    heap->used_count--;
    heap->blocks[block].next = heap->free_first;
    heap->free_first = block;
    heap->free_resident++;
    release_excess(heap);
}

static void give_if_unused(struct record_heap *heap, uint32_t block)
{
    if (!is_in_use(&heap->blocks[block]) && block != heap->filling)
        block_give(heap, block);
}

static uint32_t block_take(struct record_heap *heap)
{
    uint32_t block = heap->free_first;
    if (block != NO_BLOCK) {
        heap->free_first = heap->blocks[block].next;
        set_free_resident(heap, heap->free_resident - (heap->free_resident > 0));
    } else if (heap->blocks_touched < heap->block_count) {
        block = heap->blocks_touched++;
    } else {
        return NO_BLOCK;
    }
    heap->used_count++;
    return block;
}

/* Begins another block, or the same one again if nothing in it is in use. False: the heap is full. */
static bool fill_next(struct record_heap *heap)
{
    if (heap->filling == NO_BLOCK || is_in_use(&heap->blocks[heap->filling])) {
        uint32_t block = block_take(heap);
        if (block == NO_BLOCK)
            return false;
        heap->filling = block;
    }
    heap->fill_bytes = 0;
    return true;
}

static struct record *piece_take(struct record_heap *heap, uint32_t bytes)
{
    ASSERT(bytes <= RECORD_HEAP_PIECE_MAX);
    bytes = (bytes + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    if (heap->filling == NO_BLOCK || heap->fill_bytes + bytes > RECORD_HEAP_BLOCK_BYTES) {
        if (!fill_next(heap))
            return NULL;
    }
    struct record *record = (struct record *)(void *)(block_memory(heap, heap->filling) + heap->fill_bytes);
    heap->fill_bytes += bytes;
    heap->blocks[heap->filling].pieces++;
    record->block = heap->filling;
    return record;
}

static char *put(char *at, struct span span)
{
    if (span.bytes > 0)
        memcpy(at, span.data, span.bytes);
    return at + span.bytes;
}

struct record *record_heap_take(struct record_heap *heap, struct span from, struct span to, struct span key,
                                struct span text)
{
    ASSERT(from.bytes <= LIMIT_USER_BYTES);
    ASSERT(to.bytes <= LIMIT_USER_BYTES);
    ASSERT(key.bytes <= LIMIT_KEY_BYTES);
    ASSERT(text.bytes <= LIMIT_TEXT_BYTES);
    uint32_t body_bytes = (uint32_t)(from.bytes + to.bytes + key.bytes + text.bytes);
    struct record *record = piece_take(heap, (uint32_t)sizeof *record + body_bytes);
    if (record == NULL)
        return NULL;
    record->refs = 1;
    record->ts_from = 0;
    record->ts_to = 0;
    memset(record->mid, 0, sizeof record->mid);
    record->from_bytes = (uint8_t)from.bytes;
    record->to_bytes = (uint8_t)to.bytes;
    record->key_bytes = (uint8_t)key.bytes;
    record->text_bytes = (uint16_t)text.bytes;
    put(put(put(put(record->body, from), to), key), text);
    return record;
}

struct record *record_heap_ref(struct record_heap *heap, struct record *record)
{
    if (record->refs++ == 0)
        heap->blocks[record->block].pieces++;
    return record;
}

void record_heap_unref(struct record_heap *heap, struct record **record_p)
{
    struct record *record = *record_p;
    *record_p = NULL;
    ASSERT(record->refs > 0);
    if (--record->refs > 0)
        return;
    struct block *block = &heap->blocks[record->block];
    ASSERT(block->pieces > 0);
    if (--block->pieces == 0)
        give_if_unused(heap, record->block);
}

int record_heap_group_open(struct record_heap *heap)
{
    for (uint32_t i = 0; i < RECORD_HEAP_GROUPS_MAX; i++) {
        if (heap->groups[i].is_open)
            continue;
        heap->groups[i] = (struct record_group){.is_open = true};
        return (int)i;
    }
    return -ENOMEM;
}

void record_heap_group_ref(struct record_heap *heap, uint32_t group, const struct record *record)
{
    ASSERT(group < RECORD_HEAP_GROUPS_MAX);
    ASSERT(heap->groups[group].is_open);
    ASSERT(heap->groups[group].next_block == 0);
    heap->blocks[record->block].groups |= 1u << group;
}

bool record_heap_group_close_some(struct record_heap *heap, uint32_t group, uint32_t blocks_max)
{
    ASSERT(group < RECORD_HEAP_GROUPS_MAX);
    struct record_group *own = &heap->groups[group];
    ASSERT(own->is_open);
    for (; own->next_block < heap->blocks_touched; own->next_block++) {
        struct block *block = &heap->blocks[own->next_block];
        if ((block->groups & 1u << group) == 0)
            continue;
        if (blocks_max-- == 0)
            return false;
        block->groups &= ~(1u << group);
        give_if_unused(heap, own->next_block);
    }
    own->is_open = false;
    return true;
}

static void *index_make(struct record_heap *heap)
{
    void *block = mmap(NULL, RECORD_HEAP_BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
    heap->index_total++;
    release_excess(heap);
    return block;
}

static void index_unmake(struct record_heap *heap)
{
    ASSERT(heap->index_free != NULL);
    munmap(record_heap_index_take(heap), RECORD_HEAP_BLOCK_BYTES);
    heap->index_total--;
}

void *record_heap_index_take(struct record_heap *heap)
{
    struct index_block *block = heap->index_free;
    if (block == NULL)
        return index_make(heap);
    heap->index_free = block->next;
    heap->index_free_count--;
    if (heap->index_free_count < heap->index_free_low)
        heap->index_free_low = heap->index_free_count;
    return block;
}

void record_heap_index_give(struct record_heap *heap, void *block)
{
    ASSERT(block != NULL);
    struct index_block *given = block;
    given->next = heap->index_free;
    heap->index_free = given;
    heap->index_free_count++;
}

static uint32_t trim_part(uint32_t unneeded)
{
    return (unneeded + TRIM_PART - 1) / TRIM_PART;
}

void record_heap_trim(struct record_heap *heap)
{
    release_memory(heap, trim_part(heap->free_resident_low));
    for (uint32_t i = trim_part(heap->index_free_low); i > 0; i--)
        index_unmake(heap);
    heap->free_resident_low = heap->free_resident;
    heap->index_free_low = heap->index_free_count;
}

void record_heap_close(struct record_heap **heap_p)
{
    struct record_heap *heap = *heap_p;
    *heap_p = NULL;
    if (heap == NULL)
        return;
    for (uint32_t i = 0; i < heap->blocks_touched; i++)
        ASSERT(!is_in_use(&heap->blocks[i]));
    while (heap->index_free != NULL)
        index_unmake(heap);
    ASSERT(heap->index_total == 0);
    munmap(heap->memory, (size_t)heap->block_count * RECORD_HEAP_BLOCK_BYTES);
    free(heap);
}

uint64_t record_heap_bytes_used(const struct record_heap *heap)
{
    return (uint64_t)heap->used_count * RECORD_HEAP_BLOCK_BYTES;
}

uint64_t record_heap_bytes_max(const struct record_heap *heap)
{
    return (uint64_t)heap->block_count * RECORD_HEAP_BLOCK_BYTES;
}
