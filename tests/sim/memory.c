#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pool.h"
#include "harness.h"
#include "storage/memtable/record_heap.h"
#include "storage/wal/segment.h"

#define PIECES_MAX 8192u
#define FILLING 0xa5      /* of what the server has unmapped, so that it does not find there what it left */
#define SLABS_AT_ONCE 32u /* that are mapped by one call */

enum piece_kind { PIECE_SLAB, PIECE_RECORDS, PIECE_SEGMENT };

/* A piece of mapped memory. */
struct piece {
    char *data;
    size_t bytes;
    size_t dirty_bytes; /* of a segment: behind them are zeros */
    enum piece_kind kind;
    bool is_taken;
};

static struct {
    struct piece pieces[PIECES_MAX];
    uint32_t count;
    uint32_t first_free; /* no piece below is free */
} memory;

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_segment_map(const char *dir, uint32_t file, struct segment_map *map_r);
void __wrap_segment_unmap(struct segment_map *map);

void memory_begin(void)
{
    /* LMDB takes 2 MiB of zeros for each environment and touches few: from the heap they would be cleared. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    heap_begin();
}

void memory_crash(void)
{
    heap_crash();
    for (uint32_t i = 0; i < memory.count; i++)
        memory.pieces[i].is_taken = false;
    memory.first_free = 0;
}

/* -- pieces -- */

static void *map(size_t bytes)
{
    void *data = __real_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    HARNESS_MUST(data != MAP_FAILED);
    return data;
}

static struct piece *add_piece(char *data, size_t bytes, enum piece_kind kind)
{
    HARNESS_MUST(memory.count < PIECES_MAX);
    memory.pieces[memory.count] = (struct piece){.data = data, .bytes = bytes, .kind = kind};
    return &memory.pieces[memory.count++];
}

static struct piece *find_free(size_t bytes, enum piece_kind kind)
{
    while (memory.first_free < memory.count && memory.pieces[memory.first_free].is_taken)
        memory.first_free++;
    for (uint32_t i = memory.first_free; i < memory.count; i++)
        if (!memory.pieces[i].is_taken && memory.pieces[i].bytes == bytes && memory.pieces[i].kind == kind)
            return &memory.pieces[i];
    return NULL;
}

/* A slab lies at a multiple of its size. */
static struct piece *add_slabs(void)
{
    char *data = map((SLABS_AT_ONCE + 1) * (size_t)POOL_SLAB_BYTES);
    data += POOL_SLAB_BYTES - (uintptr_t)data % POOL_SLAB_BYTES;
    struct piece *first = add_piece(data, POOL_SLAB_BYTES, PIECE_SLAB);
    for (uint32_t i = 1; i < SLABS_AT_ONCE; i++)
        add_piece(data + i * (size_t)POOL_SLAB_BYTES, POOL_SLAB_BYTES, PIECE_SLAB);
    return first;
}

static struct piece *take_piece(size_t bytes, enum piece_kind kind)
{
    struct piece *piece = find_free(bytes, kind);
    if (piece == NULL)
        piece = kind == PIECE_SLAB ? add_slabs() : add_piece(map(bytes), bytes, kind);
    piece->is_taken = true;
    return piece;
}

static struct piece *find_taken(const void *data)
{
    for (uint32_t i = 0; i < memory.count; i++)
        if (memory.pieces[i].data == data && memory.pieces[i].is_taken)
            return &memory.pieces[i];
    return NULL;
}

static bool give_piece(const void *data)
{
    struct piece *piece = find_taken(data);
    if (piece == NULL)
        return false;
    piece->is_taken = false;
    if (piece->kind != PIECE_SEGMENT && piece->bytes <= RECORD_HEAP_BLOCK_BYTES)
        memset(piece->data, FILLING, piece->bytes);
    uint32_t index = (uint32_t)(piece - memory.pieces);
    if (index < memory.first_free)
        memory.first_free = index;
    return true;
}

/* -- the calls -- */

/* The slabs of pools, and the blocks of record_heap.h: neither may be expected to hold zeros. */
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    bool is_memory = at == NULL && fd == -1 && (flags & MAP_PRIVATE) != 0 && protection == (PROT_READ | PROT_WRITE);
    if (is_memory && bytes == POOL_SLAB_BYTES)
        return take_piece(bytes, PIECE_SLAB)->data;
    if (is_memory && bytes >= RECORD_HEAP_BLOCK_BYTES && bytes % RECORD_HEAP_BLOCK_BYTES == 0)
        return take_piece(bytes, PIECE_RECORDS)->data;
    return __real_mmap(at, bytes, protection, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t bytes)
{
    return give_piece(at) ? 0 : __real_munmap(at, bytes);
}

/* Reads [from, to) of the file. */
static int read_data(int fd, char *data, off_t from, off_t to)
{
    while (from < to) {
        ssize_t bytes = pread(fd, data + from, (size_t)(to - from), from);
        if (bytes <= 0)
            return bytes == 0 ? -EIO : -errno;
        from += bytes;
    }
    return 0;
}

/* Reads the data of the file, and clears what the memory held where the file has a hole. */
static int read_segment(int fd, struct piece *piece)
{
    off_t end = (off_t)piece->bytes, dirty = (off_t)piece->dirty_bytes, data_end = 0;
    int status = 0;
    for (off_t hole = 0, begin; hole < end && status == 0;) {
        off_t at = hole;
        begin = lseek(fd, at, SEEK_DATA);
        if (begin < 0)
            begin = hole = end; /* no more data */
        else
            hole = data_end = lseek(fd, begin, SEEK_HOLE);
        if (at < dirty)
            memset(piece->data + at, 0, (size_t)((begin < dirty ? begin : dirty) - at));
        status = read_data(fd, piece->data, begin, hole);
    }
    piece->dirty_bytes = (size_t)(status == 0 ? data_end : end);
    return status;
}

int __wrap_segment_map(const char *dir, uint32_t file, struct segment_map *map_r)
{
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/segment-%06u.wal", dir, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *map_r = (struct segment_map){NULL, 0};
    int status = fstat(fd, &info) == 0 ? 0 : -errno;
    if (status == 0 && info.st_size > 0) {
        struct piece *piece = take_piece((size_t)info.st_size, PIECE_SEGMENT);
        *map_r = (struct segment_map){piece->data, (uint64_t)info.st_size};
        status = read_segment(fd, piece);
        if (status != 0)
            segment_unmap(map_r);
    }
    close(fd);
    return status;
}

void __wrap_segment_unmap(struct segment_map *map)
{
    if (map->data != NULL)
        HARNESS_MUST(give_piece(map->data));
    *map = (struct segment_map){NULL, 0};
}
