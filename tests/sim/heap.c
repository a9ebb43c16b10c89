/* heap.c: malloc of the simulated process (memory.h). Blocks of some sizes, which are never split or joined. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"
#include "memory.h"

#define HEAP_BYTES (UINT64_C(4) << 30) /* of addresses: memory is taken as far as it is touched */
#define UNIT_BYTES 16u
#define ALIGNED_TO 4096u /* blocks with a larger alignment than UNIT_BYTES have this one */
#define CLASSES 128u     /* four for each power of two */

/* In front of each block. */
struct block {
    uint64_t class;
    struct block *next; /* of the free ones */
};
_Static_assert(sizeof(struct block) == UNIT_BYTES, "a block keeps its alignment");

static struct {
    char *data; /* NULL: no process has begun */
    size_t used;
    size_t used_most;               /* memory behind it was never touched */
    struct block *free[2][CLASSES]; /* [1]: of aligned blocks */
} heap;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *data);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *data);

void heap_begin(void)
{
    heap.data = mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    HARNESS_MUST(heap.data != MAP_FAILED);
}

void heap_crash(void)
{
    heap.used = 0;
    memset(heap.free, 0, sizeof heap.free);
}

static bool is_in_heap(const void *data)
{
    return heap.data != NULL && (const char *)data >= heap.data && (const char *)data < heap.data + HEAP_BYTES;
}

/* 16, 20, 24, 28 units, 32, 40, 48, 56 units, and so on; below, one class for each number of units. */
static uint32_t class_of(size_t bytes)
{
    size_t units = (bytes + UNIT_BYTES - 1) / UNIT_BYTES;
    if (units <= UNIT_BYTES)
        return (uint32_t)units;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(units - 1);
    return (power - 4) * 4 + UNIT_BYTES + 1 + (uint32_t)((units - 1) >> (power - 2) & 3);
}

static size_t class_bytes(uint64_t class)
{
    if (class <= UNIT_BYTES)
        return class * UNIT_BYTES;
    uint64_t step = class - UNIT_BYTES - 1;
    return (5 + step % 4) << (step / 4 + 2) << 4;
}

static struct block *block_of(void *data)
{
    return (struct block *)(void *)((char *)data - sizeof(struct block));
}

/* *fresh_r: so many bytes at its end were never touched. */
static void *take(size_t bytes, bool is_aligned, size_t *fresh_r)
{
    uint32_t class = class_of(bytes);
    HARNESS_MUST(class < CLASSES);
    struct block *block = heap.free[is_aligned][class];
    *fresh_r = 0;
    if (block != NULL) {
        heap.free[is_aligned][class] = block->next;
        return block + 1;
    }
    size_t begin = heap.used + sizeof *block;
    if (is_aligned)
        begin = (begin + ALIGNED_TO - 1) / ALIGNED_TO * ALIGNED_TO;
    size_t end = begin + class_bytes(class);
    HARNESS_MUST(end <= HEAP_BYTES);
    if (end > heap.used_most) {
        *fresh_r = end - (begin > heap.used_most ? begin : heap.used_most);
        heap.used_most = end;
    }
    heap.used = end;
    block = block_of(heap.data + begin);
    *block = (struct block){.class = class | (uint64_t)is_aligned << 32};
    return block + 1;
}

void *__wrap_malloc(size_t bytes)
{
    size_t fresh;
    return heap.data == NULL ? __real_malloc(bytes) : take(bytes, false, &fresh);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    size_t fresh, room;
    if (heap.data == NULL)
        return __real_calloc(count, bytes);
    HARNESS_MUST(bytes == 0 || count <= HEAP_BYTES / bytes);
    void *data = take(count * bytes, false, &fresh);
    room = class_bytes(block_of(data)->class);
    memset(data, 0, room - fresh < count * bytes ? room - fresh : count * bytes);
    return data;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    size_t fresh;
    HARNESS_MUST(alignment <= ALIGNED_TO);
    return heap.data == NULL ? __real_aligned_alloc(alignment, bytes) : take(bytes, alignment > UNIT_BYTES, &fresh);
}

void __wrap_free(void *data)
{
    if (!is_in_heap(data)) {
        __real_free(data);
        return;
    }
    struct block *block = block_of(data);
    struct block **list = &heap.free[block->class >> 32][(uint32_t)block->class];
    block->next = *list;
    *list = block;
}

void *__wrap_realloc(void *old, size_t bytes)
{
    if (old == NULL)
        return __wrap_malloc(bytes);
    if (!is_in_heap(old))
        return __real_realloc(old, bytes);
    size_t room = class_bytes((uint32_t)block_of(old)->class);
    if (bytes <= room)
        return old;
    void *data = __wrap_malloc(bytes);
    memcpy(data, old, room);
    __wrap_free(old);
    return data;
}
