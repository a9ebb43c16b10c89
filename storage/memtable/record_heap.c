#include "storage/memtable/record_heap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"

#define NO_BLOCK UINT32_MAX
#define PIECE_ALIGN 8u

/* Of what is not needed such a part goes back to the system each time: a burst's memory, by half within 45 s, while a
 * busy shard, whose generations come and go within seconds, loses next to nothing. */
#define TRIM_PART 64u

struct block {
    uint32_t pieces;  /* live */
    uint32_t next;    /* of the free ones */
    uint32_t holders; /* a bit for each */
};

struct holder {
    bool is_open;
    uint32_t let_go_from; /* blocks below are not its own any more */
};

/* At the beginning of a loose block that nobody has. */
struct loose {
    struct loose *next;
};

struct record_heap {
    char *memory;
    uint32_t block_count;
    uint32_t blocks_touched; /* below this they were used at least once */
    uint32_t free_first;     /* the chain of those that are free */
    uint32_t free_warm;      /* so many of them, the first of the chain, have memory; */
    uint32_t free_warm_low;  /* at least so many had since the last trim */
    struct loose *loose;     /* that nobody has: */
    uint32_t loose_count;    /* so many; */
    uint32_t loose_low;      /* at least so many since the last trim */
    uint32_t loose_total;    /* with those that somebody has */
    uint32_t filling;        /* NO_BLOCK: none */
    uint32_t fill_bytes;
    uint32_t used_count; /* that hold a live piece, are held, or are being filled */
    struct holder holders[RECORD_HEAP_HOLDERS_MAX];
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
    return block->pieces > 0 || block->holders != 0;
}

static char *block_memory(const struct record_heap *heap, uint32_t block)
{
    return heap->memory + (size_t)block * RECORD_HEAP_BLOCK_BYTES;
}

static void set_free_warm(struct record_heap *heap, uint32_t count)
{
    heap->free_warm = count;
    if (count < heap->free_warm_low)
        heap->free_warm_low = count;
}

/* The last `count` of the free blocks that have memory. */
static void cool(struct record_heap *heap, uint32_t count)
{
    uint32_t block = heap->free_first;
    for (uint32_t i = 0; i < heap->free_warm; i++, block = heap->blocks[block].next)
        if (i + count >= heap->free_warm)
            madvise(block_memory(heap, block), RECORD_HEAP_BLOCK_BYTES, MADV_DONTNEED);
    set_free_warm(heap, heap->free_warm - count);
}

/* What is kept and what is loose have no more memory together than the records may have. */
static void cool_excess(struct record_heap *heap)
{
    uint32_t kept_max = heap->block_count > heap->used_count + heap->loose_total
                            ? heap->block_count - heap->used_count - heap->loose_total
                            : 0;
    if (heap->free_warm > kept_max)
        cool(heap, heap->free_warm - kept_max);
}

static void block_give(struct record_heap *heap, uint32_t block)
{
    heap->used_count--;
    heap->blocks[block].next = heap->free_first;
    heap->free_first = block;
    heap->free_warm++;
    cool_excess(heap);
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
        set_free_warm(heap, heap->free_warm - (heap->free_warm > 0));
    } else if (heap->blocks_touched < heap->block_count) {
        block = heap->blocks_touched++;
    } else {
        return NO_BLOCK;
    }
    heap->used_count++;
    return block;
}

/* Goes on to another block, or begins this one again if nothing in it is in use. False: full. */
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
    ASSERT(from.bytes <= LIMIT_USER_BYTES && to.bytes <= LIMIT_USER_BYTES);
    ASSERT(key.bytes <= LIMIT_KEY_BYTES && text.bytes <= LIMIT_TEXT_BYTES);
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

int record_heap_holder_open(struct record_heap *heap)
{
    for (uint32_t i = 0; i < RECORD_HEAP_HOLDERS_MAX; i++) {
        if (heap->holders[i].is_open)
            continue;
        heap->holders[i] = (struct holder){.is_open = true};
        return (int)i;
    }
    return -ENOMEM;
}

void record_heap_holder_ref(struct record_heap *heap, uint32_t holder, const struct record *record)
{
    ASSERT(heap->holders[holder].is_open && heap->holders[holder].let_go_from == 0);
    heap->blocks[record->block].holders |= 1u << holder;
}

bool record_heap_holder_unref(struct record_heap *heap, uint32_t holder, uint32_t blocks_max)
{
    struct holder *own = &heap->holders[holder];
    ASSERT(own->is_open);
    for (; own->let_go_from < heap->blocks_touched; own->let_go_from++) {
        struct block *block = &heap->blocks[own->let_go_from];
        if ((block->holders & 1u << holder) == 0)
            continue;
        if (blocks_max-- == 0)
            return false;
        block->holders &= ~(1u << holder);
        give_if_unused(heap, own->let_go_from);
    }
    own->is_open = false;
    return true;
}

static void *loose_make(struct record_heap *heap)
{
    void *block = mmap(NULL, RECORD_HEAP_BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
    heap->loose_total++;
    cool_excess(heap);
    return block;
}

static void loose_unmake(struct record_heap *heap)
{
    munmap(record_heap_loose_take(heap), RECORD_HEAP_BLOCK_BYTES);
    heap->loose_total--;
}

void *record_heap_loose_take(struct record_heap *heap)
{
    struct loose *block = heap->loose;
    if (block == NULL)
        return loose_make(heap);
    heap->loose = block->next;
    heap->loose_count--;
    if (heap->loose_count < heap->loose_low)
        heap->loose_low = heap->loose_count;
    return block;
}

void record_heap_loose_give(struct record_heap *heap, void *block)
{
    struct loose *given = block;
    given->next = heap->loose;
    heap->loose = given;
    heap->loose_count++;
}

static uint32_t trim_part(uint32_t unneeded)
{
    return (unneeded + TRIM_PART - 1) / TRIM_PART;
}

void record_heap_trim(struct record_heap *heap)
{
    cool(heap, trim_part(heap->free_warm_low));
    for (uint32_t i = trim_part(heap->loose_low); i > 0; i--)
        loose_unmake(heap);
    heap->free_warm_low = heap->free_warm;
    heap->loose_low = heap->loose_count;
}

void record_heap_close(struct record_heap **heap_p)
{
    struct record_heap *heap = *heap_p;
    *heap_p = NULL;
    if (heap == NULL)
        return;
    for (uint32_t i = 0; i < heap->blocks_touched; i++)
        ASSERT(!is_in_use(&heap->blocks[i]));
    while (heap->loose != NULL)
        loose_unmake(heap);
    ASSERT(heap->loose_total == 0);
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
